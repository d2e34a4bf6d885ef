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
    /// Samples across and down in a block.
    edge: usize,
    samples: Vec<u8>,
}

impl Strips {
    pub(super) fn new(geometry: &Geometry) -> Self {
        let components = geometry.components.iter().map(|component| {
            let edge = component.edge;
            let (width, height) = (component.stored.0 * edge, component.blocks.1 * edge);
            Strip { width, height, edge, samples: vec![0; width * height * 2] }
        });
        Self { components: components.collect() }
    }

    /// Where the block at column and row `at`, counted in blocks from the picture's corner, is to be stored: from its
    /// first sample on, and samples from one of its rows to the next.
    #[inline]
    pub(super) fn block(&mut self, component: usize, at: (usize, usize)) -> (&mut [u8], usize) {
        let strip = &mut self.components[component];
        let first = at.1 * strip.edge % (strip.height * 2) * strip.width + at.0 * strip.edge;
        (&mut strip.samples[first..], strip.width)
    }
}

impl Planes for Strips {
    fn row(&self, component: usize, row: usize) -> &[u8] {
        let strip = &self.components[component];
        &strip.samples[row % (strip.height * 2) * strip.width..][..strip.width]
    }
}
