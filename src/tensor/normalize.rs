//! From 8-bit pixels to the numbers a network was trained on: scale, subtract the mean, divide by the deviation.
//!
//! There are only 256 values a channel can have, so the arithmetic is done once, in torchvision's order and in `f32`
//! as torchvision does it; afterwards an image costs one table look-up a sample. The result is the same to the last bit.

use super::{Layout, Pixels};

/// The order of the channels that a network expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorOrder {
    /// Red first: torchvision, Keras.
    #[default]
    Rgb,
    /// Blue first: Caffe and what descends from it.
    Bgr,
}

/// Turns [`Pixels`] into network input.
#[derive(Clone, Debug)]
pub struct Normalizer {
    /// One table for each channel of the network's input, in its order.
    tables: Box<[[f32; 256]; 3]>,
    color: ColorOrder,
    layout: Layout,
}

impl Normalizer {
    /// Builds the tables: `(pixel * scale - mean) / std`, `mean` and `std` in the order of `color`.
    pub fn new(scale: f64, mean: [f32; 3], std: [f32; 3], color: ColorOrder, layout: Layout) -> Self {
        let mut tables = Box::new([[0.0; 256]; 3]);
        for channel in 0..3 {
            for (pixel, entry) in tables[channel].iter_mut().enumerate() {
                let scaled = (pixel as f64 * scale) as f32;
                *entry = (scaled - mean[channel]) / std[channel];
            }
        }
        Self { tables, color, layout }
    }

    /// The memory layout that [`Normalizer::write`] produces.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Writes `pixels` normalized to `out`, which must hold exactly `3 * H * W` values.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write(&self, pixels: &Pixels, out: &mut [f32]) {
        assert_eq!(out.len(), pixels.data().len(), "one value for each sample");
        let order = match self.color {
            ColorOrder::Rgb => [0, 1, 2],
            ColorOrder::Bgr => [2, 1, 0],
        };
        let [first, second, third] = &*self.tables;
        match self.layout {
            Layout::Nchw => {
                let plane = out.len() / 3;
                let (a, rest) = out.split_at_mut(plane);
                let (b, c) = rest.split_at_mut(plane);
                for (((pixel, a), b), c) in pixels.data().chunks_exact(3).zip(a).zip(b).zip(c) {
                    *a = first[pixel[order[0]] as usize];
                    *b = second[pixel[order[1]] as usize];
                    *c = third[pixel[order[2]] as usize];
                }
            }
            Layout::Nhwc => {
                for (pixel, out) in pixels.data().chunks_exact(3).zip(out.chunks_exact_mut(3)) {
                    out[0] = first[pixel[order[0]] as usize];
                    out[1] = second[pixel[order[1]] as usize];
                    out[2] = third[pixel[order[2]] as usize];
                }
            }
        }
    }
}
