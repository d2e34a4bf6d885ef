//! The pass across: one row becomes a narrower (or wider) one.

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::{isa::Isa, scalar, taps::Taps};

/// With more taps than this, SIMD's form of the weights (16 bytes a tap, where plain ones take 4) would take more memory
/// than the picture's rows; such pictures are extremely wide, and have few rows.
pub(super) const MOST_GROUPED_TAPS: usize = 1 << 20;

/// The weights of every output pixel, in the form that the instruction set wants.
pub(super) enum Horizontal {
    Scalar(Taps),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Groups),
}

impl Horizontal {
    pub(super) fn new(taps: Taps, isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if taps.len() * taps.stride <= MOST_GROUPED_TAPS => Self::Avx2(avx2::Groups::new(&taps)),
            _ => Self::Scalar(taps),
        }
    }

    /// How many bytes of a row must be readable. What lies beyond its pixels is multiplied by zero.
    pub(super) fn reach(&self) -> usize {
        match self {
            Self::Scalar(_) => 0,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(groups) => groups.reach(),
        }
    }

    /// Resizes the pixels of `row` into `out`.
    pub(super) fn row(&self, row: &[u8], out: &mut [u8]) {
        match self {
            Self::Scalar(taps) => scalar::horizontal(row, taps, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are groups only where `Isa::detect` found AVX2 in the processor.
            Self::Avx2(groups) => unsafe { avx2::horizontal(row, groups, out) },
        }
    }
}
