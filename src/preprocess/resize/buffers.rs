//! Working memory that outlives an image.

/// Working memory that a thread keeps from one image to the next.
#[derive(Default)]
pub(in crate::preprocess) struct Buffers {
    pub(super) row: Vec<u8>,
    pub(super) window: Vec<u8>,
}

impl Buffers {
    /// Gives back what is larger than `most` bytes.
    pub(in crate::preprocess) fn trim(&mut self, most: usize) {
        for buffer in [&mut self.row, &mut self.window] {
            if buffer.capacity() > most {
                *buffer = Vec::new();
            }
        }
    }
}

/// The first `len` bytes of `buffer`, which grows as needed.
pub(super) fn room(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        // What was in it is not needed: a fresh one spares the copy.
        *buffer = vec![0; len];
    }
    &mut buffer[..len]
}
