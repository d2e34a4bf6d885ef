//! The bits of a JPEG's scan: bytes without the zeros that are stuffed behind 0xFF, up to a marker.
//!
//! Of our own for speed: eight bytes at a time are taken where none of them is 0xFF. What is there of a scan that ends
//! early is as libjpeg has it: zeros follow, and [`Bits::is_cut`] tells that some of them were used.

/// So many bits are there after [`Bits::refill`], at least: more than a code of 16 with a value of 15.
pub(super) const REFILLED: u32 = 56;

/// Small, and copied into the registers of whoever reads a block.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The first byte that is not in `buffer`; never beyond a marker.
    at: usize,
    /// The next bits from the top. Below `count` of them may stand those that follow in `data`.
    buffer: u64,
    count: u32,
    /// How many bits, at the end of what was ever in `buffer`, are zeros that are not in `data`.
    stuffed: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0, stuffed: 0 }
    }

    /// Sees to it that [`REFILLED`] bits are there. There is no branch for where they are already: which it is cannot be
    /// foreseen, and costs more than the work.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        const LOWEST: u64 = u64::from_ne_bytes([0x01; 8]);
        const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
        if let Some(word) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(*word);
            // A byte is 0xFF where its complement is zero: there, and above it at most, the subtraction borrows.
            if (!word).wrapping_sub(LOWEST) & word & HIGHEST == 0 {
                self.buffer |= word >> (self.count & 63);
                let bytes = (63 - (self.count & 63)) >> 3;
                self.at += bytes as usize;
                self.count += bytes * 8;
                return;
            }
        }
        *self = self.refilled_bytewise();
    }

    /// By value, because what is called with an address cannot stay in registers.
    #[cold]
    #[inline(never)]
    fn refilled_bytewise(mut self) -> Self {
        // What stands below is read again.
        self.buffer &= !(u64::MAX >> (self.count & 63));
        while self.count < REFILLED {
            let byte = match self.data.get(self.at..).unwrap_or_default() {
                [0xff, rest @ ..] => {
                    // Any number of them counts as one.
                    let more = rest.iter().position(|&byte| byte != 0xff);
                    match more.map(|more| (more, rest[more])) {
                        Some((more, 0)) => {
                            self.at += more + 2;
                            Some(0xff)
                        }
                        // A marker: the last 0xFF belongs to it.
                        Some((more, _)) => {
                            self.at += more;
                            None
                        }
                        None => {
                            self.at = self.data.len();
                            None
                        }
                    }
                }
                [byte, ..] => {
                    self.at += 1;
                    Some(*byte)
                }
                [] => None,
            };
            self.buffer |= u64::from(byte.unwrap_or(0)) << (56 - self.count);
            self.count += 8;
            if byte.is_none() {
                self.stuffed = self.stuffed.saturating_add(8);
            }
        }
        self
    }

    /// The next bits, from the top of the word.
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        self.buffer
    }

    /// Passes over bits that [`Bits::refill`] has seen to.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.buffer = self.buffer.wrapping_shl(bits);
        self.count = self.count.wrapping_sub(bits);
    }

    /// Whether bits were passed over that are not in the file.
    #[inline(always)]
    pub(super) fn is_cut(&self) -> bool {
        self.count < self.stuffed
    }

    /// Whether any of the next `bits` is not in the file.
    pub(super) fn is_cut_within(&self, bits: u32) -> bool {
        self.stuffed > 0 && self.count < self.stuffed.saturating_add(bits)
    }

    /// Goes on behind the next restart marker; where another marker comes first, before that one.
    pub(super) fn restart(&mut self) {
        (self.buffer, self.count, self.stuffed) = (0, 0, 0);
        while let Some([first, second, ..]) = self.data.get(self.at..) {
            match (first, second) {
                (0xff, 0xd0..=0xd7) => {
                    self.at += 2;
                    return;
                }
                (0xff, 0x00) => self.at += 2,
                (0xff, 0xff) => self.at += 1,
                (0xff, _) => return,
                _ => self.at += 1,
            }
        }
    }

    /// What is not read yet, from somewhere before the next marker.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }
}
