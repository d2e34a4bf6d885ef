//! Shards in Parquet form: one column has the pictures' files, another one may have their keys.
//!
//! Columns are read as they lie on disk, without Arrow's arrays, which would double what the crate costs and give nothing here.
//! A file says at its end where everything is: one that was cut cannot be read at all, and one with a damaged page misses the rest of
//! that group of rows only. Each row that it announces is handed on, as a picture or as what is wrong.

use std::{fs::File, ops::ControlFlow, path::Path};

use parquet::{
    basic::Type as Physical,
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    schema::types::SchemaDescriptor,
};

use super::{
    columns::{NO_PICTURE, ShardColumns, no_bytes, no_keys},
    member::{GAVE_UP, Member, MemberError, guarded},
};
use crate::files;

/// Rows of a group that cannot be read, each of which gets an error: a damaged directory may announce any number.
const MOST_TOLD: u64 = 1 << 20;

/// Rows that are taken out of a page at a time.
const ROWS: usize = 32;

/// A column, by its place in the file.
#[derive(Clone, Copy)]
struct Place {
    leaf: usize,
    /// At this level a value is there.
    present: i16,
}

/// Hands every row to `each`, from the one with number `first` on.
pub(super) fn read_parquet(
    path: &Path,
    file: File,
    columns: &ShardColumns,
    limit: u64,
    first: u64,
    each: &mut dyn FnMut(Member) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let shard = files::shown(path);
    let found = guarded(|| {
        let reader = SerializedFileReader::new(file).map_err(|error| in_words(&error))?;
        let (picture, key) = find(reader.metadata().file_metadata().schema_descr(), columns)?;
        Ok((reader, picture, key))
    });
    let found = found.unwrap_or_else(|| Err(GAVE_UP.to_owned()));
    let (reader, picture, key) = match found {
        Ok(found) => found,
        Err(reason) if first == 0 => {
            return each(Member { number: 0, key: shard, content: Err(MemberError::Cut(reason)) });
        }
        Err(_) => return ControlFlow::Continue(()),
    };
    let mut start = 0;
    for group in 0..reader.num_row_groups() {
        let rows = u64::try_from(reader.metadata().row_group(group).num_rows()).unwrap_or_default();
        let end = u64::saturating_add(start, rows);
        if end > first {
            let mut rows = Rows { shard: &shard, next: start, first, limit, each };
            let read = guarded(|| read_group(&reader, group, picture, key, end, &mut rows));
            match read.unwrap_or_else(|| Err(ParquetError::General(GAVE_UP.to_owned()))) {
                Ok(given) => given?,
                Err(error) => {
                    // Each of them has its row in the results.
                    let (next, last, reason) = (rows.next, end - 1, in_words(&error));
                    let reason = format!("rows {next} to {last} of the shard cannot be read: {reason}");
                    let told = end.min(next.saturating_add(MOST_TOLD));
                    while rows.next < told {
                        rows.give(None, Err(MemberError::Cut(reason.clone())))?;
                    }
                }
            }
        }
        start = end;
    }
    ControlFlow::Continue(())
}

/// Where rows go, and how far they are.
struct Rows<'r> {
    shard: &'r str,
    next: u64,
    first: u64,
    limit: u64,
    each: &'r mut dyn FnMut(Member) -> ControlFlow<()>,
}

impl Rows<'_> {
    fn give(&mut self, key: Option<String>, content: Result<&[u8], MemberError>) -> ControlFlow<()> {
        let number = self.next;
        self.next += 1;
        if number < self.first {
            return ControlFlow::Continue(());
        }
        let content = content.and_then(|bytes| match bytes.len() as u64 {
            length if length > self.limit => Err(MemberError::TooLarge { bytes: length, limit: self.limit }),
            // A slice would hold its whole page as long as it waits.
            _ => Ok(bytes.to_vec().into()),
        });
        let key = key.unwrap_or_else(|| format!("{}:{number}", self.shard));
        (self.each)(Member { number, key, content })
    }
}

