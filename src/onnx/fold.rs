//! Folding BatchNormalization into the Conv before it: at inference both are linear.
//!
//! `gamma * (conv(x) + b - mean) / sqrt(variance + epsilon) + beta` is a convolution with `weight * s` and
//! `beta + (b - mean) * s`, where `s = gamma / sqrt(variance + epsilon)`. Computed in `f64`, rounded once.

/// The parameters of the operator, one value a channel each.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalization<'a> {
    /// Its scale.
    pub gamma: &'a [f32],
    /// Its shift.
    pub beta: &'a [f32],
    /// Subtracted before.
    pub mean: &'a [f32],
    /// Divided by, under the root.
    pub variance: &'a [f32],
    /// Added to the variance.
    pub epsilon: f64,
}

impl BatchNormalization<'_> {
    /// Makes `kernel` that of the convolution that does both, and gives its bias, `[outputs]`.
    ///
    /// * `kernel`: `[outputs, …]`, row-major; as many outputs as there are channels
    /// * `bias`: the convolution's own, `[outputs]`
    pub fn fold_into(&self, kernel: &mut [f32], bias: Option<&[f32]>) -> Vec<f32> {
        let outputs = self.gamma.len();
        let per_output = (kernel.len() / outputs.max(1)).max(1);
        let mut folded = Vec::with_capacity(outputs);
        for (output, values) in kernel.chunks_exact_mut(per_output).enumerate() {
            let scale = f64::from(self.gamma[output]) / (f64::from(self.variance[output]) + self.epsilon).sqrt();
            let shift = bias.map_or(0.0, |bias| f64::from(bias[output])) - f64::from(self.mean[output]);
            folded.push((f64::from(self.beta[output]) + shift * scale) as f32);
            values.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        }
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folded_convolution_gives_the_numbers_computed_by_hand() {
        let normalization = BatchNormalization {
            gamma: &[3.0, 1.0],
            beta: &[0.25, 0.0],
            mean: &[1.0, 2.0],
            variance: &[3.0, 0.0],
            epsilon: 1.0,
        };
        let mut kernel = [2.0, 4.0, 1.0, 8.0];
        // 3 / sqrt(3 + 1) = 1.5 times the weights; 0.25 + (0.5 - 1) * 1.5 for the bias. The second channel: 1 / 1.
        assert_eq!(normalization.fold_into(&mut kernel, Some(&[0.5, 0.0])), [-0.5, -2.0]);
        assert_eq!(kernel, [3.0, 6.0, 1.0, 8.0]);
        assert_eq!(normalization.fold_into(&mut [2.0, 1.0], None), [-1.25, -2.0]);
    }
}
