//! A convolution of a weight file with its batch normalisation folded into it: see [`BatchNormalization`].

use super::{
    architecture::ConvBn,
    error::WeightsError,
    state_dict::{StateDict, Weight},
};
use crate::onnx::BatchNormalization;

/// Takes the tensors of `conv` and of its batch normalisation out of `state`: the folded kernel
/// `[outputs, inputs / groups, kernel, kernel]` and bias `[outputs]`.
///
/// `state` was checked against the architecture.
///
/// # Errors
/// [`WeightsError::NotFinite`].
pub(super) fn fold(conv: &ConvBn, epsilon: f64, state: &mut StateDict) -> Result<(Weight, Weight), WeightsError> {
    let mut kernel = state.take(&format!("{}.weight", conv.name))?;
    let own_bias = if conv.bias { Some(state.take(&format!("{}.bias", conv.name))?) } else { None };
    let gamma = state.take(&format!("{}.weight", conv.bn))?;
    let beta = state.take(&format!("{}.bias", conv.bn))?;
    let mean = state.take(&format!("{}.running_mean", conv.bn))?;
    let variance = state.take(&format!("{}.running_var", conv.bn))?;

    let normalization = BatchNormalization {
        gamma: &gamma.data,
        beta: &beta.data,
        mean: &mean.data,
        variance: &variance.data,
        epsilon,
    };
    let bias = normalization.fold_into(&mut kernel.data, own_bias.as_ref().map(|own| &own.data[..]));
    if !kernel.data.iter().chain(&bias).all(|value| value.is_finite()) {
        return Err(WeightsError::NotFinite { tensor: format!("{}.weight", conv.bn) });
    }
    Ok((kernel, Weight { shape: vec![conv.outputs], data: bias }))
}
