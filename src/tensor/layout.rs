//! Where the channels of a batch are.

/// How a batch lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, 3, H, W]`: planes, as PyTorch and Caffe export.
    Nchw,
    /// `[N, H, W, 3]`: interleaved, as Keras and TensorFlow export.
    Nhwc,
}