/// Hands on the rows of a group, up to number `end`; what `each` said to the last of them.
fn read_group(
    reader: &SerializedFileReader<File>,
    group: usize,
    picture: Place,
    key: Option<Place>,
    end: u64,
    rows: &mut Rows<'_>,
) -> Result<ControlFlow<()>, ParquetError> {
    let group = reader.get_row_group(group)?;
    let ColumnReader::ByteArrayColumnReader(mut pictures) = group.get_column_reader(picture.leaf)? else {
        return Err(ParquetError::General("the column has no bytes".to_owned()));
    };
    let mut keys = key.map(|key| Ok::<_, ParquetError>((key, group.get_column_reader(key.leaf)?))).transpose()?;
    while rows.next < end {
        let wanted = ROWS.min(usize::try_from(end - rows.next).unwrap_or(ROWS));
        let files = values(&mut pictures, picture, wanted)?;
        let names = match &mut keys {
            Some((place, column)) => texts(column, *place, wanted)?,
            None => Vec::new(),
        };
        if files.is_empty() {
            return Err(ParquetError::EOF("the column has fewer rows than its group".to_owned()));
        }
        let mut names = names.into_iter();
        for file in &files {
            let missing = || MemberError::Missing(NO_PICTURE.to_owned());
            let content = file.as_ref().map(ByteArray::data).ok_or_else(missing);
            if rows.give(names.next().flatten(), content).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The next values of a column, `None` where it is null.
fn values<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    place: Place,
    rows: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let (read, _, _) = column.read_records(rows, Some(&mut levels), None, &mut values)?;
    if place.present == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let found = levels.iter().take(read).map(|level| if *level == place.present { values.next() } else { None });
    Ok(found.collect())
}

/// The next keys.
fn texts(column: &mut ColumnReader, place: Place, rows: usize) -> Result<Vec<Option<String>>, ParquetError> {
    fn shown<T>(values: Vec<Option<T>>, show: impl Fn(T) -> String) -> Vec<Option<String>> {
        values.into_iter().map(|value| value.map(&show)).collect()
    }
    Ok(match column {
        ColumnReader::ByteArrayColumnReader(column) => {
            shown(values(column, place, rows)?, |text| String::from_utf8_lossy(text.data()).into_owned())
        }
        ColumnReader::Int32ColumnReader(column) => shown(values(column, place, rows)?, |number| number.to_string()),
        ColumnReader::Int64ColumnReader(column) => shown(values(column, place, rows)?, |number| number.to_string()),
        _ => return Err(ParquetError::General("the key's column has neither text nor whole numbers".to_owned())),
    })
}

/// The columns of pictures and of keys.
///
/// # Errors
/// What is missing, and what is there.
fn find(schema: &SchemaDescriptor, wanted: &ShardColumns) -> Result<(Place, Option<Place>), String> {
    let named = |name: &str| schema.columns().iter().position(|column| column.path().string() == name);
    let there = || schema.columns().iter().map(|column| column.path().string()).collect();
    let (picture, key) = wanted.choose(named, there)?;
    let column = |leaf: usize| schema.column(leaf);
    let is_bytes = |leaf| column(leaf).physical_type() == Physical::BYTE_ARRAY && column(leaf).max_rep_level() == 0;
    let is_whole = |leaf| {
        matches!(column(leaf).physical_type(), Physical::INT32 | Physical::INT64) && column(leaf).max_rep_level() == 0
    };
    let name = |leaf| column(leaf).path().string();
    if !is_bytes(picture) {
        return Err(no_bytes(&name(picture)));
    }
    if let Some(key) = key.filter(|key| !is_bytes(*key) && !is_whole(*key)) {
        return Err(no_keys(&name(key)));
    }
    let place = |leaf| Place { leaf, present: column(leaf).max_def_level() };
    Ok((place(picture), key.map(place)))
}

fn in_words(error: &ParquetError) -> String {
    match error {
        ParquetError::EOF(reason) | ParquetError::General(reason) => {
            format!("it is no whole Parquet file: {reason}; write it again")
        }
        error => error.to_string(),
    }
}
