//! From 8-bit pixels to the numbers a network was trained on: scale, subtract the mean, divide by the deviation.
//!
//! A channel of a pixel has only 256 possible values, so the arithmetic is done once for each, in torchvision's order
//! and in `f32` as torchvision does it; afterwards an image costs one table look-up a sample. The result is the same to
//! the last bit.

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
    /// Brightness alone, as Pillow's `convert("L")`; a network with three channels gets it three times.
    Gray,
}

/// Turns [`Pixels`] into network input.
#[derive(Clone, Debug)]
pub struct Normalizer {
    /// One table for each channel of the network's input, in its order.
    tables: Box<[[f32; 256]; 3]>,
    color: ColorOrder,
    layout: Layout,
    channels: usize,
}

impl Normalizer {
    /// For three channels. Builds the tables: `(pixel * scale - mean) / std`, `mean` and `std` in the order of `color`.
    pub fn new(scale: f64, mean: [f32; 3], std: [f32; 3], color: ColorOrder, layout: Layout) -> Self {
        let mut tables = Box::new([[0.0; 256]; 3]);
        for channel in 0..3 {
            for (pixel, entry) in tables[channel].iter_mut().enumerate() {
                let scaled = (pixel as f64 * scale) as f32;
                *entry = (scaled - mean[channel]) / std[channel];
            }
        }
        Self { tables, color, layout, channels: 3 }
    }

    /// For the one channel of gray pixels, the samples of which are all the same.
    pub fn gray(scale: f64, mean: f32, std: f32, layout: Layout) -> Self {
        Self { channels: 1, ..Self::new(scale, [mean; 3], [std; 3], ColorOrder::Gray, layout) }
    }

