//! Where the channels of a batch are.

/// How a batch lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, C, H, W]`: planes, as PyTorch and Caffe export.
    Nchw,
    /// `[N, H, W, C]`: interleaved, as Keras and TensorFlow export.
    Nhwc,
}
