//! TensorFlow's names of what the numbers of a tensor are.

use crate::tensor::NumberType;

/// The name of a type of numbers.
pub(in crate::server) fn name_of(numbers: NumberType) -> &'static str {
    match numbers {
        NumberType::Float32 => "DT_FLOAT",
        NumberType::Float16 => "DT_HALF",
        NumberType::BFloat16 => "DT_BFLOAT16",
        NumberType::Uint8 => "DT_UINT8",
        NumberType::Int8 => "DT_INT8",
    }
}
