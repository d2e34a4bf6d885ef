//! One image that fits a network, and what it has to fit.

use super::{Layout, Normalizer, Pixels};

/// What a network takes of one image: its memory layout and size. Makes [`Input`]s that fit it, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputShape {
    /// Where the channels are.
    pub layout: Layout,
    /// How many there are: 3, or 1 of gray images.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl InputShape {
    /// What `normalizer` makes of an image of this size.
    pub fn of(normalizer: &Normalizer, height: usize, width: usize) -> Self {
        Self { layout: normalizer.layout(), channels: normalizer.channels(), height, width }
    }

    /// The number of values of one image, `C * H * W`.
    pub fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The dimensions of one image, `[C, H, W]` or `[H, W, C]`.
    pub fn dims(&self) -> [usize; 3] {
        match self.layout {
            Layout::Nchw => [self.channels, self.height, self.width],
            Layout::Nhwc => [self.height, self.width, self.channels],
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

    /// Numbers that the client prepared, `f32[C * H * W]` in this layout.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_does_not_fit_the_network_cannot_be_made() {
        let shape = InputShape { layout: Layout::Nchw, channels: 3, height: 2, width: 3 };
        assert!(shape.tensor(vec![0.0; 18]).is_ok());
        let misfit = shape.tensor(vec![0.0; 17]).expect_err("one value is missing");
        assert_eq!(misfit.to_string(), "an image has 17 values and the network takes 18, as [3, 2, 3]");
        let turned = Pixels::new(2, 3, vec![0; 18]).expect("18 samples");
        let misfit = shape.pixels(turned).expect_err("rows and columns are exchanged");
        assert_eq!(misfit.to_string(), "the image is 2x3 and the network takes 3x2");
    }
}