    /// How many channels [`Normalizer::write`] produces: 3, or 1 of gray pixels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The memory layout that [`Normalizer::write`] produces.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Writes `pixels` normalized to `out`, which must hold exactly `C * H * W` values.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write(&self, pixels: &Pixels, out: &mut [f32]) {
        let pixels = pixels.data().as_chunks::<3>().0;
        assert_eq!(out.len(), pixels.len() * self.channels, "one value for each sample");
        if self.channels == 1 {
            let gray = out.iter_mut().zip(pixels);
            gray.for_each(|(value, pixel)| *value = self.tables[0][usize::from(pixel[0])]);
            return;
        }
        let channels = match self.color {
            ColorOrder::Rgb | ColorOrder::Gray => [0, 1, 2],
            ColorOrder::Bgr => [2, 1, 0],
        };
        match self.layout {
            // A plane at a time: 36 us for 224x224, where filling the three side by side takes 65 us.
            Layout::Nchw => {
                let planes = out.chunks_exact_mut(pixels.len().max(1));
                for ((plane, table), channel) in planes.zip(&*self.tables).zip(channels) {
                    for (value, pixel) in plane.iter_mut().zip(pixels) {
                        *value = table[usize::from(pixel[channel])];
                    }
                }
            }
            Layout::Nhwc => {
                for (values, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *values = std::array::from_fn(|index| self.tables[index][usize::from(pixel[channels[index]])]);
                }
            }
        }
    }

    /// The same for pixels that lie as the network wants them already, `u8[C * H * W]` in its layout and order of channels.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write_samples(&self, samples: &[u8], out: &mut [f32]) {
        assert_eq!(out.len(), samples.len(), "one value for each sample");
        match self.layout {
            Layout::Nchw => {
                let plane = (samples.len() / self.channels).max(1);
                let planes = out.chunks_exact_mut(plane).zip(samples.chunks_exact(plane));
                for ((out, samples), table) in planes.zip(&*self.tables) {
                    out.iter_mut().zip(samples).for_each(|(value, sample)| *value = table[usize::from(*sample)]);
                }
            }
            Layout::Nhwc => {
                let tables = self.tables.iter().take(self.channels).cycle();
                let values = out.iter_mut().zip(samples);
                values.zip(tables).for_each(|((value, sample), table)| *value = table[usize::from(*sample)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// 256 pixels that have every value in every channel, in three different orders.
    fn every_value() -> Pixels {
        let data = (0..=255u8).flat_map(|value| [value, 255 - value, value.wrapping_mul(7)]).collect();
        Pixels::new(16, 16, data).expect("256 pixels")
    }

    fn write(color: ColorOrder, layout: Layout) -> (Pixels, Vec<f32>) {
        let pixels = every_value();
        let mut out = vec![f32::NAN; 768];
        Normalizer::new(1.0 / 255.0, MEAN, STD, color, layout).write(&pixels, &mut out);
        (pixels, out)
    }

    /// torchvision: ToTensor divides a float32 by 255, Normalize subtracts and divides in float32.
    fn torchvision(sample: u8, channel: usize) -> f32 {
        (f32::from(sample) / 255.0 - MEAN[channel]) / STD[channel]
    }

    #[test]
    fn every_pixel_value_equals_torchvisions_to_the_last_bit() {
        let (pixels, out) = write(ColorOrder::Rgb, Layout::Nchw);
        for (index, pixel) in pixels.data().as_chunks::<3>().0.iter().enumerate() {
            for (channel, &sample) in pixel.iter().enumerate() {
                let value = out[channel * 256 + index];
                assert_eq!(
                    value.to_bits(),
                    torchvision(sample, channel).to_bits(),
                    "sample {sample}, channel {channel}"
                );
            }
        }
        // As PyTorch 2 prints them for 0 and 255 in the first channel.
        assert_eq!((out[0], out[255]), (-2.117_904, 2.248_908_3));
    }

    #[test]
    fn blue_comes_first_in_bgr_and_mean_and_std_follow_that_order() {
        let (pixels, out) = write(ColorOrder::Bgr, Layout::Nhwc);
        for (pixel, out) in pixels.data().as_chunks::<3>().0.iter().zip(out.as_chunks::<3>().0) {
            let &[red, green, blue] = pixel;
            assert_eq!(*out, [torchvision(blue, 0), torchvision(green, 1), torchvision(red, 2)]);
        }
    }

    #[test]
    fn gray_is_one_value_for_each_pixel() {
        let data = [0, 128, 255].into_iter().flat_map(|level| [level; 3]).collect();
        let mut out = [f32::NAN; 3];
        Normalizer::gray(1.0 / 255.0, 0.5, 0.25, Layout::Nchw)
            .write(&Pixels::new(3, 1, data).expect("3 pixels"), &mut out);
        assert_eq!(out, [-2.0, (128.0 / 255.0 - 0.5) / 0.25, 2.0]);
    }

    #[test]
    fn samples_in_the_networks_own_order_get_the_values_of_the_same_pixels() {
        for color in [ColorOrder::Rgb, ColorOrder::Bgr] {
            let order: [usize; 3] = if color == ColorOrder::Rgb { [0, 1, 2] } else { [2, 1, 0] };
            for layout in [Layout::Nchw, Layout::Nhwc] {
                let (pixels, expected) = write(color, layout);
                let pixels = pixels.data().as_chunks::<3>().0;
                let samples: Vec<u8> = match layout {
                    Layout::Nchw => {
                        order.iter().flat_map(|channel| pixels.iter().map(|pixel| pixel[*channel])).collect()
                    }
                    Layout::Nhwc => pixels.iter().flat_map(|pixel| order.map(|channel| pixel[channel])).collect(),
                };
                let mut out = vec![f32::NAN; samples.len()];
                Normalizer::new(1.0 / 255.0, MEAN, STD, color, layout).write_samples(&samples, &mut out);
                assert_eq!(out, expected, "{color:?} {layout:?}");
            }
        }
        let mut out = [f32::NAN; 3];
        Normalizer::gray(1.0 / 255.0, 0.5, 0.25, Layout::Nhwc).write_samples(&[0, 128, 255], &mut out);
        assert_eq!(out, [-2.0, (128.0 / 255.0 - 0.5) / 0.25, 2.0]);
    }

    #[test]
    fn both_layouts_hold_the_same_values() {
        let ((_, planes), (_, interleaved)) =
            (write(ColorOrder::Rgb, Layout::Nchw), write(ColorOrder::Rgb, Layout::Nhwc));
        for (index, pixel) in interleaved.as_chunks::<3>().0.iter().enumerate() {
            assert_eq!(*pixel, [planes[index], planes[256 + index], planes[512 + index]]);
        }
    }
}
