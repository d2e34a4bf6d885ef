//! What each layer loses: the 8-bit graph's inner values against the fp32 graph's, on the same images.

use std::collections::HashMap;

use super::{
    QuantizeError,
    images::{ImagePreparation, Sample},
    observe::Observer,
    plan::{LayerRole, QuantizationPlan},
};
use crate::onnx::GraphProto;

/// A layer with weights, and how far what it makes is from fp32.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LayerNoise {
    /// The layer.
    pub layer: String,
    /// Signal to quantization noise of its output, all layers before it in 8 bits too.
    pub sqnr_db: f64,
    /// The noise that this layer adds: the noise of its output less that of its input, each as a share of its signal.
    #[serde(skip)]
    pub added: f64,
}

/// Sums of squares.
#[derive(Clone, Copy, Default)]
struct Power {
    signal: f64,
    noise: f64,
}

impl Power {
    fn share(self) -> f64 {
        if self.signal > 0.0 { self.noise / self.signal } else { 0.0 }
    }
}

/// Compares the two graphs on `samples`; the layer with the most noise first.
///
/// * `fp32`, `int8`: watch the same values in the same order, batches of one size
/// * `names`: from a value's name in the 8-bit graph to its name in the fp32 one
///
/// # Errors
/// [`QuantizeError`] from the runtime and the files.
pub(super) fn layer_noise(
    (mut fp32, mut int8): (Observer, Observer),
    names: &HashMap<String, String>,
    (graph, plan): (&GraphProto, &QuantizationPlan),
    images: &ImagePreparation,
    samples: &[Sample],
) -> Result<Vec<LayerNoise>, QuantizeError> {
    let mut power: HashMap<String, Power> = HashMap::new();
    images.batches(samples, fp32.batch_size, |batch, _| {
        for group in 0..fp32.groups().min(int8.groups()) {
            let mut exact: HashMap<String, Vec<f32>> = HashMap::new();
            fp32.show(group, batch, |name, values| {
                exact.insert(name.to_owned(), values.to_vec());
            })?;
            int8.show(group, batch, |name, values| {
                let Some((name, exact)) = names.get(name).and_then(|name| exact.get_key_value(name)) else { return };
                let power = power.entry(name.clone()).or_default();
                for (&exact, &value) in exact.iter().zip(values) {
                    power.signal += f64::from(exact).powi(2);
                    power.noise += f64::from(exact - value).powi(2);
                }
            })?;
        }
        Ok::<_, QuantizeError>(())
    })?;
    let share = |value: &str| power.get(value).map_or(0.0, |power| power.share());
    let mut layers: Vec<LayerNoise> = plan
        .layers
        .iter()
        .filter(|(_, layer)| layer.kind == LayerRole::Weighted)
        .map(|(&index, layer)| {
            let noise = share(&layer.output);
            // 200 dB stands for "none at all": JSON has no infinity.
            let sqnr_db = if noise > 0.0 { (-10.0 * noise.log10()).min(200.0) } else { 200.0 };
            LayerNoise { layer: layer.name.clone(), sqnr_db, added: noise - share(&graph.node[index].input[0]) }
        })
        .collect();
    layers.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db).then_with(|| a.layer.cmp(&b.layer)));
    Ok(layers)
}
