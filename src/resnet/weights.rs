//! Whether a state dict is that of an architecture: one answer that lists everything that does not fit.

use std::{collections::BTreeMap, fmt};

use super::{
    architecture::Architecture,
    state_dict::{StateDict, Weight},
};

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
    #[error("tensor {tensor:?} holds {value}, beyond fp16's 65504; build it with --precision fp32")]
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
    fn is_empty(&self) -> bool {
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

/// Checks that `state` has every tensor of `architecture` and no other.
///
/// # Errors
/// [`WeightsError::Mismatch`].
pub fn check(architecture: &Architecture, state: &StateDict) -> Result<(), WeightsError> {
    let expected: BTreeMap<String, Vec<usize>> = architecture.tensors().into_iter().collect();
    let mut mismatch = Mismatch::default();
    for (name, shape) in &expected {
        match state.tensors.get(name) {
            None => drop(mismatch.missing.insert(name.clone(), shape.clone())),
            Some(Weight { shape: found, data }) if found != shape || data.len() != shape.iter().product::<usize>() => {
                mismatch.misshapen.insert(name.clone(), (shape.clone(), found.clone()));
            }
            Some(_) => {}
        }
    }
    for (name, weight) in &state.tensors {
        if !expected.contains_key(name) && !is_counter(name) {
            mismatch.extra.insert(name.clone(), weight.shape.clone());
        }
    }
    if mismatch.is_empty() {
        Ok(())
    } else {
        Err(WeightsError::Mismatch { architecture: architecture.to_string(), mismatch })
    }
}

/// Batch counters of training: PyTorch's `num_batches_tracked`, Chainer's `N`.
fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked") || name.ends_with("/N")
}
