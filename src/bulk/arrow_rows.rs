//! Answers as record batches: the columns of the Parquet files, in a stream of Arrow's IPC format.
//!
//! Makes bytes and writes none of them, so that whoever writes says when.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{ArrayRef, Float32Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};

use super::rows::AnswerRow;

/// Bytes of text in a batch: Arrow counts them with 31 bits.
const MOST_TEXT: usize = 1 << 30;

/// Makes batches of rows.
pub struct BatchWriter {
    stream: StreamWriter<Vec<u8>>,
    schema: SchemaRef,
    waiting: Vec<AnswerRow>,
    text_bytes: usize,
}

impl BatchWriter {
    /// Begins a stream; its columns are the first that [`take`](Self::take) gives.
    ///
    /// * `facts`: what is said of all rows, in the stream's metadata
    ///
    /// # Errors
    /// What the crate says; none is known.
    pub fn new(facts: &[(&str, String)]) -> Result<Self, ArrowError> {
        let facts: HashMap<_, _> = facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let schema = Arc::new(Schema::new_with_metadata(
            vec![
                Field::new("key", DataType::Utf8, true),
                Field::new("class_index", DataType::Int32, true),
                Field::new("label", DataType::Utf8, true),
                Field::new("probability", DataType::Float32, true),
                Field::new_list("classes", class_element(), true),
                Field::new("error", DataType::Utf8, true),
                Field::new("code", DataType::Utf8, true),
            ],
            facts,
        ));
        let stream = StreamWriter::try_new(Vec::new(), &schema)?;
        Ok(Self { stream, schema, waiting: Vec::new(), text_bytes: 0 })
    }

    /// Adds a row to the next batch.
    ///
    /// # Errors
    /// Where the labels of a batch are longer together than Arrow's columns can be.
    pub fn add(&mut self, row: AnswerRow) -> Result<(), ArrowError> {
        self.text_bytes += row.key.len() + row.error.as_ref().map_or(0, |error| error.0.len());
        self.text_bytes += row.classes.iter().flatten().map(|class| class.1.len()).sum::<usize>();
        if self.text_bytes > MOST_TEXT {
            return Err(ArrowError::InvalidArgumentError(format!(
                "the labels of a batch have {} bytes, where {MOST_TEXT} are allowed: send smaller batches, or give a smaller --top-k",
                self.text_bytes
            )));
        }
        self.waiting.push(row);
        Ok(())
    }

    /// How many rows wait for the batch's end.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Ends a batch, which may have no rows.
    ///
    /// # Errors
    /// What the crate says; none is known.
    pub fn end_batch(&mut self) -> Result<(), ArrowError> {
        self.text_bytes = 0;
        let rows = std::mem::take(&mut self.waiting);
        let classes = || rows.iter().flat_map(|row| row.classes.iter().flatten());
        let of_classes = StructArray::try_new(
            class_fields(),
            vec![
                Arc::new(Int32Array::from_iter_values(classes().map(|class| class.0))) as ArrayRef,
                Arc::new(StringArray::from_iter_values(classes().map(|class| &class.1))),
                Arc::new(Float32Array::from_iter_values(classes().map(|class| class.2))),
            ],
            None,
        )?;
        let lengths = rows.iter().map(|row| row.classes.as_ref().map_or(0, Vec::len));
        let nulls: NullBuffer = rows.iter().map(|row| row.classes.is_some()).collect();
        let element = Arc::new(class_element());
        let lists =
            ListArray::try_new(element, OffsetBuffer::from_lengths(lengths), Arc::new(of_classes), Some(nulls))?;
        let errors = || rows.iter().map(|row| row.error.as_ref());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.key))),
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.top().map(|top| top.0)))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.top().map(|top| &top.1)))),
            Arc::new(Float32Array::from_iter(rows.iter().map(|row| row.top().map(|top| top.2)))),
            Arc::new(lists),
            Arc::new(StringArray::from_iter(errors().map(|error| error.map(|error| &error.0)))),
            Arc::new(StringArray::from_iter(errors().map(|error| error.map(|error| &error.1)))),
        ];
        self.stream.write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Ends a batch, if rows wait, and the stream.
    ///
    /// # Errors
    /// As [`Self::end_batch`].
    pub fn finish(&mut self) -> Result<(), ArrowError> {
        if !self.waiting.is_empty() {
            self.end_batch()?;
        }
        self.stream.finish()
    }

    /// The bytes of what has ended since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.stream.get_mut())
    }
}

/// Nothing in a list is ever null; engines compare types as a whole, and theirs allow it.
fn class_element() -> Field {
    Field::new("element", DataType::Struct(class_fields()), true)
}

fn class_fields() -> Fields {
    Fields::from(vec![
        Field::new("index", DataType::Int32, true),
        Field::new("label", DataType::Utf8, true),
        Field::new("probability", DataType::Float32, true),
    ])
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, cast::AsArray, types::Int32Type};
    use arrow_ipc::reader::StreamReader;

    use super::*;

    #[test]
    fn rows_come_back_as_they_were_batch_by_batch() {
        let classes = |count| Some((0..count).map(|n| (n, format!("class {n}"), 0.25)).collect());
        let row = |key: &str, classes, error: Option<&str>| AnswerRow {
            key: key.to_owned(),
            classes,
            error: error.map(|error| (error.to_owned(), "INVALID_ARGUMENT".to_owned())),
        };
        let mut writer = BatchWriter::new(&[("resnetd.model", "resnet18".to_owned())]).unwrap();
        let columns = writer.take();
        assert!(!columns.is_empty(), "a reader waits for them");
        for row in [row("a", classes(2), None), row("b", None, Some("no picture")), row("c", classes(0), None)] {
            writer.add(row).unwrap();
        }
        writer.end_batch().unwrap();
        writer.end_batch().unwrap();
        writer.add(row("d", classes(1), None)).unwrap();
        writer.finish().unwrap();
        let stream = [columns, writer.take()].concat();

        let reader = StreamReader::try_new(&stream[..], None).unwrap();
        assert_eq!(reader.schema().metadata()["resnetd.model"], "resnet18");
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        let texts = |name: &str| -> Vec<Option<String>> {
            let column = |batch: &RecordBatch| batch.column_by_name(name).unwrap().clone();
            let texts =
                |column: &ArrayRef| column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect();
            batches.iter().flat_map(|batch| -> Vec<_> { texts(&column(batch)) }).collect()
        };
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3, 0, 1]);
        assert_eq!(texts("key"), ["a", "b", "c", "d"].map(|key| Some(key.to_owned())));
        assert_eq!(texts("label"), [Some("class 0".to_owned()), None, None, Some("class 0".to_owned())]);
        assert_eq!(texts("error"), [None, Some("no picture".to_owned()), None, None]);
        let lists = batches[0].column_by_name("classes").unwrap().as_list::<i32>().clone();
        assert_eq!((lists.value_length(0), lists.is_null(1), lists.value_length(2)), (2, true, 0));
        let first = lists.value(0);
        assert_eq!(first.as_struct().column(0).as_primitive::<Int32Type>().values(), &[0, 1]);
        assert!(batches[0].column_by_name("class_index").unwrap().is_null(1));
    }
}
