//! One image that fits a network, and what it has to fit.

use bytes::Bytes;

use super::{Layout, Normalizer, NumberType, Pixels};

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

    /// Numbers that the client prepared, `[C * H * W]` in this layout: neither copied nor converted before the batch is filled.
    ///
    /// # Errors
    /// [`Misfit`] for another count, or half a number.
    pub fn tensor(self, bytes: Bytes, numbers: NumberType) -> Result<Input, Misfit> {
        self.check_bytes(&bytes, numbers)?;
        Ok(Input { shape: self, values: InputValues::Tensor(bytes, numbers) })
    }

    /// Pixels of this size, a byte each, `u8[C * H * W]` with the channels in the place and order that the network has them in.
    /// They are normalized while the batch is filled.
    ///
    /// # Errors
    /// [`Misfit`] for another count.
    pub fn samples(self, bytes: Bytes) -> Result<Input, Misfit> {
        self.check_bytes(&bytes, NumberType::Uint8)?;
        Ok(Input { shape: self, values: InputValues::Samples(bytes) })
    }

    fn check_bytes(self, bytes: &Bytes, numbers: NumberType) -> Result<(), Misfit> {
        let wanted = self.image_len() * numbers.size();
        if bytes.len() == wanted {
            return Ok(());
        }
        Err(Misfit::Bytes { dims: self.dims(), wanted, got: bytes.len() })
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
    /// Another number of bytes.
    #[error("an image has {got} bytes and the network takes {wanted}, as {dims:?}")]
    Bytes {
        /// The dimensions of one image.
        dims: [usize; 3],
        /// How many bytes that is.
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
    /// Converted while the batch is filled.
    Tensor(Bytes, NumberType),
    /// Normalized while the batch is filled.
    Samples(Bytes),
}

impl Input {
    /// What it was made for.
    pub fn shape(&self) -> InputShape {
        self.shape
    }

    /// The bytes that its values are made of, and a number for what they are: of the same bytes another kind has other values.
    pub fn bytes(&self) -> (u8, &[u8]) {
        match &self.values {
            InputValues::Pixels(pixels) => (0, pixels.data()),
            InputValues::Samples(samples) => (1, samples),
            InputValues::Tensor(bytes, numbers) => (2 + *numbers as u8, bytes),
        }
    }

    /// Writes the values that the network reads into `slot`, pixels through `normalizer`.
    ///
    /// # Panics
    /// If `slot` does not hold one image of [`Input::shape`].
    pub fn write(&self, normalizer: &Normalizer, slot: &mut [f32]) {
        match &self.values {
            InputValues::Pixels(pixels) => normalizer.write(pixels, slot),
            InputValues::Tensor(bytes, numbers) => {
                assert_eq!(bytes.len(), slot.len() * numbers.size(), "one number for each value");
                numbers.write(bytes, slot);
            }
            InputValues::Samples(samples) => normalizer.write_samples(samples, slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_does_not_fit_the_network_cannot_be_made() {
        let shape = InputShape { layout: Layout::Nchw, channels: 3, height: 2, width: 3 };
        let turned = Pixels::new(2, 3, vec![0; 18]).expect("18 samples");
        let misfit = shape.pixels(turned).expect_err("rows and columns are exchanged");
        assert_eq!(misfit.to_string(), "the image is 2x3 and the network takes 3x2");
        assert!(shape.tensor(Bytes::from_static(&[0; 36]), NumberType::Float16).is_ok());
        for bytes in [0, 35, 37, 72] {
            assert!(shape.tensor(vec![0; bytes].into(), NumberType::Float16).is_err(), "{bytes}");
        }
        let misfit = shape.samples(Bytes::from_static(&[0; 19])).expect_err("a byte too many");
        assert_eq!(misfit.to_string(), "an image has 19 bytes and the network takes 18, as [3, 2, 3]");
    }
}
