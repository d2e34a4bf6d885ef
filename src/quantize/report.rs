//! What was done, measured and decided: `quantization.json` beside the graph.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{gate::Comparison, noise::LayerNoise, scales::Method};
use crate::{files, runtime::Provider};

/// The report's name, beside the graph.
pub const REPORT_FILE: &str = "quantization.json";

/// It has a line a layer.
const LARGEST_REPORT: u64 = 16 << 20;

/// Everything that somebody who finds an 8-bit model wants to know of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuantizationReport {
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weight_bits_tried: Vec<TriedBits>,
    /// Layers that stayed fp32.
    pub kept_fp32: Vec<String>,
    /// Images that ranges were taken from.
    pub calibration_images: usize,
    /// Images that could not be read.
    pub unreadable_images: usize,
    /// The images of `answers`.
    pub judged_on: JudgedOn,
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

/// Which images answers were compared on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgedOn {
    /// Images that the network was not calibrated with.
    Evaluation,
    /// Those that ranges were taken from.
    Calibration,
}

impl fmt::Display for JudgedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evaluation => "evaluation",
            Self::Calibration => "calibration",
        })
    }
}

/// A report that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} is damaged: {cause}", path.display())]
pub struct ReportError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub cause: io::Error,
}

/// The answers with weights of some size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TriedBits {
    /// Of a weight.
    pub weight_bits: u32,
    /// Against fp32.
    pub answers: Comparison,
}

/// One session's speed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Speed {
    /// Where it ran.
    pub provider: Provider,
    /// Threads that share one run.
    pub threads: usize,
    /// Images of one run.
    pub batch_size: usize,
    /// Images a second; none where the provider failed.
    pub fp32: Option<f64>,
    /// Images a second; none where the provider failed.
    pub int8: Option<f64>,
    /// Why a provider that is there has no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl QuantizationReport {
    /// Reads the report beside `graph`; `None` where there is none.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn beside(graph: &Path) -> Result<Option<Self>, ReportError> {
        let path = graph.with_file_name(REPORT_FILE);
        match files::read(&path, LARGEST_REPORT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(ReportError { path, cause }),
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(report) => Ok(Some(report)),
                Err(error) => Err(ReportError { path, cause: error.into() }),
            },
        }
    }

    /// Indented JSON with a final newline.
    pub fn to_json(&self) -> String {
        // A struct of numbers and strings always serializes.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
