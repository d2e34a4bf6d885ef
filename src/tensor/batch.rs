//! What goes into a run of the network, and what comes out.

use std::collections::TryReserveError;

use super::{InputShape, Layout};

/// The images of one run: `f32[N, C, H, W]` or `f32[N, H, W, C]`. A worker keeps one and refills it.
#[derive(Clone, Debug)]
pub struct Batch {
    image: InputShape,
    len: usize,
    data: Vec<f32>,
}

impl Batch {
    /// An empty batch of images of `height` x `width` with three channels, with memory for `capacity` of them.
    pub fn new(layout: Layout, height: usize, width: usize, capacity: usize) -> Self {
        Self::of(InputShape { layout, channels: 3, height, width }, capacity)
    }

    /// An empty batch of images of this shape, with memory for `capacity` of them.
    pub fn of(image: InputShape, capacity: usize) -> Self {
        Self { image, len: 0, data: vec![0.0; capacity * image.image_len()] }
    }

    /// An empty batch for images of `shape`, with memory for `capacity` of them.
    ///
    /// # Errors
    /// If there is not so much memory.
    pub fn reserved(shape: InputShape, capacity: usize) -> Result<Self, TryReserveError> {
        let mut batch = Self { image: shape, len: 0, data: Vec::new() };
        batch.reserve(capacity)?;
        Ok(batch)
    }

    /// Gets memory for `capacity` images, as far as there is none yet.
    ///
    /// # Errors
    /// If there is not so much memory; the batch is as before.
    pub fn reserve(&mut self, capacity: usize) -> Result<(), TryReserveError> {
        let InputShape { channels, height, width, .. } = self.image;
        let values = [capacity, channels, height, width].into_iter().fold(1, usize::saturating_mul);
        self.data.try_reserve_exact(values.saturating_sub(self.data.len()))
    }

    /// Takes all images out; keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds one image and hands out its `f32[C * H * W]` to be filled; grows where no memory is left for it.
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
        self.image.image_len()
    }

    /// The number of images, `N`.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `[N, C, H, W]` or `[N, H, W, C]`.
    pub fn shape(&self) -> [usize; 4] {
        let [a, b, c] = self.image.dims();
        [self.len, a, b, c]
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
