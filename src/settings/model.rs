//! What is asked of a model's batching and of its engine: the keys that the configuration and `model.toml` share.

use serde::{Deserialize, Serialize};

use super::{Goal, SettingError, in_range};

/// `[batching]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batching {
    /// The most images of one run; 0: found by measurement.
    pub max_batch_size: usize,
    /// How long the first image waits for others although a session is idle, in microseconds.
    pub max_queue_delay_us: u64,
    /// The most images of this model between admission and answer; one more is refused.
    pub queue_capacity: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self { max_batch_size: 0, max_queue_delay_us: 0, queue_capacity: 256 }
    }
}

impl Batching {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`SettingError::Range`] for the first that does not hold.
    pub fn validate(&self) -> Result<(), SettingError> {
        in_range("batching.max_batch_size", &self.max_batch_size, 0..=1024)?;
        in_range("batching.max_queue_delay_us", &self.max_queue_delay_us, 0..=10_000_000)?;
        in_range("batching.queue_capacity", &self.queue_capacity, 1..=65_536)
    }
}

/// `[runtime]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeSettings {
    /// Where the network runs.
    pub provider: ProviderChoice,
    /// The arithmetic of a network with fp32 weights.
    pub precision: PrecisionChoice,
    /// How far a probability may be from fp32's for `auto` to take a faster arithmetic.
    pub max_probability_drift: f64,
    /// Sessions side by side; 0: found from the network's size and the cores.
    pub instances: usize,
    /// Threads that share one run; 0: found likewise.
    pub intra_threads: usize,
    /// The model's weight when several want the cores: 1 is full, with 0.5 it gets half as much as one with 1.
    pub share: f64,
    /// Whether what is left open is found by measurement.
    pub tune: bool,
    /// What it should be best at.
    pub tune_goal: Goal,
    /// How long measuring may take for one model at load, in milliseconds.
    pub tune_time_limit_ms: u64,
    /// The folder where measurements are kept; empty: the user's cache folder.
    pub tune_cache: String,
    /// The folder where weights are kept as the processor's sessions want them; empty: the user's cache folder.
    pub weights_cache: String,
    /// How large it may become; 0: nothing is kept.
    pub weights_cache_max_bytes: u64,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            provider: ProviderChoice::Auto,
            precision: PrecisionChoice::Auto,
            max_probability_drift: 0.02,
            instances: 0,
            intra_threads: 0,
            share: 1.0,
            tune: true,
            tune_goal: Goal::Throughput,
            tune_time_limit_ms: 10_000,
            tune_cache: String::new(),
            weights_cache: String::new(),
            weights_cache_max_bytes: 1 << 30,
        }
    }
}

impl RuntimeSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`SettingError::Range`] for the first that does not hold.
    pub fn validate(&self) -> Result<(), SettingError> {
        in_range("runtime.max_probability_drift", &self.max_probability_drift, 0.0..=1.0)?;
        in_range("runtime.instances", &self.instances, 0..=256)?;
        in_range("runtime.intra_threads", &self.intra_threads, 0..=1024)?;
        in_range("runtime.share", &self.share, 0.02..=1.0)?;
        in_range("runtime.tune_time_limit_ms", &self.tune_time_limit_ms, 0..=3_600_000)
    }
}

/// Where a network is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderChoice {
    /// The fastest that is there and answers the same.
    Auto,
    /// ONNX Runtime's own.
    Cpu,
    /// Intel's plugin.
    Openvino,
    /// NVIDIA GPUs.
    Cuda,
    /// NVIDIA GPUs, compiled.
    Tensorrt,
}

/// The arithmetic that a network with fp32 weights is to be run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// The fastest that stays within `max_probability_drift`.
    Auto,
    /// 32-bit.
    Fp32,
    /// 16-bit with the exponent of fp32.
    Bf16,
    /// 16-bit IEEE.
    Fp16,
}
