//! `.safetensors`: a JSON header with name, type, shape and place of each tensor, then the bytes.
//!
//! The crate `safetensors` checks the header; the tensors are read one after the other, so that only the `f32` result is
//! ever in memory.

use std::fs::File;
use std::io::{BufReader, Read};

use ::safetensors::Dtype as FileDtype;
use ::safetensors::tensor::Metadata;

use super::error::Reason;
use super::raw_file::RawFile;
use super::values::{Budget, Dtype, count_of};
use crate::resnet::state_dict::{Weight, is_counter};

const FORMAT: &str = "safetensors";

/// As the reference implementation has it.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Reads every floating-point tensor, and the header's `__metadata__`.
pub(super) fn read(file: File) -> Result<RawFile, Reason> {
    let file_len = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut length = [0; 8];
    reader.read_exact(&mut length).map_err(|_| Reason::damaged(FORMAT, "shorter than 8 bytes"))?;
    let header_len = u64::from_le_bytes(length);
    if header_len > MAX_HEADER_BYTES || header_len > file_len.saturating_sub(8) {
        return Err(Reason::damaged(FORMAT, format!("a header of {header_len} bytes in a file of {file_len}")));
    }
    let mut header = vec![0; header_len as usize];
    reader.read_exact(&mut header)?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| Reason::damaged(FORMAT, format!("its header: {error}")))?;
    let (promised, present) = (header.data_len() as u64, file_len - 8 - header_len);
    if promised != present {
        return Err(Reason::damaged(
            FORMAT,
            format!("{present} bytes of tensors where the header promises {promised}"),
        ));
    }

    let mut raw = RawFile::default();
    let mut budget = Budget::new();
    // In the order of the file, which `Metadata` has made sure is without gaps.
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let dtype = match info.dtype {
            FileDtype::F16 => Some(Dtype::F16),
            FileDtype::BF16 => Some(Dtype::Bf16),
            FileDtype::F32 => Some(Dtype::F32),
            FileDtype::F64 => Some(Dtype::F64),
            _ => None,
        };
        match (dtype, is_counter(&name)) {
            (Some(dtype), false) => {
                let count = count_of(&info.shape).ok_or_else(|| Reason::damaged(FORMAT, format!("shape of {name}")))?;
                let data = budget.read(&mut reader, dtype, count)?;
                raw.state_dict.tensors.insert(name, Weight { shape: info.shape.clone(), data });
            }
            (_, counts) => {
                if !counts {
                    raw.others.insert(name.clone(), info.dtype.to_string());
                }
                let bytes = (info.data_offsets.1 - info.data_offsets.0) as i64;
                reader.seek_relative(bytes)?;
            }
        }
    }
    raw.metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(raw)
}
