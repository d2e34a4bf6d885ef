//! Look-up tables for a scan's Huffman codes that give more than a symbol at once: the value that follows a code, the
//! next code and its value too where they fit, and for blocks whose pixels nobody wants, as many of them as fit.
//!
//! Made of the crate's tables, which know what a code means and which are none.

use std::sync::OnceLock;

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;

use super::bits::REFILLED;

/// The bits that a look-up sees.
const PAIR_BITS: u32 = 10;

/// The same where no values are asked for.
const SKIP_BITS: u32 = 12;

/// As many blocks have to be read that a look-up of their codes pays, which takes 6 us to make. Fewer are read symbol by
/// symbol; a picture of 32x32 pixels has 24.
const FEW_BLOCKS: usize = 256;

/// More places than a block has.
const NONE: u32 = 127;

/// Of a block's coefficients behind the first.
#[derive(Clone, Copy)]
pub(super) struct Pair(u64);

impl Pair {
    /// Neither a value nor the end: one symbol at a time has to do.
    fn none() -> Self {
        Self(u64::from(NONE) << 15)
    }

    fn new(bits: u32, places: [u32; 2], needs: u32, advance: u32, values: [i16; 2]) -> Self {
        let low = bits | places[0] << 6 | places[1] << 10 | needs << 15 | advance << 22;
        Self(u64::from(low) | u64::from(values[0] as u16) << 32 | u64::from(values[1] as u16) << 48)
    }

    /// A code whose value does not fit into the look-up.
    fn lone(length: u32, symbol: u8) -> Self {
        Self(Self::none().0 | u64::from(length) | u64::from(symbol) << 32)
    }

    /// How many bits they take.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        // As many as a shift looks at, so that it needs no mask.
        self.0 as u32 & 63
    }

    /// How many places must be left for this to be in the block; more than there are where this is none.
    #[inline(always)]
    pub(super) fn needs(self) -> usize {
        (self.0 >> 15) as usize & 127
    }

    /// How far the place moves, beyond all at the block's end.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 22) as usize & 127
    }

    /// How far from here the two values stand; they may be the same, or a zero where there is nothing.
    #[inline(always)]
    pub(super) fn places(self) -> [usize; 2] {
        [(self.0 >> 6) as usize & 15, (self.0 >> 10) as usize & 31]
    }

    #[inline(always)]
    pub(super) fn values(self) -> [i16; 2] {
        [(self.0 >> 32) as i16, (self.0 >> 48) as i16]
    }

    /// Where this is none: the code's symbol and length, if the look-up saw all of it.
    #[inline(always)]
    pub(super) fn symbol(self) -> Option<(u8, u32)> {
        (self.needs() == NONE as usize && self.bits() > 0).then_some(((self.0 >> 32) as u8, self.bits()))
    }
}

/// Symbols that are passed over.
#[derive(Clone, Copy)]
pub(super) struct Skip(u16);

impl Skip {
    /// How many bits they and their values take: [`MOST_SKIPPED`] at most.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        u32::from(self.0) & 63
    }

    /// As of a [`Pair`].
    #[inline(always)]
    pub(super) fn needs(self) -> usize {
        usize::from(self.0 >> 6) & 127
    }

    /// Whether the last of them ends the block.
    #[inline(always)]
    pub(super) fn ends(self) -> bool {
        self.0 >> 13 != 0
    }
}

/// Two of them are there after each refill.
const MOST_SKIPPED: u32 = REFILLED / 2;

/// A symbol's run of zeros and its value's number of bits.
#[derive(Clone, Copy)]
enum Step {
    End,
    /// Sixteen zeros.
    Zeros,
    Value {
        run: u32,
        bits: u32,
    },
}

impl Step {
    fn of(symbol: u8) -> Self {
        match (u32::from(symbol >> 4), u32::from(symbol & 15)) {
            (15, 0) => Self::Zeros,
            // Whatever else has no value ends the block, as in libjpeg.
            (_, 0) => Self::End,
            (run, bits) => Self::Value { run, bits },
        }
    }

    /// The places it takes; the end takes one, which must be there for it to be read at all.
    fn needs(self) -> u32 {
        match self {
            Self::End => 1,
            Self::Zeros => 16,
            Self::Value { run, .. } => run + 1,
        }
    }
}

/// Beyond the last place of a block.
const BEYOND: u32 = 64;

/// The codes of a block's coefficients behind the first.
pub(super) struct AcCodes<'a> {
    pub(super) table: &'a HuffmanTable,
    pairs: Box<[Pair; 1 << PAIR_BITS]>,
    skips: OnceLock<Box<[Skip; 1 << SKIP_BITS]>>,
}

impl<'a> AcCodes<'a> {
    /// * `blocks`: how many will be read with them
    pub(super) fn new(table: &'a HuffmanTable, blocks: usize) -> Self {
        let mut pairs = boxed(Pair::none());
        if blocks < FEW_BLOCKS {
            return Self { table, pairs, skips: OnceLock::new() };
        }
        for (bits, pair) in (0..).zip(pairs.iter_mut()) {
            *pair = pair_of(table, bits);
        }
        Self { table, pairs, skips: OnceLock::new() }
    }

    /// Makes the table for blocks that are passed over; it pays where they are many.
    pub(super) fn make_skips(&self) {
        let table = self.table;
        self.skips.get_or_init(|| {
            let mut skips = boxed(Skip(0));
            for (bits, skip) in (0..).zip(skips.iter_mut()) {
                *skip = skip_of(table, bits);
            }
            skips
        });
    }

