//! The numbers of a tensor as clients and graphs have them: their type, and their way to `f32`.
//!
//! A leaf: knows no shape, no protocol's names and no engine.

use half::{f16, slice::HalfFloatSliceExt as _};

/// So many halves are converted at a time.
const CHUNK: usize = 64;

/// What the numbers of a tensor are, little-endian where they have several bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberType {
    /// IEEE 754, 4 bytes.
    Float32,
    /// IEEE 754, 2 bytes.
    Float16,
    /// The upper half of a [`NumberType::Float32`].
    BFloat16,
    /// 0 to 255.
    Uint8,
    /// -128 to 127.
    Int8,
}

impl NumberType {
    /// The bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::BFloat16 => 2,
            Self::Uint8 | Self::Int8 => 1,
        }
    }

    /// The index of the first number that is infinite or none at all. Looks at every byte.
    pub fn first_not_finite(self, bytes: &[u8]) -> Option<usize> {
        // One comparison of the exponent a number, which the compiler does for many at a time; where it is comes second.
        match self {
            Self::Float32 => {
                let is_odd = |value: &[u8; 4]| u32::from_le_bytes(*value) & 0x7f80_0000 == 0x7f80_0000;
                first(bytes.as_chunks::<4>().0, is_odd)
            }
            Self::Float16 => {
                let is_odd = |value: &[u8; 2]| u16::from_le_bytes(*value) & 0x7c00 == 0x7c00;
                first(bytes.as_chunks::<2>().0, is_odd)
            }
            Self::BFloat16 => {
                let is_odd = |value: &[u8; 2]| u16::from_le_bytes(*value) & 0x7f80 == 0x7f80;
                first(bytes.as_chunks::<2>().0, is_odd)
            }
            Self::Uint8 | Self::Int8 => None,
        }
    }

    /// Writes the numbers to `out`, as many as both have.
    pub(super) fn write(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::Float32 => {
                let values = bytes.as_chunks::<4>().0;
                out.iter_mut().zip(values).for_each(|(out, value)| *out = f32::from_le_bytes(*value));
            }
            Self::Float16 => {
                // The processor converts many at a time where it can; it needs them aligned.
                let mut halves = [f16::ZERO; CHUNK];
                for (out, values) in out.chunks_mut(CHUNK).zip(bytes.as_chunks::<2>().0.chunks(CHUNK)) {
                    halves.iter_mut().zip(values).for_each(|(half, value)| *half = f16::from_le_bytes(*value));
                    let length = out.len().min(values.len());
                    halves[..length].convert_to_f32_slice(&mut out[..length]);
                }
            }
            Self::BFloat16 => {
                let values = bytes.as_chunks::<2>().0;
                let widened = |value: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*value)) << 16);
                out.iter_mut().zip(values).for_each(|(out, value)| *out = widened(value));
            }
            Self::Uint8 => out.iter_mut().zip(bytes).for_each(|(out, value)| *out = f32::from(*value)),
            Self::Int8 => out.iter_mut().zip(bytes).for_each(|(out, value)| *out = f32::from(value.cast_signed())),
        }
    }
}

fn first<T>(values: &[T], is_odd: impl Fn(&T) -> bool) -> Option<usize> {
    const AT_ONCE: usize = 1024;
    let mut chunks = values.chunks(AT_ONCE).enumerate();
    let (index, chunk) = chunks.find(|(_, chunk)| chunk.iter().fold(false, |odd, value| odd | is_odd(value)))?;
    chunk.iter().position(is_odd).map(|place| index * AT_ONCE + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: NumberType, bytes: &[u8]) -> Vec<f32> {
        let mut out = vec![f32::NAN; bytes.len() / kind.size()];
        kind.write(bytes, &mut out);
        out
    }

    /// The bytes of 1.0, -2.5 and so on as IEEE 754 and its upper half have them.
    #[test]
    fn numbers_of_every_type_become_floats() {
        let floats = [1.0f32, -2.5, 0.15625, f32::MAX, f32::MIN_POSITIVE];
        let bytes: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(written(NumberType::Float32, &bytes), floats);
        assert_eq!(
            written(NumberType::Float16, &[0x00, 0x3c, 0x00, 0xc1, 0x00, 0x31, 0xff, 0x7b]),
            [1.0, -2.5, 0.15625, 65504.0]
        );
        assert_eq!(written(NumberType::BFloat16, &[0x80, 0x3f, 0x20, 0xc0, 0x20, 0x3e]), [1.0, -2.5, 0.15625]);
        assert_eq!(written(NumberType::Uint8, &[0, 128, 255]), [0.0, 128.0, 255.0]);
        assert_eq!(written(NumberType::Int8, &[0, 128, 255]), [0.0, -128.0, -1.0]);
    }

    #[test]
    fn more_halves_than_are_converted_at_a_time_are_all_converted() {
        let halves: Vec<f16> = (0..1000).map(|value| f16::from_f32(value as f32)).collect();
        let bytes: Vec<u8> = halves.iter().flat_map(|value| value.to_le_bytes()).collect();
        let expected: Vec<f32> = (0..1000).map(|value| value as f32).collect();
        assert_eq!(written(NumberType::Float16, &bytes), expected);
    }

    #[test]
    fn the_first_that_is_not_finite_is_found_wherever_it_is() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 1, 1023, 1024, 2999] {
                let mut floats = vec![1.0f32; 3000];
                floats[place] = odd;
                let bytes = |kind: NumberType| -> Vec<u8> {
                    let bytes = |value: &f32| match kind {
                        NumberType::Float16 => f16::from_f32(*value).to_le_bytes().to_vec(),
                        NumberType::BFloat16 => half::bf16::from_f32(*value).to_le_bytes().to_vec(),
                        _ => value.to_le_bytes().to_vec(),
                    };
                    floats.iter().flat_map(bytes).collect()
                };
                for kind in [NumberType::Float32, NumberType::Float16, NumberType::BFloat16] {
                    assert_eq!(kind.first_not_finite(&bytes(kind)), Some(place), "{kind:?} {odd}");
                }
            }
        }
        assert_eq!(NumberType::Float32.first_not_finite(&f32::MAX.to_le_bytes()), None);
        assert_eq!(NumberType::Uint8.first_not_finite(&[255; 8]), None);
    }
}
