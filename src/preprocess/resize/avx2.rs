//! The two passes with AVX2, equal to [`super::scalar`] to the last bit.
//!
//! Weights have 23 bits, but the fast multiply-and-add takes 16: each weight is split into `high * 2^15 + low`, the two
//! halves are summed on their own and put together at the end. Sums wrap modulo 2^32 on the way; the result fits, so
//! wrapping does not change it. Nothing is rounded before the end, hence the equality.
//!
//! All memory is reached through bounds-checked slices; `unsafe` is left for the unaligned load itself.

use std::arch::x86_64::*;

use super::taps::{PRECISION, Taps};

/// The bits of the low half of a weight.
const LOW: u32 = 15;

fn halves(weight: i32) -> [i16; 2] {
    // |weight| <= 1.2 * 2^22 or so, hence the high half fits in 9 bits. The weights of equal rows, added up, stay
    // below that too: a kernel's positive weights sum to 1.2 at most.
    [(weight >> LOW) as i16, (weight & ((1 << LOW) - 1)) as i16]
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8], at: usize) -> __m256i {
    let chunk = &bytes[at..at + 32];
    // SAFETY: `chunk` is 32 readable bytes; the load has no alignment requirement.
    unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(bytes: &[u8], at: usize) -> __m128i {
    let chunk = &bytes[at..at + 16];
    // SAFETY: `chunk` is 16 readable bytes; the load has no alignment requirement.
    unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_words(words: &[i16; 16]) -> __m256i {
    // SAFETY: `words` is 32 readable bytes; the load has no alignment requirement.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8], at: usize, value: __m256i) {
    let chunk = &mut bytes[at..at + 32];
    // SAFETY: `chunk` is 32 writable bytes; the store has no alignment requirement.
    unsafe { _mm256_storeu_si256(chunk.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_half(bytes: &mut [u8], value: __m128i) {
    let bytes = &mut bytes[..16];
    // SAFETY: `bytes` is 16 writable bytes; the store has no alignment requirement.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}

/// Puts the two halves of eight sums together and rounds them to pixels, not yet clamped.
#[inline]
#[target_feature(enable = "avx2")]
fn round(high: __m256i, low: __m256i) -> __m256i {
    let half = _mm256_set1_epi32(1 << (PRECISION - 1));
    let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW as i32 }>(high), low);
    _mm256_srai_epi32::<{ PRECISION as i32 }>(_mm256_add_epi32(sum, half))
}

/// The taps of two neighbouring outputs in groups of four, one output in each half of a register, each weight repeated
/// for the three channels (and one unused lane).
pub(super) struct Groups {
    /// Byte offsets into the row, padded with the last one to a multiple of four outputs.
    offsets: Vec<usize>,
    /// High and low halves of `[w0 w1] * 4`, then those of `[w2 w3] * 4`, of two outputs.
    weights: Vec<[[i16; 16]; 4]>,
    per_output: usize,
    /// Bytes of a row that the loads touch.
    reach: usize,
}

impl Groups {
    pub(super) fn new(taps: &Taps) -> Self {
        let longest = taps.counts.iter().max().copied().unwrap_or(0) as usize;
        let per_output = longest.div_ceil(4);
        let padded = taps.len().next_multiple_of(4);
        let mut groups = Self {
            offsets: Vec::with_capacity(padded),
            weights: Vec::with_capacity(padded / 2 * per_output),
            per_output,
            reach: 0,
        };
        for first in (0..padded).step_by(2) {
            let outputs = [first, first + 1].map(|output| taps.of(output.min(taps.len() - 1)));
            for (start, _) in outputs {
                groups.offsets.push(start * 3);
                // A group's load is 16 bytes, of which it uses 12.
                groups.reach = groups.reach.max(start * 3 + per_output * 12 + 4);
            }
            for group in 0..per_output {
                let word = |part: usize, lane: usize| {
                    let tap = group * 4 + part / 2 * 2 + lane % 2;
                    outputs[lane / 8].1.get(tap).map_or(0, |&weight| halves(weight)[part % 2])
                };
                groups.weights.push([0, 1, 2, 3].map(|part| std::array::from_fn(|lane| word(part, lane))));
            }
        }
        groups
    }

    /// Bytes of a row that the loads touch.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }
}

/// See [`super::scalar::horizontal`]. `row` must have [`Groups::reach`] bytes.
#[target_feature(enable = "avx2")]
pub(super) fn horizontal(row: &[u8], groups: &Groups, out: &mut [u8]) {
    let row = &row[..groups.reach];
    // Taps 0 and 1, then 2 and 3, side by side as words: r0 r1 g0 g1 b0 b1 0 0.
    const Z: i8 = -1;
    let pairs = [
        _mm256_setr_epi8(
            0, Z, 3, Z, 1, Z, 4, Z, 2, Z, 5, Z, Z, Z, Z, Z, //
            0, Z, 3, Z, 1, Z, 4, Z, 2, Z, 5, Z, Z, Z, Z, Z,
        ),
        _mm256_setr_epi8(
            6, Z, 9, Z, 7, Z, 10, Z, 8, Z, 11, Z, Z, Z, Z, Z, //
            6, Z, 9, Z, 7, Z, 10, Z, 8, Z, 11, Z, Z, Z, Z, Z,
        ),
    ];
    // From (pixel 0, pixel 2) and (pixel 1, pixel 3) with a gap after each to twelve dense bytes.
    let dense = _mm256_setr_epi8(
        0, 1, 2, Z, Z, Z, 4, 5, 6, Z, Z, Z, Z, Z, Z, Z, //
        Z, Z, Z, 0, 1, 2, Z, Z, Z, 4, 5, 6, Z, Z, Z, Z,
    );
    let quads = groups.offsets.as_chunks::<4>().0.iter().zip(groups.weights.chunks_exact(2 * groups.per_output));
    // Sixteen bytes are stored, of which the next four pixels overwrite the last four.
    let mut at = 0;
    for (offsets, weights) in quads {
        let pixels = quad(row, offsets, weights, pairs, dense);
        match out.get_mut(at..at + 16) {
            Some(out) => store_half(out, pixels),
            None => last(&mut out[at..], pixels),
        }
        at += 12;
    }
}

/// The pixels that reach the end of a row.
#[cold]
#[target_feature(enable = "avx2")]
fn last(out: &mut [u8], pixels: __m128i) {
    let mut bytes = [0; 16];
    store_half(&mut bytes, pixels);
    let len = out.len().min(12);
    out[..len].copy_from_slice(&bytes[..len]);
}

/// Four neighbouring output pixels, twelve bytes; the last four are zero.
#[inline]
#[target_feature(enable = "avx2")]
fn quad(row: &[u8], offsets: &[usize; 4], weights: &[[[i16; 16]; 4]], pairs: [__m256i; 2], dense: __m256i) -> __m128i {
    let (first, second) = weights.split_at(weights.len() / 2);
    let words = _mm256_packs_epi32(
        two(row, [offsets[0], offsets[1]], first, pairs),
        two(row, [offsets[2], offsets[3]], second, pairs),
    );
    let bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(words, words), dense);
    _mm_or_si128(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes))
}

/// Two output pixels, rounded, one in each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn two(row: &[u8], offsets: [usize; 2], weights: &[[[i16; 16]; 4]], pairs: [__m256i; 2]) -> __m256i {
    let (mut high, mut low) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (group, weights) in weights.iter().enumerate() {
        let [one, other] = offsets.map(|offset| load_half(row, offset + group * 12));
        let pixels = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(one), other);
        for (pairs, [high_weights, low_weights]) in pairs.iter().zip(weights.as_chunks::<2>().0) {
            let pixels = _mm256_shuffle_epi8(pixels, *pairs);
            high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, load_words(high_weights)));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, load_words(low_weights)));
        }
    }
    round(high, low)
}