    #[inline(always)]
    pub(super) fn pair(&self, bits: u64) -> Pair {
        self.pairs[(bits >> (64 - PAIR_BITS)) as usize]
    }

    /// What [`AcCodes::make_skips`] made.
    #[inline(always)]
    pub(super) fn skips(&self) -> Option<Skips<'_>> {
        self.skips.get().map(|skips| Skips(skips))
    }
}

/// A table of [`Skip`].
#[derive(Clone, Copy)]
pub(super) struct Skips<'a>(&'a [Skip; 1 << SKIP_BITS]);

impl Skips<'_> {
    #[inline(always)]
    pub(super) fn skip(self, bits: u64) -> Skip {
        self.0[(bits >> (64 - SKIP_BITS)) as usize]
    }
}

fn boxed<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    // Of a vector, so that it never stands on the stack.
    vec![value; N].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("it has just this length"))
}

/// The symbol of a code that begins with `bits`, of which `there` are known, and its length.
fn symbol(table: &HuffmanTable, bits: u32, there: u32) -> Option<(u8, u32)> {
    // The crate's own look-up sees as many bits as ours.
    let (symbol, length) = table.lookup_fast((bits << (16 - PAIR_BITS)) as u16);
    let length = u32::from(length);
    (length > 0 && length <= there).then_some((symbol, length))
}

fn pair_of(table: &HuffmanTable, bits: u32) -> Pair {
    let mask = (1 << PAIR_BITS) - 1;
    // A step with its value, and how many bits it takes; `used` of them are gone.
    let step = |used: u32| {
        let rest = bits << used & mask;
        let (symbol, length) = symbol(table, rest, PAIR_BITS - used)?;
        let step = Step::of(symbol);
        let Step::Value { bits: size, .. } = step else { return Some((step, 0, length)) };
        let taken = length + size;
        if used + taken > PAIR_BITS {
            return None;
        }
        let value = (rest >> (PAIR_BITS - taken)) & ((1 << size) - 1);
        Some((step, extended(value, size), taken))
    };
    let Some((first, value, used)) = step(0) else {
        return match symbol(table, bits, PAIR_BITS) {
            Some((symbol, length)) => Pair::lone(length, symbol),
            None => Pair::none(),
        };
    };
    let place = first.needs() - 1;
    let alone = |advance| Pair::new(used, [place; 2], first.needs(), advance, [value; 2]);
    match (first, step(used)) {
        (Step::End, _) => alone(BEYOND),
        (_, None) => alone(first.needs()),
        (_, Some((second, other, more))) => {
            let needs = first.needs() + second.needs();
            match second {
                Step::End => Pair::new(used + more, [place; 2], needs, BEYOND, [value; 2]),
                _ => Pair::new(used + more, [place, needs - 1], needs, needs, [value, other]),
            }
        }
    }
}

/// As many symbols as begin with `bits`.
fn skip_of(table: &HuffmanTable, bits: u32) -> Skip {
    let (mut used, mut needs) = (0, 0);
    while used < SKIP_BITS {
        let rest = bits << used & ((1 << SKIP_BITS) - 1);
        let Some((symbol, length)) = symbol(table, rest >> (SKIP_BITS - PAIR_BITS), SKIP_BITS - used) else { break };
        let step = Step::of(symbol);
        let taken = length + if let Step::Value { bits, .. } = step { bits } else { 0 };
        if needs + step.needs() > BEYOND || used + taken > MOST_SKIPPED {
            break;
        }
        (used, needs) = (used + taken, needs + step.needs());
        if matches!(step, Step::End) {
            return Skip((used | needs << 6 | 1 << 13) as u16);
        }
    }
    Skip((used | if used == 0 { NONE } else { needs } << 6) as u16)
}

/// The codes of the differences between the averages of neighbouring blocks.
pub(super) struct DcCodes<'a> {
    pub(super) table: &'a HuffmanTable,
    /// Bits in the lower half, the difference in the upper one; zero where it does not fit.
    steps: Box<[u32; 1 << PAIR_BITS]>,
}

impl<'a> DcCodes<'a> {
    /// * `blocks`: how many will be read with them
    pub(super) fn new(table: &'a HuffmanTable, blocks: usize) -> Self {
        let mut steps = boxed(0);
        if blocks < FEW_BLOCKS {
            return Self { table, steps };
        }
        for (bits, step) in (0..).zip(steps.iter_mut()) {
            let Some((size, length)) = symbol(table, bits, PAIR_BITS) else { continue };
            let taken = length + u32::from(size);
            if taken <= PAIR_BITS {
                let value = (bits >> (PAIR_BITS - taken)) & ((1 << size) - 1);
                *step = taken | u32::from(extended(value, size.into()) as u16) << 16;
            }
        }
        Self { table, steps }
    }

    /// The difference that begins with `bits`, and how many bits it takes; none where they are too many.
    #[inline(always)]
    pub(super) fn step(&self, bits: u64) -> (i16, u32) {
        let step = self.steps[(bits >> (64 - PAIR_BITS)) as usize];
        ((step >> 16) as i16, step & 0xffff)
    }
}

/// A value of `bits` bits as it is meant: those whose first bit is zero are negative.
#[inline(always)]
pub(super) fn extended(value: u32, bits: u32) -> i16 {
    // Without a branch, since which it is cannot be foreseen.
    let value = value as i32;
    let below = ((value - (1 << bits >> 1)) >> 31) & ((-1 << bits) + 1);
    (value + below) as i16
}
