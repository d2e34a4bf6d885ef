//! Lists in JSON, nested or not, of numbers or of texts in base64: read flat, row by row, while they come.
//!
//! For every protocol that has tensors in JSON. A client writes lists of millions of entries in few bytes: what is beyond the bounds
//! is counted and passed over, and what is kept is charged before it is there. No tree of values is built.

use std::{borrow::Cow, fmt};

use base64::DecodeError;
use bytes::Bytes;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};

use super::base64::decode;
use crate::service::{Charge, Error, Shown};

/// The first piece of memory for numbers, in bytes.
const FIRST_BYTES: usize = 4 << 10;

/// What a list held.
#[derive(Debug, Default)]
pub(super) struct Flat {
    /// The numbers, `f32` in little-endian.
    pub(super) numbers: Vec<u8>,
    /// The texts, each decoded or with the reason why it is not base64.
    pub(super) texts: Vec<Result<Bytes, DecodeError>>,
    /// How long the lists are, the outermost first.
    pub(super) dims: Vec<usize>,
    /// How many numbers or texts there were, those beyond the bounds included.
    pub(super) count: usize,
}

/// Reads a [`Flat`] within bounds.
pub(super) struct FlatReader<'c> {
    most_numbers: usize,
    most_texts: usize,
    charge: &'c Charge,
    flat: Flat,
    /// How deep the numbers or texts are.
    leaf_depth: Option<usize>,
    /// The name of numbers, where entries may have names.
    named: Option<&'c str>,
    /// Why reading was given up, where it is not the document's fault.
    pub(super) refused: Option<Error>,
}

impl<'c> FlatReader<'c> {
    /// * `charge`: pays for what is kept
    pub(super) fn new(most_numbers: usize, most_texts: usize, charge: &'c Charge) -> Self {
        let flat = Flat::default();
        Self { most_numbers, most_texts, charge, flat, leaf_depth: None, named: None, refused: None }
    }

    /// The same, where what is listed may be an object with a name for it, as in `{"input": [0.5]}` and `{"image": {"b64": "…"}}`.
    ///
    /// * `numbers`: the name of numbers; that of a file is any
    pub(super) fn with_names(self, numbers: &'c str) -> Self {
        Self { named: Some(numbers), ..self }
    }

