//! From what was observed to 8-bit scales: which range an activation is cut to, and what a weight becomes. Pure.
//!
//! `real = scale * (quantized - zero_point)`. Activations are `u8` with a zero point, so that zero (padding, and what a
//! ReLU leaves) is exact; weights are `i8`, symmetric, with one scale for each output channel.

use super::histogram::Histogram;

/// How the range of an activation is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Leaves the rarest values out: [`PERCENTILE`] of the values lie inside.
    #[default]
    Percentile,
    /// Every value that occurred lies inside.
    MinMax,
    /// The range with the least squared error.
    Mse,
}

/// The share of the values, in percent, that [`Method::Percentile`] keeps inside the range.
///
/// Chosen by measurement: on the built-in model, of 99.9 to 99.9999 and both other methods, it gave the most images with
/// the same top class (99.2 % of 10,000) and the least noise in every layer.
pub const PERCENTILE: f64 = 99.995;

/// Steps of the search for the least squared error: the range is tried at 1/100, 2/100, … of what occurred.
const MSE_STEPS: u32 = 100;

/// A bias is at most this many of its steps, so that the sum in 32 bits has room for the products: a product is at most
/// 255 * 128 = 2^15, so 2^15 of them fit beside it; the widest layer of ResNet-152 sums 4,608.
const MAX_BIAS: f64 = (1u32 << 30) as f64;

/// How an activation is written in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ActivationScale {
    /// The step between neighbouring values.
    pub scale: f32,
    /// The value that means zero.
    pub zero_point: u8,
}

/// A layer's weights and bias in integers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct QuantizedWeights {
    /// Output channel by output channel, as the weights were.
    pub values: Vec<i8>,
    /// One for each output channel.
    pub scales: Vec<f32>,
    /// In steps of the input's scale times the channel's; empty where there was none.
    pub bias: Vec<i32>,
}

/// The range that `method` cuts an activation to; it holds zero.
pub(super) fn range(histogram: &Histogram, method: Method) -> (f32, f32) {
    let Some((min, max)) = histogram.extremes() else { return (0.0, 0.0) };
    let (low, high) = match method {
        Method::MinMax => (min, max),
        Method::Percentile => {
            // A ReLU's output is cut at one end; everything else at both, and each end gets half of the values that may
            // be left out.
            let left_out = 1.0 - PERCENTILE / 100.0;
            if min >= 0.0 {
                (0.0, histogram.quantile(1.0 - left_out))
            } else {
                (histogram.quantile(left_out / 2.0), histogram.quantile(1.0 - left_out / 2.0))
            }
        }
        Method::Mse => least_squared_error(histogram, min.min(0.0), max.max(0.0)),
    };
    (low.min(0.0), high.max(0.0))
}

fn least_squared_error(histogram: &Histogram, min: f32, max: f32) -> (f32, f32) {
    let error = |(low, high): (f32, f32)| {
        let scale = f64::from(high - low) / 255.0;
        histogram
            .bins()
            .filter(|(.., count)| *count > 0)
            .map(|(left, right, count)| {
                let value = (f64::from(left) + f64::from(right)) / 2.0;
                let off = if value > f64::from(high) {
                    (value - f64::from(high)).powi(2)
                } else if value < f64::from(low) {
                    (f64::from(low) - value).powi(2)
                } else {
                    // A value that rounds to zero is off by its own size; any other is off by up to half a step, evenly
                    // distributed.
                    (scale * scale / 12.0).min(value * value)
                };
                off * count as f64
            })
            .sum::<f64>()
    };
    let candidates = (1..=MSE_STEPS).map(|step| {
        let share = step as f32 / MSE_STEPS as f32;
        (min * share, max * share)
    });
    candidates.min_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap_or((min, max))
}

/// The step and zero point that spread 0 to 255 over `low..=high`, moved so that zero is exact.
pub(super) fn activation_scale((low, high): (f32, f32)) -> ActivationScale {
    let scale = (high - low) / 255.0;
    if !(scale.is_finite() && scale >= f32::MIN_POSITIVE) {
        return ActivationScale { scale: 1.0, zero_point: 0 };
    }
    ActivationScale { scale, zero_point: (-low / scale).round().clamp(0.0, 255.0) as u8 }
}

