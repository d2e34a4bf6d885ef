//! The protocol's names of what the numbers of a tensor are.

use crate::{
    service::{Error, ErrorKind, Shown},
    tensor::NumberType,
};

/// The datatype of texts and files.
pub(in crate::server) const BYTES: &str = "BYTES";

/// The datatype of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Datatype {
    /// Encoded pictures.
    Bytes,
    /// The network's input.
    Numbers(NumberType),
}

/// What each type of numbers is called.
const NAMES: [(&str, NumberType); 5] = [
    ("FP32", NumberType::Float32),
    ("FP16", NumberType::Float16),
    ("BF16", NumberType::BFloat16),
    ("UINT8", NumberType::Uint8),
    ("INT8", NumberType::Int8),
];

impl Datatype {
    /// By its name.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is not read.
    pub(in crate::server) fn named(name: &str) -> Result<Self, Error> {
        if name == BYTES {
            return Ok(Self::Bytes);
        }
        let found = NAMES.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, numbers)| Self::Numbers(numbers)).ok_or_else(|| {
            let name = Shown(name);
            let message = format!(
                "datatype `{name}` is not read: send FP32, FP16, BF16 or UINT8, or BYTES with pictures as JPEG or PNG files"
            );
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }
}

/// The name of a type of numbers.
pub(in crate::server) fn name_of(numbers: NumberType) -> &'static str {
    match numbers {
        NumberType::Float32 => "FP32",
        NumberType::Float16 => "FP16",
        NumberType::BFloat16 => "BF16",
        NumberType::Uint8 => "UINT8",
        NumberType::Int8 => "INT8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_the_name_that_it_is_found_by() {
        for (name, numbers) in NAMES {
            assert_eq!(name_of(numbers), name);
            assert_eq!(Datatype::named(name), Ok(Datatype::Numbers(numbers)));
        }
        for name in ["", "fp32", "FP64", "INT64", "BOOL", "STRING", &"X".repeat(9000)] {
            let message = Datatype::named(name).expect_err(name).message;
            assert!(message.contains("send FP32") && message.len() < 400, "{message}");
        }
    }
}
