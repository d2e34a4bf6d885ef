//! Tensors: values in and out of [`TensorProto`]'s several fields.

use bytes::Bytes;
use half::{bf16, f16};

use super::{DataType, TensorProto, proto::tensor_proto::DataLocation};

/// Why a tensor's values cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The values are of a type that does not convert.
    #[error("tensor {name:?} holds {found}, expected {expected}")]
    Type {
        /// The tensor.
        name: String,
        /// Its element type.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// The data is shorter or longer than the shape says, or the shape is negative or overflows.
    #[error("tensor {name:?} of shape {dims:?} holds {found} values; the file is corrupt")]
    Length {
        /// The tensor.
        name: String,
        /// Its shape.
        dims: Vec<i64>,
        /// The number of values that are there.
        found: usize,
    },
    /// The values lie in another file and were not loaded.
    #[error("tensor {name:?} keeps its values in another file; read the model from its path, beside that file")]
    External {
        /// The tensor.
        name: String,
    },
}

/// The number of values that the shape says; `None` when it is negative or overflows.
pub fn tensor_len(tensor: &TensorProto) -> Option<usize> {
    tensor.dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?))
}

/// A FLOAT tensor. The values become little-endian bytes, `shape.product()` of them times four.
pub fn float_tensor(name: impl Into<String>, shape: &[usize], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw_tensor(name, shape, DataType::Float, raw)
}

/// A FLOAT16 tensor, each value rounded to the nearest.
pub fn half_tensor(name: impl Into<String>, shape: &[usize], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
    raw_tensor(name, shape, DataType::Float16, raw)
}

/// An INT64 tensor with one dimension.
pub fn int_tensor(name: impl Into<String>, values: &[i64]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw_tensor(name, &[values.len()], DataType::Int64, raw)
}

fn raw_tensor(name: impl Into<String>, shape: &[usize], data_type: DataType, raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: shape.iter().map(|&dim| dim as i64).collect(),
        data_type: data_type.into(),
        raw_data: Bytes::from(raw),
        ..TensorProto::default()
    }
}

/// The values of a floating-point tensor (FLOAT, DOUBLE, FLOAT16, BFLOAT16) as `f32`, row-major.
///
/// # Errors
/// [`TensorError`] when it holds another type, or not as many values as its shape says.
pub fn f32_values(tensor: &TensorProto) -> Result<Vec<f32>, TensorError> {
    refuse_external(tensor)?;
    let raw = &tensor.raw_data;
    let values: Vec<f32> = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if raw.is_empty() => tensor.float_data.clone(),
        Ok(DataType::Float) => words(raw).map(f32::from_le_bytes).collect(),
        Ok(DataType::Double) if raw.is_empty() => tensor.double_data.iter().map(|&value| value as f32).collect(),
        Ok(DataType::Double) => words(raw).map(|word| f64::from_le_bytes(word) as f32).collect(),
        Ok(DataType::Float16) if raw.is_empty() => {
            tensor.int32_data.iter().map(|&bits| f16::from_bits(bits as u16).to_f32()).collect()
        }
        Ok(DataType::Float16) => words(raw).map(|word| f16::from_le_bytes(word).to_f32()).collect(),
        Ok(DataType::Bfloat16) if raw.is_empty() => {
            tensor.int32_data.iter().map(|&bits| bf16::from_bits(bits as u16).to_f32()).collect()
        }
        Ok(DataType::Bfloat16) => words(raw).map(|word| bf16::from_le_bytes(word).to_f32()).collect(),
        _ => return Err(wrong_type(tensor, "floating-point numbers")),
    };
    sized(tensor, values)
}

/// The values of an integer tensor (INT64, INT32, INT8, UINT8) as `i64`, row-major.
///
/// # Errors
/// [`TensorError`] when it holds another type, or not as many values as its shape says.
pub fn i64_values(tensor: &TensorProto) -> Result<Vec<i64>, TensorError> {
    refuse_external(tensor)?;
    let raw = &tensor.raw_data;
    let values: Vec<i64> = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Int64) if raw.is_empty() => tensor.int64_data.clone(),
        Ok(DataType::Int64) => words(raw).map(i64::from_le_bytes).collect(),
        Ok(DataType::Int32 | DataType::Int8 | DataType::Uint8) if raw.is_empty() => {
            tensor.int32_data.iter().map(|&value| value.into()).collect()
        }
        Ok(DataType::Int32) => words(raw).map(|word| i32::from_le_bytes(word).into()).collect(),
        Ok(DataType::Int8) => raw.iter().map(|&byte| i64::from(byte as i8)).collect(),
        Ok(DataType::Uint8) => raw.iter().map(|&byte| i64::from(byte)).collect(),
        _ => return Err(wrong_type(tensor, "integers")),
    };
    sized(tensor, values)
}

fn words<const SIZE: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; SIZE]> {
    raw.as_chunks::<SIZE>().0.iter().copied()
}

fn sized<T>(tensor: &TensorProto, values: Vec<T>) -> Result<Vec<T>, TensorError> {
    if tensor_len(tensor) == Some(values.len()) {
        Ok(values)
    } else {
        Err(TensorError::Length { name: tensor.name.clone(), dims: tensor.dims.clone(), found: values.len() })
    }
}

fn refuse_external(tensor: &TensorProto) -> Result<(), TensorError> {
    match tensor.data_location() {
        DataLocation::External => Err(TensorError::External { name: tensor.name.clone() }),
        DataLocation::Default => Ok(()),
    }
}

fn wrong_type(tensor: &TensorProto, expected: &'static str) -> TensorError {
    let found = DataType::try_from(tensor.data_type)
        .map_or_else(|_| format!("type {}", tensor.data_type), |data_type| data_type.as_str_name().to_owned());
    TensorError::Type { name: tensor.name.clone(), found, expected }
}