/// Weights of `bits` bits. With 7, the sum of two products with `u8` fits 16 bits: 2 * 255 * 64 < 2^15.
///
/// * `weights`: `[outputs, ...]`, row-major
/// * `bias`: `[outputs]`, or empty
/// * `input`: how the layer's input is written
pub(super) fn quantize_weights(
    weights: &[f32],
    bias: &[f32],
    outputs: usize,
    bits: u32,
    input: ActivationScale,
) -> QuantizedWeights {
    let largest_value = if bits < 8 { 64.0 } else { 127.0 };
    let per_output = (weights.len() / outputs.max(1)).max(1);
    let mut quantized =
        QuantizedWeights { values: Vec::with_capacity(weights.len()), scales: Vec::new(), bias: Vec::new() };
    for (output, channel) in weights.chunks_exact(per_output).enumerate() {
        let largest = channel.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let mut scale = f64::from(largest) / largest_value;
        let input_scale = f64::from(input.scale);
        if let Some(&bias) = bias.get(output) {
            // A channel of tiny weights with an ordinary bias (a dead filter after folding) needs coarser steps.
            scale = scale.max(f64::from(bias.abs()) / (MAX_BIAS * input_scale));
        }
        // A channel of zeros determines no scale, and engines turn a subnormal scale into zero: both get 1.
        let scale = if scale < f64::from(f32::MIN_POSITIVE) { 1.0 } else { scale as f32 };
        let step = |value: f32| (f64::from(value) / f64::from(scale)).round().clamp(-largest_value, largest_value);
        quantized.values.extend(channel.iter().map(|&value| step(value) as i8));
        quantized.scales.push(scale);
        if let Some(&bias) = bias.get(output) {
            quantized.bias.push((f64::from(bias) / (input_scale * f64::from(scale))).round() as i32);
        }
    }
    quantized
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    #[test]
    fn zero_is_exact_in_an_activation() {
        // -1..=3 in 255 steps: 4/255 each, zero after 63.75 of them.
        let scale = activation_scale((-1.0, 3.0));
        assert_eq!(scale, ActivationScale { scale: 4.0 / 255.0, zero_point: 64 });
        assert_eq!(activation_scale((0.0, 2.55)).zero_point, 0);
        assert_eq!(activation_scale((-2.55, 0.0)).zero_point, 255);
    }

    #[test]
    fn a_tensor_that_is_always_zero_has_a_usable_scale() {
        assert_eq!(
            activation_scale(range(&histogram(&[0.0; 8]), Method::Mse)),
            ActivationScale { scale: 1.0, zero_point: 0 }
        );
        assert_eq!(range(&Histogram::default(), Method::Percentile), (0.0, 0.0));
    }

    #[test]
    fn the_range_holds_zero_even_where_no_value_is_near_it() {
        for method in [Method::Percentile, Method::MinMax, Method::Mse] {
            let (low, high) = range(&histogram(&[2.0, 3.0]), method);
            assert_eq!(low, 0.0, "{method:?}");
            assert!((high - 3.0).abs() < 0.05, "{method:?}: {high}");
        }
    }

    #[test]
    fn percentile_and_mse_leave_one_outlier_of_a_million_out_and_minmax_does_not() {
        let mut values: Vec<f32> = (0..1_000_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values.push(40.0);
        let histogram = histogram(&values);
        assert_eq!(range(&histogram, Method::MinMax), (0.0, 40.0));
        let (_, high) = range(&histogram, Method::Percentile);
        assert!((high - 1.0).abs() < 0.02, "{high}");
        // A range up to h costs (40 - h)^2 for the outlier and 1e6 * (h / 255)^2 / 12 for rounding: least at h = 17.5.
        let (_, high) = range(&histogram, Method::Mse);
        assert!((high - 17.5).abs() < 0.5, "{high}");
    }

    #[test]
    fn weights_have_the_scale_of_their_own_channel() {
        let input = ActivationScale { scale: 0.5, zero_point: 0 };
        let quantized = quantize_weights(&[1.27, -0.635, 0.0254, 0.01], &[1.0, -0.002], 2, 8, input);
        assert_eq!(quantized.values, [127, -64, 127, 50]);
        assert!((quantized.scales[0] - 0.01).abs() < 1e-8 && (quantized.scales[1] - 0.0002).abs() < 1e-9);
        // In steps of 0.5 * 0.01 and 0.5 * 0.0002.
        assert_eq!(quantized.bias, [200, -20]);
    }

    #[test]
    fn seven_bit_weights_cannot_overflow_a_pair_of_products_in_16_bits() {
        let input = ActivationScale { scale: 1.0, zero_point: 0 };
        let weights: Vec<f32> = (-100..=100).map(|i| i as f32).collect();
        let quantized = quantize_weights(&weights, &[], 1, 7, input);
        let largest = quantized.values.iter().map(|&value| i32::from(value).abs()).max().unwrap();
        assert_eq!(largest, 64);
        assert!(2 * 255 * largest <= i32::from(i16::MAX));
    }

    #[test]
    fn a_dead_filter_with_a_bias_keeps_its_bias() {
        let input = ActivationScale { scale: 0.01, zero_point: 0 };
        let quantized = quantize_weights(&[1e-20, 0.0], &[3.0, 0.25], 2, 8, input);
        for (channel, bias) in [3.0, 0.25].into_iter().enumerate() {
            let back = f64::from(quantized.bias[channel]) * 0.01 * f64::from(quantized.scales[channel]);
            assert!((back - bias).abs() < bias * 1e-6 + 0.005, "{back} for {bias}");
        }
    }
}
