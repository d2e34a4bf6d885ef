//! `inference.InferTensorContents`: the numbers of a tensor as fields of a message.
//!
//! A field of packed numbers lies in a message as one piece of bytes. It is kept as that piece, a slice of the message: reading it
//! costs one step, whatever its size (`codec`), and turning it into numbers is done elsewhere, within bounds that the rest of the
//! request gives. On the wire it is the message of `proto/inference/grpc_service.proto`. Numbers that a client does not pack, which no library of
//! proto3 does by itself, are refused.

use bytes::Bytes;

use super::varint;

/// The data of one tensor. Each piece is a run of packed numbers; nearly always there is one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InferTensorContents {
    /// A byte each.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub bool_contents: Vec<Bytes>,
    /// Varints.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub int_contents: Vec<Bytes>,
    /// Varints.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub int64_contents: Vec<Bytes>,
    /// Varints.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub uint_contents: Vec<Bytes>,
    /// Varints.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub uint64_contents: Vec<Bytes>,
    /// Four bytes each, little-endian.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub fp32_contents: Vec<Bytes>,
    /// Eight bytes each, little-endian.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub fp64_contents: Vec<Bytes>,
    /// One element each, as it is.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub bytes_contents: Vec<Bytes>,
}

impl InferTensorContents {
    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.all().into_iter().all(Vec::is_empty)
    }

    /// The bytes of all numbers.
    pub(super) fn numbers_len(&self) -> usize {
        let [numbers @ .., _] = self.all();
        numbers.into_iter().flatten().map(Bytes::len).sum()
    }

    fn all(&self) -> [&Vec<Bytes>; 8] {
        [
            &self.bool_contents,
            &self.int_contents,
            &self.int64_contents,
            &self.uint_contents,
            &self.uint64_contents,
            &self.fp32_contents,
            &self.fp64_contents,
            &self.bytes_contents,
        ]
    }
}

/// Turns packed varints into `f32` in little-endian; no more than `most` and one.
///
/// * `signed`: they are `int32`, of which negative ones are written as 64 bits
///
/// # Errors
/// What is wrong, where one does not end or is too long.
pub(super) fn floats(pieces: &[Bytes], most: usize, signed: bool) -> Result<Vec<u8>, &'static str> {
    let bytes = pieces.iter().map(Bytes::len).sum::<usize>();
    let mut floats = Vec::with_capacity(bytes.min(most.saturating_add(1)) * size_of::<f32>());
    varint::each(pieces, most, |value| {
        let number = if signed { value as i32 as f32 } else { value as u32 as f32 };
        floats.extend_from_slice(&number.to_le_bytes());
    })?;
    Ok(floats)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// The same message as `protoc` would have it, of two of the fields.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Standard {
        #[prost(int32, repeated, tag = "2")]
        int_contents: Vec<i32>,
        #[prost(uint32, repeated, tag = "4")]
        uint_contents: Vec<u32>,
        #[prost(float, repeated, tag = "6")]
        fp32_contents: Vec<f32>,
    }

    fn numbers(floats: &[u8]) -> Vec<f32> {
        floats.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn what_the_standards_message_holds_is_read() {
        let standard = Standard {
            int_contents: vec![0, -128, 127, -1],
            uint_contents: vec![0, 127, 128, 255, 300],
            fp32_contents: vec![0.5, -2.0],
        };
        let read = InferTensorContents::decode(&*standard.encode_to_vec()).expect("the same on the wire");
        assert_eq!(numbers(&floats(&read.int_contents, 10, true).expect("whole")), [0.0, -128.0, 127.0, -1.0]);
        assert_eq!(numbers(&floats(&read.uint_contents, 10, false).expect("whole")), [0.0, 127.0, 128.0, 255.0, 300.0]);
        assert_eq!(numbers(&read.fp32_contents.concat()), [0.5, -2.0]);
        assert_eq!(Standard::decode(&*read.encode_to_vec()), Ok(standard));
        assert_eq!(read.numbers_len(), 1 + 10 + 1 + 10 + 1 + 1 + 2 + 2 + 2 + 8);
        assert!(!read.is_empty() && InferTensorContents::default().is_empty());
    }

    #[test]
    fn no_more_numbers_are_read_than_one_too_many() {
        let many = [Bytes::from(vec![1; 1 << 20])];
        assert_eq!(floats(&many, 3, false).expect("whole").len(), 4 * 4);
    }

    #[test]
    fn numbers_that_do_not_end_are_refused() {
        for piece in [&[0x80][..], &[1, 0xff], &[0x80; 11], &[0xff; 100]] {
            floats(&[Bytes::copy_from_slice(piece)], 100, false).expect_err("refused");
        }
    }
}
