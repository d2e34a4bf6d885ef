//! Attributes of nodes, typed: `node.int("group")`, and their constructors.
//!
//! A getter gives `None` both for an absent attribute and for one of another type; the caller then applies the
//! operator's default.

use super::{AttributeProto, AttributeType, NodeProto, TensorProto};

impl NodeProto {
    /// The attribute called `name`.
    pub fn attr(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// An INT attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.typed(name, AttributeType::Int).map(|attribute| attribute.i())
    }

    /// A FLOAT attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.typed(name, AttributeType::Float).map(|attribute| attribute.f())
    }

    /// An INTS attribute.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.typed(name, AttributeType::Ints).map(|attribute| attribute.ints.as_slice())
    }

    /// A STRING attribute that is UTF-8.
    pub fn string(&self, name: &str) -> Option<&str> {
        self.typed(name, AttributeType::String).and_then(|attribute| std::str::from_utf8(attribute.s()).ok())
    }

    /// A TENSOR attribute.
    pub fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.typed(name, AttributeType::Tensor).and_then(|attribute| attribute.t.as_ref())
    }

    fn typed(&self, name: &str, wanted: AttributeType) -> Option<&AttributeProto> {
        // Files older than IR version 2 leave the type out; then the field that is set decides.
        self.attr(name).filter(|a| a.r#type() == wanted || a.r#type() == AttributeType::Undefined)
    }
}

impl AttributeProto {
    /// `name = value`, an INT.
    pub fn of_int(name: &str, value: i64) -> Self {
        Self { name: name.into(), i: Some(value), r#type: AttributeType::Int.into(), ..Self::default() }
    }

    /// `name = value`, a FLOAT.
    pub fn of_float(name: &str, value: f32) -> Self {
        Self { name: name.into(), f: Some(value), r#type: AttributeType::Float.into(), ..Self::default() }
    }

    /// `name = values`, an INTS.
    pub fn of_ints(name: &str, values: &[i64]) -> Self {
        Self { name: name.into(), ints: values.to_vec(), r#type: AttributeType::Ints.into(), ..Self::default() }
    }

    /// `name = value`, a STRING.
    pub fn of_string(name: &str, value: &str) -> Self {
        let s = Some(bytes::Bytes::copy_from_slice(value.as_bytes()));
        Self { name: name.into(), s, r#type: AttributeType::String.into(), ..Self::default() }
    }

    /// `name = value`, a TENSOR.
    pub fn of_tensor(name: &str, value: TensorProto) -> Self {
        Self { name: name.into(), t: Some(value), r#type: AttributeType::Tensor.into(), ..Self::default() }
    }
}
