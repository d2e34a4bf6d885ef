//! The samples of two neighbouring rows of units, which is all that smooth upsampling looks at: a row of chroma is
//! blended with the one above it and the one below.

use super::geometry::Geometry;

/// Where the rows of a component's samples are looked up.
pub(super) trait Planes {
    /// Row `row` of the picture's samples of a component.
    fn row(&self, component: usize, row: usize) -> &[u8];
}

pub(super) struct Strips {
    components: Vec<Strip>,
}

struct Strip {
    /// Samples in a row, and rows in a unit.
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

impl Strips {
    pub(super) fn new(geometry: &Geometry) -> Self {
        let components = geometry.components.iter().map(|component| {
            let (width, height) = (component.stored.0 * 8, component.blocks.1 * 8);
            Strip { width, height, samples: vec![0; width * height * 2] }
        });
        Self { components: components.collect() }
    }

    /// Stores the block at column and row `at`, counted in blocks from the picture's corner.
    #[inline]
    pub(super) fn store(&mut self, component: usize, at: (usize, usize), block: &[u8; 64]) {
        let strip = &mut self.components[component];
        let first = at.1 * 8 % (strip.height * 2) * strip.width + at.0 * 8;
        let rows = strip.samples[first..].chunks_mut(strip.width);
        for (row, samples) in rows.zip(block.as_chunks::<8>().0) {
            row[..8].copy_from_slice(samples);
        }
    }
}

impl Planes for Strips {
    fn row(&self, component: usize, row: usize) -> &[u8] {
        let strip = &self.components[component];
        &strip.samples[row % (strip.height * 2) * strip.width..][..strip.width]
    }
}
