//! Answers as a Parquet file: one row for each picture, in the order in which the pictures came.
//!
//! ```text
//! key          string            what the picture is called
//! class_index  int32, nullable   the most probable class; null where there is none
//! label        string, nullable
//! probability  float, nullable
//! classes      list of {index int32, label string, probability float}, nullable: the most probable first
//! error        string, nullable  why there are no classes
//! code         string, nullable  the kind of error: INVALID_ARGUMENT, UNSUPPORTED_FORMAT, TOO_LARGE
//! ```
//! The same rows give the same bytes, however often the work was interrupted.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

const SCHEMA: &str = "message classification {
    required binary key (STRING);
    optional int32 class_index;
    optional binary label (STRING);
    optional float probability;
    optional group classes (LIST) {
        repeated group list {
            required group element {
                required int32 index;
                required binary label (STRING);
                required float probability;
            }
        }
    }
    optional binary error (STRING);
    optional binary code (STRING);
}";

/// Rows of a group: readers take a group at a time.
const GROUP: usize = 1 << 16;

/// One picture's row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerRow {
    /// What the picture is called.
    pub key: String,
    /// Index, label and probability, the most probable first.
    pub classes: Option<Vec<(i32, String, f32)>>,
    /// Why there are none: what is wrong, and the kind.
    pub error: Option<(String, String)>,
}

impl AnswerRow {
    pub(super) fn top(&self) -> Option<&(i32, String, f32)> {
        self.classes.as_ref()?.first()
    }
}

/// Writes rows.
pub struct RowWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    waiting: Vec<AnswerRow>,
}

impl<W: Write + Send> RowWriter<W> {
    /// Begins a file.
    ///
    /// * `facts`: what is said of all rows, in the file's metadata
    ///
    /// # Errors
    /// What the system says.
    pub fn new(file: W, facts: &[(&str, String)]) -> Result<Self, ParquetError> {
        let facts = facts.iter().map(|(name, value)| KeyValue::new((*name).to_owned(), value.clone())).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_created_by(concat!("resnetd version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(facts))
            .build();
        let file = SerializedFileWriter::new(file, Arc::new(parse_message_type(SCHEMA)?), Arc::new(properties))?;
        Ok(Self { file, waiting: Vec::new() })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&mut self, row: AnswerRow) -> Result<(), ParquetError> {
        self.waiting.push(row);
        if self.waiting.len() == GROUP { self.write_group() } else { Ok(()) }
    }

    /// Writes what waits, and the file's end.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self) -> Result<(), ParquetError> {
        if !self.waiting.is_empty() {
            self.write_group()?;
        }
        self.file.finish().map(drop)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.waiting);
        let mut group = self.file.next_row_group()?;
        column::<_, ByteArrayType>(&mut group, rows.iter().map(|row| Some(text(&row.key))), false)?;
        column::<_, Int32Type>(&mut group, rows.iter().map(|row| row.top().map(|top| top.0)), true)?;
        column::<_, ByteArrayType>(&mut group, rows.iter().map(|row| row.top().map(|top| text(&top.1))), true)?;
        column::<_, FloatType>(&mut group, rows.iter().map(|row| row.top().map(|top| top.2)), true)?;
        let levels = Levels::of(&rows);
        let classes = || rows.iter().flat_map(|row| row.classes.iter().flatten());
        levels.write::<_, Int32Type>(&mut group, &classes().map(|class| class.0).collect::<Vec<_>>())?;
        levels.write::<_, ByteArrayType>(&mut group, &classes().map(|class| text(&class.1)).collect::<Vec<_>>())?;
        levels.write::<_, FloatType>(&mut group, &classes().map(|class| class.2).collect::<Vec<_>>())?;
        let error = |row: &AnswerRow| row.error.as_ref().map(|error| text(&error.0));
        column::<_, ByteArrayType>(&mut group, rows.iter().map(error), true)?;
        let code = |row: &AnswerRow| row.error.as_ref().map(|error| text(&error.1));
        column::<_, ByteArrayType>(&mut group, rows.iter().map(code), true)?;
        group.close().map(drop)
    }
}

fn text(text: &str) -> ByteArray {
    ByteArray::from(text)
}

/// Where lists begin and end, as Parquet says it: by a number for each element, and one for a list without any.
#[derive(Default)]
struct Levels {
    /// 0: no list, 1: an empty one, 2: an element.
    definition: Vec<i16>,
    /// 0: the first of a row, 1: a further one.
    repetition: Vec<i16>,
}

impl Levels {
    fn of(rows: &[AnswerRow]) -> Self {
        let mut levels = Self::default();
        for row in rows {
            let elements = row.classes.as_ref().map_or(0, Vec::len);
            let definition = if elements > 0 { 2 } else { i16::from(row.classes.is_some()) };
            for element in 0..elements.max(1) {
                levels.definition.push(definition);
                levels.repetition.push(i16::from(element > 0));
            }
        }
        levels
    }

    fn write<W: Write + Send, T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        values: &[T::T],
    ) -> Result<(), ParquetError> {
        write::<W, T>(group, values, Some(&self.definition), Some(&self.repetition))
    }
}

/// Writes the next column, a value or none for each row.
fn column<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<T::T>>,
    is_nullable: bool,
) -> Result<(), ParquetError> {
    let (mut there, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        there.extend(value);
    }
    write::<W, T>(group, &there, is_nullable.then_some(&levels[..]), None)
}

fn write<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    definition: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let unlike = || ParquetError::General("the columns are not those of the schema".to_owned());
    let mut column = group.next_column()?.ok_or_else(unlike)?;
    let typed = T::get_column_writer_mut(column.untyped()).ok_or_else(unlike)?;
    typed.write_batch(values, definition, repetition)?;
    column.close()
}
