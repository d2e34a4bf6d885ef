//! Folding batch normalisation into the convolution before it: at inference both are linear.
//!
//! `gamma * (conv(x) + b - mean) / sqrt(var + eps) + beta` is a convolution with `weight * s` and
//! `beta + (b - mean) * s`, where `s = gamma / sqrt(var + eps)`. Computed in `f64`, rounded once.

use super::{
    architecture::Conv,
    state_dict::{StateDict, Weight},
    weights::WeightsError,
};

/// Takes the tensors of `conv` and of its batch normalisation out of `state`: the folded kernel
/// `[outputs, inputs / groups, kernel, kernel]` and bias `[outputs]`.
///
/// `state` was checked against the architecture.
///
/// # Errors
/// [`WeightsError::NotFinite`].
pub(super) fn fold(conv: &Conv, epsilon: f64, state: &mut StateDict) -> Result<(Weight, Weight), WeightsError> {
    let mut kernel = state.take(&format!("{}.weight", conv.name))?;
    let own_bias = if conv.bias { Some(state.take(&format!("{}.bias", conv.name))?) } else { None };
    let gamma = state.take(&format!("{}.weight", conv.bn))?;
    let beta = state.take(&format!("{}.bias", conv.bn))?;
    let mean = state.take(&format!("{}.running_mean", conv.bn))?;
    let variance = state.take(&format!("{}.running_var", conv.bn))?;

    let per_output = kernel.data.len() / conv.outputs.max(1);
    let mut bias = Vec::with_capacity(conv.outputs);
    for (output, values) in kernel.data.chunks_exact_mut(per_output.max(1)).enumerate() {
        let scale = f64::from(gamma.data[output]) / (f64::from(variance.data[output]) + epsilon).sqrt();
        let shift = own_bias.as_ref().map_or(0.0, |own| f64::from(own.data[output])) - f64::from(mean.data[output]);
        bias.push((f64::from(beta.data[output]) + shift * scale) as f32);
        for value in values.iter_mut() {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
    if !kernel.data.iter().chain(&bias).all(|value| value.is_finite()) {
        return Err(WeightsError::NotFinite { tensor: format!("{}.weight", conv.bn) });
    }
    Ok((kernel, Weight { shape: vec![conv.outputs], data: bias }))
}
