//! Why a network cannot be built from weights, and which tensors do not fit.

use std::{collections::BTreeMap, fmt};

/// Why a network cannot be built from these weights. Nothing was written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// The tensors are not those of the architecture.
    #[error(
        "the weights are not those of {architecture}: {mismatch}\n`resnetd build auto` finds the architecture from the tensors"
    )]
    Mismatch {
        /// The architecture that was asked for.
        architecture: String,
        /// Everything that does not fit.
        mismatch: Mismatch,
    },
    /// A tensor is not there.
    #[error("tensor {tensor:?} is missing from the weights")]
    Missing {
        /// The tensor.
        tensor: String,
    },
    /// The tensors are of no network of the family.
    #[error("these are no weights of a ResNet: {reason}")]
    Unrecognised {
        /// What is missing or strange.
        reason: String,
    },
    /// A weight is infinite or not a number.
    #[error("tensor {tensor:?} holds values that are not finite; the file is damaged or the training diverged")]
    NotFinite {
        /// The tensor, or the batch normalisation that makes it so.
        tensor: String,
    },
    /// A weight is too large for half precision.
    #[error("tensor {tensor:?} holds {}, beyond fp16's 65504; build it with --precision fp32", short(*value))]
    BeyondHalf {
        /// The tensor.
        tensor: String,
        /// The largest value.
        value: f32,
    },
    /// The architecture has no layers to build.
    #[error("{reason}")]
    Architecture {
        /// What is wrong with it.
        reason: String,
    },
}

/// The tensors that do not fit, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Expected shape of each tensor that is not there.
    pub missing: BTreeMap<String, Vec<usize>>,
    /// Shape of each tensor that has no place.
    pub extra: BTreeMap<String, Vec<usize>>,
    /// Expected and found shape of each tensor that is there in another shape.
    pub misshapen: BTreeMap<String, (Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshapen.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} missing, {} extra, {} of another shape",
            self.missing.len(),
            self.extra.len(),
            self.misshapen.len()
        )?;
        for (name, expected) in &self.missing {
            write!(f, "\n  missing    {name} {expected:?}")?;
        }
        for (name, found) in &self.extra {
            write!(f, "\n  extra      {name} {found:?}")?;
        }
        for (name, (expected, found)) in &self.misshapen {
            write!(f, "\n  misshapen  {name}: expected {expected:?}, found {found:?}")?;
        }
        Ok(())
    }
}

/// As people write it: the largest have 39 digits otherwise.
fn short(value: f32) -> String {
    if value.abs() < 1e9 { value.to_string() } else { format!("{value:e}") }
}
