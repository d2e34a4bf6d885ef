//! `tensorflow.TensorProto` and the lists of `tensorflow.Feature`: numbers as fields of a message.
//!
//! A field of packed numbers is kept as the piece of bytes that it is in the message, as in `contents`, and for the same reason: reading
//! it costs one step (`codec`). On the wire these are the messages of `proto/tensorflow`.

use bytes::Bytes;

use super::proto::tensorflow::{DataType, TensorShapeProto};

/// A tensor. Each piece of a list is a run of packed numbers; nearly always there is one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    /// What its elements are.
    #[prost(enumeration = "DataType", tag = "1")]
    pub dtype: i32,
    /// How many there are; one where it is absent.
    #[prost(message, optional, tag = "2")]
    pub tensor_shape: Option<TensorShapeProto>,
    /// 0.
    #[prost(int32, tag = "3")]
    pub version_number: i32,
    /// The elements as they lie in memory, little-endian.
    #[prost(bytes = "bytes", tag = "4")]
    pub tensor_content: Bytes,
    /// Four bytes each, little-endian.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub float_val: Vec<Bytes>,
    /// Eight bytes each, little-endian.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub double_val: Vec<Bytes>,
    /// Varints.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub int_val: Vec<Bytes>,
    /// One element each, as it is.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub string_val: Vec<Bytes>,
    /// Varints.
    #[prost(bytes = "bytes", repeated, tag = "10")]
    pub int64_val: Vec<Bytes>,
    /// Varints: the 16 bits of each.
    #[prost(bytes = "bytes", repeated, tag = "13")]
    pub half_val: Vec<Bytes>,
}

impl TensorProto {
    /// The bytes of all numbers.
    pub(super) fn numbers_len(&self) -> usize {
        let lists = [&self.float_val, &self.double_val, &self.int_val, &self.int64_val, &self.half_val];
        self.tensor_content.len() + lists.into_iter().flatten().map(Bytes::len).sum::<usize>()
    }
}

/// Numbers of a feature.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FloatList {
    /// Four bytes each, little-endian.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub value: Vec<Bytes>,
}

/// Whole numbers of a feature.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Int64List {
    /// Varints.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub value: Vec<Bytes>,
}