/// See [`super::scalar::vertical`].
#[target_feature(enable = "avx2")]
pub(super) fn vertical(rows: &[u8], terms: &[(usize, i32)], out: &mut [u8]) {
    let width = out.len();
    if width < 32 {
        return super::scalar::vertical(rows, terms, out);
    }
    let mut pairs = Vec::with_capacity(terms.len().div_ceil(2));
    pairs.extend(terms.chunks(2).map(|terms| {
        let (first, weight) = terms[0];
        let (second, other) = terms.get(1).copied().unwrap_or((first, 0));
        let ([high0, low0], [high1, low1]) = (halves(weight), halves(other));
        let word = |even: i16, odd: i16| i32::from(odd) << 16 | i32::from(even) & 0xffff;
        Pair {
            first: &rows[first..first + width],
            second: &rows[second..second + width],
            high: word(high0, high1),
            low: word(low0, low1),
        }
    }));
    let mut at = 0;
    loop {
        vertical_block(&pairs, at, out);
        // The last block overlaps the one before it rather than pass the end.
        match width - 32 - at {
            0 => break,
            left => at += left.min(32),
        }
    }
}

/// Two source rows with their weights, as pairs of words.
struct Pair<'a> {
    first: &'a [u8],
    second: &'a [u8],
    high: i32,
    low: i32,
}

#[inline]
#[target_feature(enable = "avx2")]
fn vertical_block(pairs: &[Pair<'_>], at: usize, out: &mut [u8]) {
    let zero = _mm256_setzero_si256();
    let mut high = [zero; 4];
    let mut low = [zero; 4];
    for pair in pairs {
        let (first, second) = (load(pair.first, at), load(pair.second, at));
        let (left, right) = (_mm256_unpacklo_epi8(first, second), _mm256_unpackhi_epi8(first, second));
        let words = [
            _mm256_unpacklo_epi8(left, zero),
            _mm256_unpackhi_epi8(left, zero),
            _mm256_unpacklo_epi8(right, zero),
            _mm256_unpackhi_epi8(right, zero),
        ];
        let (high_weights, low_weights) = (_mm256_set1_epi32(pair.high), _mm256_set1_epi32(pair.low));
        for ((high, low), words) in high.iter_mut().zip(&mut low).zip(words) {
            *high = _mm256_add_epi32(*high, _mm256_madd_epi16(words, high_weights));
            *low = _mm256_add_epi32(*low, _mm256_madd_epi16(words, low_weights));
        }
    }
    // Packing undoes the unpacking, within each lane.
    let left = _mm256_packs_epi32(round(high[0], low[0]), round(high[1], low[1]));
    let right = _mm256_packs_epi32(round(high[2], low[2]), round(high[3], low[3]));
    store(out, at, _mm256_packus_epi16(left, right));
}
