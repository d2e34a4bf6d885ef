//! A column of a record batch as bytes or text, whichever of Arrow's layouts it came in: with 32 or 64 bits of offsets, as views, of one
//! width, as a dictionary, or as a field of a structure.

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray, types};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields, Schema};

/// Where a column is: its place among the columns, then the place in each structure on the way.
pub(super) type ColumnPath = Vec<usize>;

/// The column of this name, `structure.field` for a field, unless it is a structure itself.
pub(super) fn path_of(fields: &Fields, name: &str) -> Option<ColumnPath> {
    fields.iter().enumerate().find_map(|(place, field)| match field.data_type() {
        DataType::Struct(inner) => {
            let rest = name.strip_prefix(field.name().as_str())?.strip_prefix('.')?;
            Some([vec![place], path_of(inner, rest)?].concat())
        }
        _ => (field.name() == name).then(|| vec![place]),
    })
}

/// The names of all columns, as they are looked for.
pub(super) fn names(fields: &Fields) -> Vec<String> {
    let of_field = |field: &Field| match field.data_type() {
        DataType::Struct(inner) => names(inner).iter().map(|name| format!("{}.{name}", field.name())).collect(),
        _ => vec![field.name().clone()],
    };
    fields.iter().flat_map(|field| of_field(field)).collect()
}

/// The name and the kind of values of a column.
pub(super) fn described(schema: &Schema, path: &ColumnPath) -> Option<(String, DataType)> {
    let (first, rest) = path.split_first()?;
    let mut field = schema.fields().get(*first)?;
    let mut name = field.name().clone();
    for place in rest {
        let DataType::Struct(inner) = field.data_type() else { return None };
        field = inner.get(*place)?;
        name = format!("{name}.{}", field.name());
    }
    let kind = match field.data_type() {
        DataType::Dictionary(_, values) => (**values).clone(),
        kind => kind.clone(),
    };
    Some((name, kind))
}

pub(super) fn is_bytes(kind: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(kind, Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

pub(super) fn is_key(kind: &DataType) -> bool {
    use DataType::{LargeUtf8, Utf8, Utf8View};
    matches!(kind, Utf8 | LargeUtf8 | Utf8View) || is_bytes(kind) || kind.is_integer()
}

/// One column of a batch, at hand by row.
pub(super) struct BatchColumn {
    values: ArrayRef,
    /// Of a dictionary: which value each row has.
    places: Option<Vec<usize>>,
    nulls: Option<NullBuffer>,
}

impl BatchColumn {
    /// * `path`: within `batch`; `None` where it leads nowhere
    pub(super) fn of(batch: &RecordBatch, path: &[usize]) -> Option<Self> {
        let (first, rest) = path.split_first()?;
        let mut column = batch.columns().get(*first)?.clone();
        let mut nulls = None;
        for place in rest {
            let structure = column.as_struct_opt()?;
            nulls = NullBuffer::union(nulls.as_ref(), structure.nulls());
            let inner = structure.columns().get(*place)?.clone();
            column = inner;
        }
        nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
        let (values, places) = match column.as_any_dictionary_opt() {
            // Nothing is in it, so each row is null.
            Some(dictionary) if dictionary.values().is_empty() => (dictionary.values().clone(), Some(Vec::new())),
            Some(dictionary) => (dictionary.values().clone(), Some(dictionary.normalized_keys())),
            None => (column, None),
        };
        Some(Self { values, places, nulls })
    }

    fn place(&self, row: usize) -> Option<usize> {
        if self.nulls.as_ref().is_some_and(|nulls| row >= nulls.len() || nulls.is_null(row)) {
            return None;
        }
        let place = match &self.places {
            Some(places) => *places.get(row)?,
            None => row,
        };
        (place < self.values.len()).then_some(place)
    }

    /// The bytes of a row; `None` where it is null.
    pub(super) fn bytes(&self, row: usize) -> Option<&[u8]> {
        let (place, values) = (self.place(row)?, &self.values);
        Some(match values.data_type() {
            DataType::Binary => values.as_binary::<i32>().value(place),
            DataType::LargeBinary => values.as_binary::<i64>().value(place),
            DataType::BinaryView => values.as_binary_view().value(place),
            DataType::FixedSizeBinary(_) => values.as_fixed_size_binary().value(place),
            DataType::Utf8 => values.as_string::<i32>().value(place).as_bytes(),
            DataType::LargeUtf8 => values.as_string::<i64>().value(place).as_bytes(),
            DataType::Utf8View => values.as_string_view().value(place).as_bytes(),
            _ => return None,
        })
    }

    /// The text of a row, numbers in decimals; `None` where it is null.
    pub(super) fn text(&self, row: usize) -> Option<String> {
        macro_rules! number {
            ($kind:ty, $place:expr) => {
                self.values.as_primitive::<$kind>().value($place).to_string()
            };
        }
        let place = self.place(row)?;
        Some(match self.values.data_type() {
            DataType::Int8 => number!(types::Int8Type, place),
            DataType::Int16 => number!(types::Int16Type, place),
            DataType::Int32 => number!(types::Int32Type, place),
            DataType::Int64 => number!(types::Int64Type, place),
            DataType::UInt8 => number!(types::UInt8Type, place),
            DataType::UInt16 => number!(types::UInt16Type, place),
            DataType::UInt32 => number!(types::UInt32Type, place),
            DataType::UInt64 => number!(types::UInt64Type, place),
            _ => String::from_utf8_lossy(self.bytes(row)?).into_owned(),
        })
    }
}
