//! The words for where and how a network is computed. A leaf: it knows no library and no machine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// ONNX Runtime's own kernels for the processor.
    Cpu,
    /// Intel's plugin, on the processor.
    Openvino,
    /// NVIDIA GPUs, with cuDNN.
    Cuda,
    /// NVIDIA GPUs, compiled by TensorRT for RTX.
    Tensorrt,
}

/// The arithmetic that a network with fp32 weights is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit.
    Fp32,
    /// 16-bit with the exponent of fp32.
    Bf16,
    /// 16-bit IEEE.
    Fp16,
}

/// The provider has no such arithmetic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider `{provider}` has no {precision} arithmetic: {hint}")]
pub struct PrecisionError {
    /// Which.
    pub provider: Provider,
    /// What was asked for.
    pub precision: Precision,
    /// What to set instead.
    pub hint: &'static str,
}

/// A provider with its arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Engine {
    /// Where.
    pub provider: Provider,
    /// How.
    pub precision: Precision,
}

impl Provider {
    /// All of them, the one that is always there first.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Openvino, Self::Cuda, Self::Tensorrt];

    /// As in `model.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Openvino => "openvino",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
        }
    }

    /// Whether it needs a GPU.
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda | Self::Tensorrt)
    }

    /// Whether a second run uses what was made in the first: tensors that stay bound, or a graph compiled for its size.
    pub fn keeps_of_a_run(self) -> bool {
        self != Self::Cpu
    }

    /// The batch sizes that are run before the first request: the first run of a size takes several times as long as
    /// the next.
    ///
    /// * `max_batch_size`: the largest batch, at least 1
    pub fn warmed_sizes(self, max_batch_size: usize) -> Vec<usize> {
        match self {
            // It prepares nothing for a size: two images show that it takes batches. The largest one took two thirds of the time
            // from start to ready, and memory that most processors never need, since their runs are no larger than they gain by.
            Self::Cpu => (1..=max_batch_size.min(2)).collect(),
            // They compile for each size that they see.
            Self::Openvino | Self::Cuda | Self::Tensorrt => {
                let mut sizes: Vec<_> = (1..=max_batch_size).map(|len| self.padded_len(len, max_batch_size)).collect();
                sizes.dedup();
                sizes
            }
        }
    }

    /// The size that a batch of `len` images is filled up to, so that there are few sizes to prepare for.
    pub(super) fn padded_len(self, len: usize, max_batch_size: usize) -> usize {
        match self {
            Self::Cpu => len,
            // Every size up to 8, then steps of at most a seventh.
            Self::Openvino => {
                let step = (len.next_power_of_two() / 8).max(1);
                len.next_multiple_of(step).min(max_batch_size).max(len)
            }
            Self::Cuda | Self::Tensorrt => bucket(len, max_batch_size),
        }
    }
}

impl Precision {
    /// As in `model.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }
}

impl Engine {
    /// What every other engine is compared with: it is always there, and its answers are the network's.
    pub const REFERENCE: Self = Self { provider: Provider::Cpu, precision: Precision::Fp32 };

    /// Whether the provider has the arithmetic at all.
    ///
    /// # Errors
    /// [`PrecisionError`], with what to set instead.
    pub fn check(self) -> Result<(), PrecisionError> {
        let Self { provider, precision } = self;
        let hint = match (provider, precision) {
            (_, Precision::Fp32) | (Provider::Openvino, _) => return Ok(()),
            (Provider::Cuda | Provider::Tensorrt, Precision::Fp16) => return Ok(()),
            (Provider::Cpu, _) => "it computes in fp32; set provider = \"openvino\", or precision = \"fp32\"",
            (Provider::Cuda | Provider::Tensorrt, Precision::Bf16) => {
                "set precision = \"fp16\", which its tensor cores compute as fast, or \"fp32\""
            }
        };
        Err(PrecisionError { provider, precision, hint })
    }

    /// Whether the graph has to be converted to fp16: a GPU computes in the types of the graph, while OpenVINO takes
    /// the precision as an option.
    pub(super) fn needs_fp16_graph(self) -> bool {
        self.provider.is_gpu() && self.precision == Precision::Fp16
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.provider, self.precision)
    }
}

/// The size that a batch of `len` images is filled up to on a GPU, where a new shape costs a search for algorithms.
pub(super) fn bucket(len: usize, max_batch_size: usize) -> usize {
    len.next_power_of_two().min(max_batch_size).max(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_that_a_gpu_batch_is_filled_up_to_has_been_warmed() {
        for max in [1, 2, 3, 8, 24, 32] {
            let warmed = Provider::Cuda.warmed_sizes(max);
            assert!((1..=max).all(|len| warmed.contains(&bucket(len, max))), "{max}: {warmed:?}");
        }
        assert_eq!(Provider::Tensorrt.warmed_sizes(32), [1, 2, 4, 8, 16, 32]);
    }

    #[test]
    fn openvino_is_warmed_for_each_size_it_would_compile_for() {
        assert_eq!(Provider::Openvino.warmed_sizes(4), [1, 2, 3, 4]);
        assert_eq!(Provider::Openvino.warmed_sizes(32)[7..], [8, 10, 12, 14, 16, 20, 24, 28, 32]);
        for max in [1, 7, 9, 32] {
            let warmed = Provider::Openvino.warmed_sizes(max);
            assert!(
                (1..=max).all(|len| warmed.contains(&Provider::Openvino.padded_len(len, max))),
                "{max}: {warmed:?}"
            );
        }
        assert_eq!(Provider::Cpu.warmed_sizes(8), [1, 2]);
        assert_eq!(Provider::Cpu.warmed_sizes(1), [1]);
    }
}
