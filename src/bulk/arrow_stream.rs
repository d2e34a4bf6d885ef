//! Record batches on stdin: a stream of Arrow's IPC format, as any of its libraries writes it. What is in a message is the crate's matter.

use std::{collections::HashMap, io::Read, ops::ControlFlow, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::{
    Message, MessageHeader,
    convert::try_fb_to_schema,
    reader::{read_dictionary, read_record_batch},
};
use arrow_schema::{ArrowError, Schema, SchemaRef};

use super::{
    arrow_column::{BatchColumn, ColumnPath, described, is_bytes, is_key, names, path_of},
    arrow_messages::{message, read_body, read_head},
    columns::{NO_PICTURE, ShardColumns, no_bytes, no_keys},
    member::{GAVE_UP, Member, MemberError, guarded},
};

/// Rows of a batch; as many answers wait for the last one of them.
const MOST_ROWS: usize = 1 << 16;

/// What comes out of a stream.
#[derive(Debug)]
pub enum Streamed {
    /// The next picture.
    Picture(Member),
    /// All rows of a batch were handed on; it may have had none.
    EndOfBatch,
}

/// How record batches are read.
#[derive(Clone, Debug)]
pub struct StreamReading {
    /// Where pictures and keys are.
    pub columns: ShardColumns,
    /// The most bytes of a picture.
    pub limit: u64,
    /// The most rows of a batch, if fewer than are ever allowed.
    pub most_rows: usize,
}

/// Takes whatever the reading gives, and says whether it wants more.
pub(super) type Each<'e> = &'e mut dyn FnMut(Streamed) -> ControlFlow<()>;

impl StreamReading {
    /// Hands every row of `input` to `each`, until the stream has ended, was cut, or `each` has enough. Waits for bytes, and reads none
    /// before `each` is back.
    pub(super) fn read(&self, input: &mut impl Read, each: Each<'_>) {
        let mut number = 0;
        if let Err(error) = self.read_all(input, &mut number, each) {
            let member = Member { number, key: String::new(), content: Err(MemberError::Cut(error)) };
            // It was the last one anyway.
            let _ = each(Streamed::Picture(member));
        }
    }

    /// * `number`: of the next row
    ///
    /// # Errors
    /// Why nothing behind the rows so far can be read.
    fn read_all(&self, input: &mut impl Read, number: &mut u64, each: Each<'_>) -> Result<(), String> {
        let Some(head) = read_head(input)? else {
            return Err("the stream has an end mark and no columns; send the columns first".to_owned());
        };
        let first = message(&head)?;
        read_body(input, &first, 0)?;
        let mut table = Table::of(&first, &self.columns)?;
        while let Some(head) = read_head(input)? {
            let message = message(&head)?;
            let body = read_body(input, &message, table.dictionary_bytes(&message))?;
            match message.header_type() {
                MessageHeader::DictionaryBatch => table.take_dictionary(&message, &body)?,
                MessageHeader::RecordBatch => {
                    let batch = table.batch(&message, &body, self.most_rows.min(MOST_ROWS))?;
                    if self.hand_on(&batch, &table, number, each)?.is_break() {
                        return Ok(());
                    }
                }
                MessageHeader::Schema => {
                    return Err("the stream says its columns twice; send one stream to a process".to_owned());
                }
                other => return Err(format!("the stream has a message of kind {other:?}, and no batch in its place")),
            }
        }
        Ok(())
    }

    fn hand_on(
        &self,
        batch: &RecordBatch,
        table: &Table,
        number: &mut u64,
        each: Each<'_>,
    ) -> Result<ControlFlow<()>, String> {
        let lost = || "the batch has other columns than the stream said".to_owned();
        let pictures = BatchColumn::of(batch, &table.picture).ok_or_else(lost)?;
        let keys = table.key.as_ref().map(|key| BatchColumn::of(batch, key).ok_or_else(lost)).transpose()?;
        for row in 0..batch.num_rows() {
            let content = match pictures.bytes(row) {
                None => Err(MemberError::Missing(NO_PICTURE.to_owned())),
                Some(bytes) if bytes.len() as u64 > self.limit => {
                    Err(MemberError::TooLarge { bytes: bytes.len() as u64, limit: self.limit })
                }
                // A slice would hold its whole batch as long as it waits.
                Some(bytes) => Ok(bytes.to_vec().into()),
            };
            let key = keys.as_ref().and_then(|keys| keys.text(row)).unwrap_or_else(|| number.to_string());
            let member = Member { number: *number, key, content };
            *number += 1;
            if each(Streamed::Picture(member)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(each(Streamed::EndOfBatch))
    }
}

/// What a stream has said so far.
struct Table {
    schema: SchemaRef,
    /// The columns that are decoded; the two paths begin among these.
    wanted: Vec<usize>,
    picture: ColumnPath,
    key: Option<ColumnPath>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Bytes of each dictionary.
    held: HashMap<i64, u64>,
}

impl Table {
    fn of(message: &Message<'_>, columns: &ShardColumns) -> Result<Self, String> {
        let Some(said) = message.header_as_schema() else {
            return Err("the stream does not begin with its columns; send all of it from its beginning".to_owned());
        };
        if !said.endianness().equals_to_target_endianness() {
            return Err("the stream has its bytes in the other order; write it little-endian".to_owned());
        }
        let schema = decoded(|| try_fb_to_schema(said))?;
        let fields = schema.fields();
        let (mut picture, mut key) = columns.choose(|name| path_of(fields, name), || names(fields))?;
        let kind = |path: &ColumnPath| described(&schema, path).ok_or_else(|| GAVE_UP.to_owned());
        let (name, found) = kind(&picture)?;
        if !is_bytes(&found) {
            return Err(format!("{} (it is {found})", no_bytes(&name)));
        }
        if let Some(key) = &key {
            let (name, found) = kind(key)?;
            if !is_key(&found) {
                return Err(format!("{} (it is {found})", no_keys(&name)));
            }
        }
        // The paths become those within the columns that are decoded.
        let mut wanted = vec![picture[0]];
        picture[0] = 0;
        if let Some(key) = &mut key {
            let place = wanted.iter().position(|place| *place == key[0]);
            key[0] = place.unwrap_or_else(|| {
                wanted.push(key[0]);
                wanted.len() - 1
            });
        }
        Ok(Self {
            schema: Arc::<Schema>::new(schema),
            wanted,
            picture,
            key,
            dictionaries: HashMap::new(),
            held: HashMap::new(),
        })
    }

    /// What is held already and stays, if this message is one more dictionary.
    fn dictionary_bytes(&self, message: &Message<'_>) -> u64 {
        let Some(dictionary) = message.header_as_dictionary_batch() else { return 0 };
        let replaced = if dictionary.isDelta() { None } else { self.held.get(&dictionary.id()) };
        self.held.values().sum::<u64>() - replaced.copied().unwrap_or_default()
    }

    fn take_dictionary(&mut self, message: &Message<'_>, body: &Buffer) -> Result<(), String> {
        let dictionary = message.header_as_dictionary_batch().ok_or(GAVE_UP)?;
        plain(dictionary.data().and_then(|data| data.compression()).is_some())?;
        decoded(|| read_dictionary(body, dictionary, &self.schema, &mut self.dictionaries, &message.version()))?;
        let held = self.held.entry(dictionary.id()).or_default();
        *held = body.len() as u64 + if dictionary.isDelta() { *held } else { 0 };
        Ok(())
    }

    fn batch(&self, message: &Message<'_>, body: &Buffer, most_rows: usize) -> Result<RecordBatch, String> {
        let batch = message.header_as_record_batch().ok_or(GAVE_UP)?;
        let rows = batch.length();
        if usize::try_from(rows).is_ok_and(|rows| rows > most_rows) {
            return Err(format!("a record batch of {rows} rows, where {most_rows} are allowed: send smaller ones"));
        }
        plain(batch.compression().is_some())?;
        decoded(|| {
            let (schema, version) = (self.schema.clone(), message.version());
            read_record_batch(body, batch, schema, &self.dictionaries, Some(&self.wanted), &version)
        })
    }
}

fn plain(is_compressed: bool) -> Result<(), String> {
    if is_compressed {
        return Err("a record batch is compressed: send it plain, pictures are compressed in themselves".to_owned());
    }
    Ok(())
}

/// What the crate makes of bytes that others wrote.
fn decoded<T>(work: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, String> {
    let made = guarded(work).ok_or(GAVE_UP)?;
    made.map_err(|error| format!("the stream is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::bulk::{AnswerRow, BatchWriter, PictureStream, arrow_messages::CONTINUES};

    fn fixture(name: &str) -> Vec<u8> {
        fs::read(format!("{}/tests/fixtures/bulk/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// What comes of a stream: the key, and how many bytes or what is wrong; `|` where a batch ends.
    fn read(stream: &[u8], reading: &StreamReading) -> Vec<(String, Result<usize, String>)> {
        let (mut found, mut numbers) = (Vec::new(), 0);
        PictureStream::open(stream).unwrap().read(reading, &mut |streamed| {
            found.push(match streamed {
                Streamed::EndOfBatch => ("|".to_owned(), Ok(0)),
                Streamed::Picture(member) => {
                    assert_eq!(member.number, numbers);
                    numbers += 1;
                    let content = member.content.map(|bytes| bytes.len()).map_err(|error| error.to_string());
                    (member.key, content)
                }
            });
            ControlFlow::Continue(())
        });
        found
    }

    fn reading(key: Option<&str>) -> StreamReading {
        let columns = ShardColumns { picture: None, key: key.map(str::to_owned) };
        StreamReading { columns, limit: 1 << 20, most_rows: 1000 }
    }

    fn keys(found: &[(String, Result<usize, String>)]) -> String {
        found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn last_error(found: &[(String, Result<usize, String>)]) -> &str {
        found.last().unwrap().1.as_ref().unwrap_err()
    }

    /// Puts `new` where `old` stands for the first time.
    fn patched(mut stream: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
        let place = stream.windows(old.len()).position(|window| window == old).expect("it is there");
        stream[place..][..new.len()].copy_from_slice(new);
        stream
    }

    #[test]
    fn batches_of_any_layout_are_read_row_by_row_and_each_says_where_it_ends() {
        for name in ["hf.arrows", "views.arrows"] {
            let found = read(&fixture(name), &reading(Some("id")));
            let wanted = "airplane automobile bird cat nothing | | deer dog frog horse ship truck |";
            assert_eq!(keys(&found), wanted, "{name}");
            let nothing = Err("the row has no picture: the column is null there".to_owned());
            assert_eq!(found.iter().find(|(key, _)| key == "nothing").unwrap().1, nothing, "{name}");
            for (key, content) in found.iter().filter(|(key, _)| key != "|" && key != "nothing") {
                let file = fixture(&format!("../cifar10/{key}.jpg"));
                assert_eq!(content, &Ok(file.len()), "{name} {key}");
            }
            let found = read(&fixture(name), &reading(None));
            assert_eq!(keys(&found), "0 1 2 3 4 | | 5 6 7 8 9 10 |", "{name}");
            let found = read(&fixture(name), &reading(Some("label")));
            assert_eq!(keys(&found), "0 1 2 3 4 | | 0 1 2 3 4 5 |", "{name}");
            let small = StreamReading { limit: 900, ..reading(None) };
            let large = read(&fixture(name), &small);
            let large =
                large.iter().filter(|(_, content)| content.as_ref().is_err_and(|error| error.contains("limit is 900")));
            assert!((1..10).contains(&large.count()), "{name}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_gives_what_is_whole_and_says_so() {
        let whole = fixture("hf.arrows");
        let all = read(&whole, &reading(Some("id")));
        for cut in (1..whole.len()).filter(|cut| cut % 7 == 0 || *cut > whole.len() - 20) {
            let found = read(&whole[..cut], &reading(Some("id")));
            let (last, before) = found.split_last().unwrap();
            assert_eq!(before, &all[..before.len()], "{cut}");
            let error = last.1.as_ref().unwrap_err();
            assert!(error.starts_with("the stream ends"), "{cut}: {error}");
        }
        let without_mark = read(&whole[..whole.len() - 8], &reading(Some("id")));
        assert_eq!((without_mark.len(), last_error(&without_mark).contains("end mark")), (all.len() + 1, true));
    }

    #[test]
    fn damage_is_an_error_and_never_the_end_of_the_process() {
        let whole = fixture("hf.arrows");
        for place in 0..whole.len() {
            for byte in [0, 0xff, whole[place] ^ 0x81] {
                if place % 5 > 0 && place > 3000 {
                    continue;
                }
                let mut damaged = whole.clone();
                damaged[place] = byte;
                let found = read(&damaged, &reading(Some("id")));
                assert!(found.len() <= 15, "{place} {byte}: {found:?}");
            }
        }
    }

    #[test]
    fn what_is_announced_takes_no_memory_and_is_refused_with_its_size() {
        let whole = fixture("views.arrows");
        // The first batch's body, as its head has it: 8 bytes.
        let head = |stream: &[u8], skip: usize| {
            let mut input = stream;
            for _ in 0..skip {
                let head = read_head(&mut input).unwrap().unwrap();
                read_body(&mut input, &message(&head).unwrap(), 0).unwrap();
            }
            read_head(&mut input).unwrap().unwrap()
        };
        let batch = head(&whole, 2);
        let said = message(&batch).unwrap();
        assert_eq!(said.header_type(), MessageHeader::RecordBatch);
        let longer = patched(batch.clone(), &said.bodyLength().to_le_bytes(), &(1_i64 << 40).to_le_bytes());
        let found = read(&patched(whole.clone(), &batch, &longer), &reading(None));
        assert!(last_error(&found).starts_with("a record batch of 1099511627776 bytes, where 268435456"), "{found:?}");
        let negative = patched(batch.clone(), &said.bodyLength().to_le_bytes(), &(-9_i64).to_le_bytes());
        let found = read(&patched(whole.clone(), &batch, &negative), &reading(None));
        assert!(last_error(&found).contains("a batch of -9 bytes"), "{found:?}");

        let found = read(&whole, &StreamReading { most_rows: 4, ..reading(None) });
        assert_eq!(found.len(), 1);
        assert!(last_error(&found).starts_with("a record batch of 5 rows, where 4 are allowed"), "{found:?}");
        let found = read(&[&CONTINUES[..], &[0, 0, 0, 0x7f]].concat(), &reading(None));
        assert!(last_error(&found).starts_with("a message says 2130706432 bytes of itself"), "{found:?}");
    }

    #[test]
    fn what_is_no_stream_of_pictures_is_told_at_its_beginning() {
        let wrong = |stream: &[u8], reading: &StreamReading| {
            let found = read(stream, reading);
            assert_eq!(found.len(), 1, "{found:?}");
            last_error(&found).to_owned()
        };
        let columns = |picture: &str, key: Option<&str>| {
            let columns = ShardColumns { picture: Some(picture.to_owned()), key: key.map(str::to_owned) };
            StreamReading { columns, ..reading(None) }
        };
        let stream = fixture("hf.arrows");
        let error = wrong(&stream, &columns("photo", None));
        assert_eq!(error, "there is no column `photo`; there is label, id, image.bytes, image.path");
        assert!(wrong(&stream, &columns("label", None)).contains("`label` is no column of bytes"));
        assert!(wrong(&stream, &columns("image", Some("name"))).contains("no column `name` for --key"));
        assert!(wrong(&fixture("compressed.arrows"), &reading(None)).contains("compressed: send it plain"));
        assert!(wrong(b"ARROW1\0\0 and more", &reading(None)).contains("send a stream"));
        assert!(wrong(&[&CONTINUES[..], &[0; 4]].concat(), &reading(None)).contains("no columns"));

        let mut rows = BatchWriter::new(&[]).unwrap();
        rows.add(AnswerRow::default()).unwrap();
        rows.finish().unwrap();
        let answers = rows.take();
        assert!(wrong(&answers, &reading(None)).starts_with("there is no column image or bytes or jpg or content"));
        let twice = [&stream[..stream.len() - 8], &stream].concat();
        assert!(last_error(&read(&twice, &reading(None))).contains("columns twice"));
    }

    #[test]
    fn whoever_has_enough_ends_it() {
        let mut count = 0;
        let stream = fixture("hf.arrows");
        PictureStream::open(&stream[..]).unwrap().read(&reading(None), &mut |_| {
            count += 1;
            ControlFlow::Break(())
        });
        assert_eq!(count, 1);
    }
}
