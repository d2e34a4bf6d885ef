//! What the numbers of a graph's input are, and a batch in them. Batches are `f32`; a graph that takes others gets them converted.

use half::{f16, slice::HalfFloatSliceExt as _};
use ort::value::{DynValueRef, TensorRef};

use crate::tensor::NumberType;

/// The element type of a graph's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit floats.
    Float,
    /// 16-bit floats.
    Half,
    /// Pixels as they are, 0 to 255.
    Uint8,
    /// Pixels less 128.
    Int8,
}

impl Element {
    /// By the name that a [`GraphTensor`](super::GraphTensor) has it under; `None` for what no batch is made in.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "float32" => Some(Self::Float),
            "float16" => Some(Self::Half),
            "uint8" => Some(Self::Uint8),
            "int8" => Some(Self::Int8),
            _ => None,
        }
    }
}

impl From<Element> for NumberType {
    fn from(element: Element) -> Self {
        match element {
            Element::Float => Self::Float32,
            Element::Half => Self::Float16,
            Element::Uint8 => Self::Uint8,
            Element::Int8 => Self::Int8,
        }
    }
}

/// Rounds to the nearest whole number that there is; what is no number becomes 0.
pub(super) fn to_u8(value: f32) -> u8 {
    value.round() as u8
}

/// The same with a sign.
pub(super) fn to_i8(value: f32) -> i8 {
    value.round() as i8
}

/// Memory for a batch that was converted, used again by each run.
#[derive(Default)]
pub(super) struct Converted {
    half: Vec<f16>,
    unsigned: Vec<u8>,
    signed: Vec<i8>,
}

impl Converted {
    /// `data` as the graph takes it; where that is `f32`, it is read where it lies.
    pub(super) fn tensor<'a>(
        &'a mut self,
        element: Element,
        shape: [usize; 4],
        data: &'a [f32],
    ) -> ort::Result<DynValueRef<'a>> {
        Ok(match element {
            Element::Float => TensorRef::from_array_view((shape, data))?.into_dyn(),
            Element::Half => {
                self.half.resize(data.len(), f16::ZERO);
                self.half.convert_from_f32_slice(data);
                TensorRef::from_array_view((shape, &*self.half))?.into_dyn()
            }
            Element::Uint8 => {
                self.unsigned.clear();
                self.unsigned.extend(data.iter().copied().map(to_u8));
                TensorRef::from_array_view((shape, &*self.unsigned))?.into_dyn()
            }
            Element::Int8 => {
                self.signed.clear();
                self.signed.extend(data.iter().copied().map(to_i8));
                TensorRef::from_array_view((shape, &*self.signed))?.into_dyn()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_and_kept_within_the_type() {
        assert_eq!([0.0, 254.6, 300.0, -3.0, f32::NAN].map(to_u8), [0, 255, 255, 0, 0]);
        assert_eq!([-128.0, 127.0, -200.0, 200.0, 0.4].map(to_i8), [-128, 127, -128, 127, 0]);
    }
}
