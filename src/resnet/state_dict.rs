//! Trained weights by name, whatever file they came from.
//!
//! Names are the file's own until an importer has mapped them to torchvision's (`layer1.0.conv1.weight`).

use std::collections::BTreeMap;

use super::WeightsError;

/// A named set of tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateDict {
    /// Sorted by name.
    pub tensors: BTreeMap<String, Weight>,
}

/// One tensor of a [`StateDict`].
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Outermost dimension first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major, `shape.product()` values.
    pub data: Vec<f32>,
}

impl StateDict {
    /// Moves a tensor out.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] when there is none of that name.
    pub(super) fn take(&mut self, name: &str) -> Result<Weight, WeightsError> {
        self.tensors.remove(name).ok_or_else(|| WeightsError::Missing { tensor: name.into() })
    }
}

/// Whether a tensor of this name counts steps of training, PyTorch's `num_batches_tracked` and Chainer's `N`: whole numbers
/// that no network needs.
pub(super) fn is_counter(name: &str) -> bool {
    name.ends_with("num_batches_tracked") || name.ends_with("/N")
}
