//! What the stages of the line hand to each other: pixels, batches and logits.
//!
//! A leaf: it knows no stage, no door and no file format.
//!
//! An [`Input`] is one image that fits a network, whichever way it came; only an [`InputShape`] makes one.
//!
//! [`Pixels`] leave preprocessing; a worker's [`Batch`] is filled from them by the model's [`Normalizer`], straight
//! into the memory that the session reads; [`Logits`] come back.

mod normalize;

pub use normalize::{ColorOrder, Normalizer};

/// How a batch lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, 3, H, W]`: planes, as PyTorch and Caffe export.
    Nchw,
    /// `[N, H, W, 3]`: interleaved, as Keras and TensorFlow export.
    Nhwc,
}

/// One upright 8-bit RGB image, rows top to bottom, `u8[H, W, 3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Pixels {
    /// Wraps `data`, which must hold `height * width * 3` bytes; `None` when it does not.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Option<Self> {
        (data.len() == width as usize * height as usize * 3).then_some(Self { width, height, data })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The samples, `u8[H, W, 3]`.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

/// What a network takes of one image: its memory layout and size. Makes [`Input`]s that fit it, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputShape {
    /// Where the channels are.
    pub layout: Layout,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl InputShape {
    /// The number of values of one image, `3 * H * W`.
    pub fn image_len(&self) -> usize {
        3 * self.height * self.width
    }

    /// The dimensions of one image, `[3, H, W]` or `[H, W, 3]`.
    pub fn dims(&self) -> [usize; 3] {
        match self.layout {
            Layout::Nchw => [3, self.height, self.width],
            Layout::Nhwc => [self.height, self.width, 3],
        }
    }

    /// An image of this size.
    ///
    /// # Errors
    /// [`Misfit`] for another size.
    pub fn pixels(self, pixels: Pixels) -> Result<Input, Misfit> {
        if (pixels.height() as usize, pixels.width() as usize) != (self.height, self.width) {
            return Err(Misfit::Size {
                height: self.height,
                width: self.width,
                got_height: pixels.height() as usize,
                got_width: pixels.width() as usize,
            });
        }
        Ok(Input { shape: self, values: InputValues::Pixels(pixels) })
    }

    /// Numbers that the client prepared, `f32[3 * H * W]` in this layout.
    ///
    /// # Errors
    /// [`Misfit`] for another count.
    pub fn tensor(self, values: Vec<f32>) -> Result<Input, Misfit> {
        if values.len() != self.image_len() {
            return Err(Misfit::Values { dims: self.dims(), wanted: self.image_len(), got: values.len() });
        }
        Ok(Input { shape: self, values: InputValues::Tensor(values) })
    }
}

/// An image that does not fit the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Another size.
    #[error("the image is {got_width}x{got_height} and the network takes {width}x{height}")]
    Size {
        /// The network's rows.
        height: usize,
        /// The network's columns.
        width: usize,
        /// The image's rows.
        got_height: usize,
        /// The image's columns.
        got_width: usize,
    },
    /// Another number of values.
    #[error("an image has {got} values and the network takes {wanted}, as {dims:?}")]
    Values {
        /// The dimensions of one image.
        dims: [usize; 3],
        /// How many values that is.
        wanted: usize,
        /// How many there are.
        got: usize,
    },
}

/// One image as it waits in the queue: made by [`InputShape`], so that it fits the network it was made for.
#[derive(Clone, Debug)]
pub struct Input {
    shape: InputShape,
    values: InputValues,
}

#[derive(Clone, Debug)]
enum InputValues {
    /// Decoded, resized and cropped; normalized while the batch is filled.
    Pixels(Pixels),
    Tensor(Vec<f32>),
}

impl Input {
    /// What it was made for.
    pub fn shape(&self) -> InputShape {
        self.shape
    }

    /// Writes the values that the network reads into `slot`, pixels through `normalizer`.
    ///
    /// # Panics
    /// If `slot` does not hold one image of [`Input::shape`].
    pub fn write(&self, normalizer: &Normalizer, slot: &mut [f32]) {
        match &self.values {
            InputValues::Pixels(pixels) => normalizer.write(pixels, slot),
            InputValues::Tensor(values) => slot.copy_from_slice(values),
        }
    }
}

/// The images of one run: `f32[N, 3, H, W]` or `f32[N, H, W, 3]`. A worker keeps one and refills it.
#[derive(Debug)]
pub struct Batch {
    layout: Layout,
    height: usize,
    width: usize,
    len: usize,
    data: Vec<f32>,
}

impl Batch {
    /// An empty batch of images of `height` x `width`, with memory for `capacity` of them.
    pub fn new(layout: Layout, height: usize, width: usize, capacity: usize) -> Self {
        Self { layout, height, width, len: 0, data: vec![0.0; capacity * 3 * height * width] }
    }

    /// Takes all images out; keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds one image and hands out its `f32[3 * H * W]` to be filled.
    pub fn push(&mut self) -> &mut [f32] {
        let size = self.image_len();
        let start = self.len * size;
        self.len += 1;
        if self.data.len() < start + size {
            self.data.resize(start + size, 0.0);
        }
        &mut self.data[start..start + size]
    }

    /// The number of values of one image.
    pub fn image_len(&self) -> usize {
        3 * self.height * self.width
    }

    /// The number of images, `N`.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `[N, 3, H, W]` or `[N, H, W, 3]`.
    pub fn shape(&self) -> [usize; 4] {
        match self.layout {
            Layout::Nchw => [self.len, 3, self.height, self.width],
            Layout::Nhwc => [self.len, self.height, self.width, 3],
        }
    }

    /// The values of all images, row-major in [`Batch::shape`].
    pub fn data(&self) -> &[f32] {
        &self.data[..self.len * self.image_len()]
    }
}

/// What the network says of a batch: `f32[N, K]`, row `i` for image `i`.
#[derive(Debug, Default)]
pub struct Logits {
    classes: usize,
    data: Vec<f32>,
}

impl Logits {
    /// Replaces the content by `data`, `f32[N, classes]`. The memory is reused.
    pub fn fill(&mut self, classes: usize, data: &[f32]) {
        self.classes = classes;
        self.data.clear();
        self.data.extend_from_slice(data);
    }

    /// The rows, one per image, `f32[K]` each.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.classes.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_does_not_fit_the_network_cannot_be_made() {
        let shape = InputShape { layout: Layout::Nchw, height: 2, width: 3 };
        assert!(shape.tensor(vec![0.0; 18]).is_ok());
        let misfit = shape.tensor(vec![0.0; 17]).expect_err("one value is missing");
        assert_eq!(misfit.to_string(), "an image has 17 values and the network takes 18, as [3, 2, 3]");
        let turned = Pixels::new(2, 3, vec![0; 18]).expect("18 samples");
        let misfit = shape.pixels(turned).expect_err("rows and columns are exchanged");
        assert_eq!(misfit.to_string(), "the image is 2x3 and the network takes 3x2");
    }
}
