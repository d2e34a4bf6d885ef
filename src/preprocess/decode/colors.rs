//! Samples of one byte that stand for colours: gray levels and indices into a palette.

/// The colour of every sample.
pub(super) type Colors = [[u8; 3]; 256];

/// Gray levels from black to white in equal steps, of which there are `count`; what lies beyond is black.
pub(super) fn grays(count: usize) -> Colors {
    let step = 255 / (count.max(2) - 1);
    std::array::from_fn(|level| [level * step; 3].map(|gray| u8::try_from(gray).unwrap_or(0)))
}

/// The colours of a palette of `N` bytes a colour, in the order that `rgb` says; beyond its end all is black.
pub(super) fn palette<const N: usize>(entries: &[u8], rgb: impl Fn([u8; N]) -> [u8; 3]) -> Colors {
    let mut colors = [[0; 3]; 256];
    for (color, entry) in colors.iter_mut().zip(entries.as_chunks::<N>().0) {
        *color = rgb(*entry);
    }
    colors
}

/// Writes the colours of `samples`.
pub(super) fn paint(samples: &[u8], colors: &Colors, rgb: &mut [u8]) {
    for (sample, rgb) in samples.iter().zip(rgb.as_chunks_mut::<3>().0) {
        *rgb = colors[usize::from(*sample)];
    }
}

/// Unpacks samples of `bits` (1, 2, 4 or 8) bits, the first in the upper bits of its byte.
pub(super) fn unpack(packed: &[u8], bits: u8, samples: &mut [u8]) {
    if bits >= 8 {
        samples.copy_from_slice(&packed[..samples.len()]);
        return;
    }
    let (per_byte, mask) = (8 / bits, (1 << bits) - 1);
    for (byte, samples) in packed.iter().zip(samples.chunks_mut(per_byte.into())) {
        for (index, sample) in (1..).zip(samples) {
            *sample = byte >> (8 - bits * index) & mask;
        }
    }
}

/// A colour that was multiplied by its alpha, as it was before.
pub(super) fn divided(color: [u8; 3], alpha: u8) -> [u8; 3] {
    color.map(|value| (u32::from(value) * 255).checked_div(alpha.into()).unwrap_or(0).min(255) as u8)
}
