//! Whether a state dict is that of an architecture: one answer that lists everything that does not fit.

use std::collections::BTreeMap;

use super::{
    architecture::Architecture,
    error::{Mismatch, WeightsError},
    state_dict::{StateDict, Weight, is_counter},
};

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
