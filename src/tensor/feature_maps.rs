//! What a network's last layers see of each image of a batch, place by place.

use super::Logits;

/// The values that are averaged over the picture, a row for each image.
#[derive(Debug, Default)]
pub struct FeatureMaps {
    /// The shape of a row, as the graph has it: `[K, h, w]` or `[h, w, K]`.
    pub dims: [usize; 3],
    /// Row-major in [`FeatureMaps::dims`].
    pub rows: Logits,
}