    fn pay<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.charge.add(bytes).map_err(|error| {
            let told = E::custom(&error.message);
            self.refused = Some(error);
            told
        })
    }

    fn number<E: serde::de::Error>(&mut self, depth: usize, value: f64) -> Result<(), E> {
        if !self.flat.texts.is_empty() {
            return Err(E::custom("numbers and texts in one list: send one kind"));
        }
        self.leaf(depth)?;
        let number = value as f32;
        if !number.is_finite() {
            return Err(E::custom(format!("the number {value} is beyond those of 32 bits")));
        }
        if self.flat.count > self.most_numbers {
            return Ok(());
        }
        let room = self.flat.numbers.capacity();
        if self.flat.numbers.len() == room {
            let more = room.max(FIRST_BYTES).min(self.most_numbers * size_of::<f32>() - room);
            self.pay(more)?;
            self.flat.numbers.reserve_exact(more);
        }
        self.flat.numbers.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }

    fn text<E: serde::de::Error>(&mut self, depth: usize, text: &str) -> Result<(), E> {
        if !self.flat.numbers.is_empty() {
            return Err(E::custom("numbers and texts in one list: send one kind"));
        }
        self.leaf(depth)?;
        if self.flat.count > self.most_texts {
            return Ok(());
        }
        // Four letters are three bytes, and an entry of the list is some more.
        self.pay(text.len() / 4 * 3 + size_of::<Bytes>())?;
        self.flat.texts.push(decode(text).map(Bytes::from));
        Ok(())
    }

    fn leaf<E: serde::de::Error>(&mut self, depth: usize) -> Result<(), E> {
        self.flat.count += 1;
        match self.leaf_depth.replace(depth) {
            Some(other) if other != depth => Err(E::custom("lists and numbers side by side: nest all to one depth")),
            _ => Ok(()),
        }
    }

    fn list<E: serde::de::Error>(&mut self, depth: usize, length: usize) -> Result<(), E> {
        if self.leaf_depth.is_some_and(|leaf| leaf <= depth) {
            return Err(E::custom("lists and numbers side by side: nest all to one depth"));
        }
        // Inner lists end before the outer one.
        if self.flat.dims.len() <= depth {
            self.flat.dims.resize(depth + 1, usize::MAX);
        }
        match std::mem::replace(&mut self.flat.dims[depth], length) {
            usize::MAX => Ok(()),
            other if other == length => Ok(()),
            other => {
                Err(E::custom(format!("lists of {other} and of {length} entries side by side: they must be as long")))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut FlatReader<'_> {
    type Value = Flat;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Flat, D::Error> {
        Entry { reader: self, depth: 0 }.deserialize(deserializer)?;
        self.leaf_depth = None;
        Ok(std::mem::take(&mut self.flat))
    }
}

/// A number, a text, or a list of entries.
struct Entry<'r, 'c> {
    reader: &'r mut FlatReader<'c>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Entry<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, or files in base64, in a list or in lists of lists")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { reader, depth } = self;
        let mut length = 0;
        while list.next_element_seed(Entry { reader, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        reader.list(depth, length)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.reader.number(self.depth, value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.reader.number(self.depth, value as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.reader.number(self.depth, value as f64)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.reader.text(self.depth, text)
    }

    /// `{"b64": "…"}`, as TensorFlow Serving has bytes; and what has a name, where names are read.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { reader, depth } = self;
        let wrong = |key: &str| A::Error::custom(format!("`{}` in a list: a file is {{\"b64\": \"…\"}}", Shown(key)));
        let key = map.next_key::<Cow<'_, str>>()?;
        match (key.as_deref(), reader.named) {
            (Some("b64"), _) => {
                let text = map.next_value::<Cow<'_, str>>()?;
                reader.text(depth, &text)?;
            }
            (Some(key), Some(numbers)) => {
                map.next_value_seed(Entry { reader, depth })?;
                if key != numbers && !reader.flat.numbers.is_empty() {
                    let key = Shown(key);
                    return Err(A::Error::custom(format!("the model has no input `{key}`; it has `{numbers}`")));
                }
            }
            (key, _) => return Err(wrong(key.unwrap_or_default())),
        }
        match map.next_key::<Cow<'_, str>>()? {
            None => Ok(()),
            Some(other) if reader.named.is_some() => {
                let (key, other) = (key.unwrap_or_default(), Shown(&other));
                let message = format!("`{other}` beside `{}`: the model has one input", Shown(&key));
                Err(A::Error::custom(message))
            }
            Some(key) => Err(wrong(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        service::{ErrorKind, RequestLimits, Service},
        telemetry::Metrics,
    };

    fn read_with(document: &str, memory: usize) -> (Result<Flat, String>, Option<Error>) {
        let limits = RequestLimits { max_in_flight_bytes: memory, ..RequestLimits::default() };
        let (service, _writer) = Service::new(limits, 1, Metrics::default());
        let charge = service.open_charge().expect("there is room");
        let mut reader = FlatReader::new(6, 2, &charge);
        let mut json = serde_json::Deserializer::from_str(document);
        let read = reader.deserialize(&mut json).map_err(|error| error.to_string());
        (read, reader.refused)
    }

    fn read(document: &str) -> Result<Flat, String> {
        read_with(document, 1 << 30).0
    }

    fn numbers(flat: &Flat) -> Vec<f32> {
        flat.numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn nested_and_flat_lists_hold_the_same_numbers() {
        let flat = read("[1, 2.5, -3, 4e0, 5, 6]").expect("a list");
        let nested = read("[[1, 2.5, -3], [4e0, 5, 6]]").expect("lists");
        assert_eq!(numbers(&flat), [1.0, 2.5, -3.0, 4.0, 5.0, 6.0]);
        assert_eq!(numbers(&nested), numbers(&flat));
        assert_eq!((flat.dims, nested.dims), (vec![6], vec![2, 3]));
        assert_eq!(read("7").expect("a number").dims, [0; 0]);
        assert_eq!(read("[]").expect("nothing").dims, [0]);
    }

    #[test]
    fn texts_are_base64_and_keep_their_order() {
        let flat = read(r#"[["AQID"], [{"b64": "BA=="}]]"#).expect("texts");
        let texts: Vec<_> = flat.texts.into_iter().map(|text| text.expect("base64")).collect();
        assert_eq!(texts, [&[1, 2, 3][..], &[4]]);
        assert_eq!(flat.dims, [2, 1]);
        assert!(read(r#"["???"]"#).expect("a text").texts[0].is_err());
    }

    #[test]
    fn names_are_read_where_a_protocol_has_them() {
        let (service, _writer) = Service::new(RequestLimits::default(), 1, Metrics::default());
        let charge = service.open_charge().expect("there is room");
        let read = |document: &str| {
            let mut reader = FlatReader::new(6, 2, &charge).with_names("input");
            reader.deserialize(&mut serde_json::Deserializer::from_str(document)).map_err(|error| error.to_string())
        };
        let named = read(r#"[{"input": [1, 2]}, {"input": [3, 4]}, [5, 6]]"#).expect("numbers");
        assert_eq!((numbers(&named), named.dims), (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![3, 2]));
        assert_eq!(read(r#"{"input": [[1, 2]]}"#).expect("numbers").dims, [1, 2]);
        let files = read(r#"{"anything": [{"b64": "AQID"}, {"image": {"b64": "BA=="}}]}"#).expect("files");
        assert_eq!((files.texts.len(), files.count, files.dims), (2, 2, vec![2]));
        for (document, part) in [
            (r#"{"pixels": [1]}"#, "no input `pixels`; it has `input`"),
            (r#"[{"input": [1], "b": [2]}]"#, "`b` beside `input`"),
            (r#"[{"b64": "AQID", "c": 1}]"#, "`c` beside `b64`"),
            ("[{}]", "a file is"),
            (r#"[{"input": null}]"#, "null"),
        ] {
            let message = read(document).expect_err(document);
            assert!(message.contains(part), "{document}: {message}");
        }
    }

    #[test]
    fn what_is_no_tensor_is_refused_with_what_is_wrong() {
        for (document, part) in [
            ("[1, [2]]", "side by side"),
            ("[[2], 1]", "side by side"),
            ("[[1, 2], [3]]", "lists of 2 and of 1 entries"),
            ("[[], [3]]", "lists of 0 and of 1 entries"),
            ("[[[1]], [2]]", "side by side"),
            (r#"[1, "AQID"]"#, "one kind"),
            (r#"["AQID", 1]"#, "one kind"),
            ("[true]", "boolean `true`"),
            ("[null]", "null"),
            ("[1e39]", "beyond"),
            ("[NaN]", "expected value"),
            ("[Infinity]", "expected value"),
            ("[1e999]", "out of range"),
            (r#"[{"b65": "AQID"}]"#, "`b65`"),
            (r#"[{"b64": "AQID", "x": 1}]"#, "`x`"),
            ("[{}]", "``"),
            ("{", "EOF"),
        ] {
            let message = read(document).expect_err(document);
            assert!(message.contains(part), "{document}: {message}");
        }
        assert!(read(&"[".repeat(100_000)).expect_err("deep").contains("recursion limit"));
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted_and_not_kept() {
        let many = read(&format!("[{}1]", "1,".repeat(99_999))).expect("numbers");
        assert_eq!((many.count, many.numbers.len()), (100_000, 24));
        let texts = read(&format!("[{}\"AQID\"]", "\"AQID\",".repeat(999))).expect("texts");
        assert_eq!((texts.count, texts.texts.len()), (1000, 2));
    }

    #[test]
    fn a_list_that_does_not_fit_into_memory_is_refused_as_overload() {
        // What a request takes beside its bytes is 32 KiB.
        let (read, refused) = read_with(&format!("[\"{}\"]", "A".repeat(8 << 10)), (32 << 10) + 100);
        read.expect_err("refused");
        assert_eq!(refused.expect("a reason").kind, ErrorKind::Overloaded);
    }
}
