//! What was done, measured and decided: `quantization.json` beside the graph.

use serde::Serialize;

use super::{gate::Comparison, noise::LayerNoise, scales::Method};

/// Everything that somebody who finds an 8-bit model wants to know of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program and its version.
    pub created_by: String,
    /// The model's name.
    pub model: String,
    /// The fp32 version that it was made from.
    pub source_version: u64,
    /// How ranges were found.
    pub method: Method,
    /// For the percentile method: the share of values inside the range.
    pub percentile: Option<f64>,
    /// Of a weight.
    pub weight_bits: u32,
    /// Where sums of 8-bit products may overflow on this processor: what else was tried, judged on the calibration images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weight_bits_tried: Vec<TriedBits>,
    /// Layers that stayed fp32.
    pub kept_fp32: Vec<String>,
    /// Images that ranges were taken from.
    pub calibration_images: usize,
    /// Images that could not be read.
    pub unreadable_images: usize,
    /// `evaluation` or `calibration`: the images of `answers`.
    pub judged_on: &'static str,
    /// Against fp32.
    pub answers: Comparison,
    /// Why the answers do not hold, where they do not (written with `--force`).
    pub objection: Option<String>,
    /// Speed, one entry for each provider of the machine.
    pub images_per_second: Vec<Speed>,
    /// The processor that it was measured on.
    pub processor: String,
    /// The layers whose values are farthest from fp32's.
    pub worst_layers: Vec<LayerNoise>,
}

/// The answers with weights of some size.
#[derive(Clone, Debug, Serialize)]
pub struct TriedBits {
    /// Of a weight.
    pub weight_bits: u32,
    /// Against fp32.
    pub answers: Comparison,
}

/// One session's speed.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// `cpu`, `openvino`.
    pub provider: &'static str,
    /// Threads that share one run.
    pub threads: usize,
    /// Images of one run.
    pub batch_size: usize,
    /// Images a second; none where the provider failed.
    pub fp32: Option<f64>,
    /// Images a second; none where the provider failed.
    pub int8: Option<f64>,
    /// Why a provider that is there has no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Report {
    /// Indented JSON with a final newline.
    pub fn to_json(&self) -> String {
        // A struct of numbers and strings always serializes.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
