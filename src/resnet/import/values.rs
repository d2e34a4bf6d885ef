//! Little-endian numbers of a file to `f32`, a piece at a time, within a budget.
//!
//! Knows numbers only: no file format, no tensor names.

use std::io::Read;

use half::{bf16, f16};

use super::error::Reason;

/// The largest ResNets have 130 million weights; four times that is a file that is no ResNet (or a decompression bomb).
const MAX_VALUES: u64 = 1 << 29;

/// Bytes read at once: divisible by every element size.
const PIECE_BYTES: usize = 1 << 18;

/// The floating-point types that weights come in, all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dtype {
    F16,
    Bf16,
    F32,
    F64,
}

impl Dtype {
    /// Bytes per value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends the values of `bytes`, whose length is a multiple of [`Dtype::size`].
    fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F16 => values.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
            Self::Bf16 => values.extend(bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32())),
            Self::F32 => values.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            Self::F64 => values.extend(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32)),
        }
    }
}

/// How many more values one file may give: bounds the memory whatever the file claims.
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    /// The budget of one file.
    pub(super) fn new() -> Self {
        Self { left: MAX_VALUES }
    }

    /// Room for `count` more values, not yet touched.
    pub(super) fn reserve(&mut self, count: u64) -> Result<Vec<f32>, Reason> {
        let too_large = || Reason::TooLarge { limit: MAX_VALUES };
        self.left = self.left.checked_sub(count).ok_or_else(too_large)?;
        let mut values = Vec::new();
        values.try_reserve_exact(usize::try_from(count).map_err(|_| too_large())?).map_err(|_| too_large())?;
        Ok(values)
    }

    /// Reads exactly `count` values; an early end is an [`std::io::ErrorKind::UnexpectedEof`].
    pub(super) fn read(&mut self, reader: &mut impl Read, dtype: Dtype, count: u64) -> Result<Vec<f32>, Reason> {
        let mut values = self.reserve(count)?;
        let capacity = values.capacity();
        let mut piece = vec![0; PIECE_BYTES.min(capacity.saturating_mul(dtype.size()))];
        let mut left = count as usize * dtype.size();
        while left > 0 {
            let piece = &mut piece[..PIECE_BYTES.min(left)];
            reader.read_exact(piece)?;
            dtype.decode(piece, &mut values);
            left -= piece.len();
        }
        Ok(values)
    }
}

/// The number of values of `shape`, or `None` where it overflows.
pub(super) fn count_of(shape: &[usize]) -> Option<u64> {
    shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64))
}

/// Gathers a strided view into row-major order.
///
/// `strides` are in values, outermost first. `None` if any index lies outside `storage`, or if the view has more
/// values than the storage (an expanded tensor, which no state dict holds).
pub(super) fn gather(
    storage: &[f32],
    offset: usize,
    shape: &[usize],
    strides: &[usize],
    budget: &mut Budget,
) -> Option<Result<Vec<f32>, Reason>> {
    let count = count_of(shape)?;
    if shape.len() != strides.len() || count > storage.len() as u64 {
        return None;
    }
    if count > 0 {
        let last = shape
            .iter()
            .zip(strides)
            .try_fold(offset, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?))?;
        if last >= storage.len() {
            return None;
        }
    }
    Some(budget.reserve(count).map(|mut values| {
        let mut index = vec![0; shape.len()];
        let mut at = offset;
        for _ in 0..count {
            values.push(storage[at]);
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        values
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_view_is_gathered_in_row_major_order() {
        let storage = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let values = gather(&storage, 0, &[3, 2], &[1, 3], &mut Budget::new()).unwrap().unwrap();
        assert_eq!(values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn view_that_leaves_its_storage_is_refused() {
        let storage = [0.0; 6];
        for (offset, shape, strides) in [
            (1, vec![6], vec![1]),
            (0, vec![2, 3], vec![4, 1]),
            (0, vec![2], vec![usize::MAX]),
            (usize::MAX, vec![2], vec![1]),
            (0, vec![1 << 40], vec![0]),
            (0, vec![2, 3], vec![1]),
        ] {
            assert!(gather(&storage, offset, &shape, &strides, &mut Budget::new()).is_none(), "{shape:?} {strides:?}");
        }
    }

    #[test]
    fn a_claim_beyond_the_budget_is_refused_before_anything_is_read() {
        let refused = Budget::new().read(&mut std::io::empty(), Dtype::F32, MAX_VALUES + 1);
        assert!(matches!(refused, Err(Reason::TooLarge { .. })));
    }
}
