//! LZW as GIF has it, and as Pillow takes it: what Pillow calls broken or truncated is refused, what it reads is read.

/// Codes have at most 12 bits.
const MOST_CODES: usize = 4096;

/// Why there are no more pixels.
#[derive(Debug, thiserror::Error)]
pub(super) enum LzwError {
    #[error("its pixels end early")]
    Truncated,
    #[error("a code stands for no string")]
    Broken,
    #[error("its codes start with {0} bits, at most 12 are possible")]
    CodeSize(u8),
}

/// The state of the decoder between two rows.
pub(super) struct Lzw<'a> {
    blocks: SubBlocks<'a>,
    /// Bits that were read and not yet used, the next one lowest.
    bits: u32,
    bit_count: u32,
    /// Bits of the first codes; the clear code is the number beyond the values that they can have.
    first_size: u32,
    size: u32,
    /// The next code that is given away.
    next: usize,
    /// The code before, if any since the table was cleared, and the first value of its string.
    last: Option<(usize, u8)>,
    /// What each code appends to which other, and how long the string is then.
    suffix: Box<[u8; MOST_CODES]>,
    prefix: Box<[u16; MOST_CODES]>,
    length: Box<[u16; MOST_CODES]>,
    /// The rest of a string that did not fit into the row before.
    rest: Vec<u8>,
    rest_at: usize,
}

impl<'a> Lzw<'a> {
    pub(super) fn new(first_size: u8, blocks: &'a [u8]) -> Result<Self, LzwError> {
        if first_size > 12 {
            return Err(LzwError::CodeSize(first_size));
        }
        let clear = 1 << first_size;
        Ok(Self {
            blocks: SubBlocks { rest: blocks, block: &[] },
            bits: 0,
            bit_count: 0,
            first_size: first_size.into(),
            size: u32::from(first_size) + 1,
            next: clear + 2,
            last: None,
            suffix: Box::new([0; MOST_CODES]),
            prefix: Box::new([0; MOST_CODES]),
            length: Box::new([1; MOST_CODES]),
            rest: Vec::new(),
            rest_at: 0,
        })
    }

    /// Fills a row.
    pub(super) fn fill(&mut self, row: &mut [u8]) -> Result<(), LzwError> {
        let mut at = self.take_rest(row);
        while at < row.len() {
            let code = self.code()?;
            let clear = 1 << self.first_size;
            if code == clear {
                (self.size, self.next, self.last) = (self.first_size + 1, clear + 2, None);
                continue;
            }
            if code == clear + 1 {
                // The end, with pixels missing.
                return Err(LzwError::Truncated);
            }
            let Some((last, last_first)) = self.last else {
                if code > clear {
                    return Err(LzwError::Broken);
                }
                row[at] = code as u8;
                at += 1;
                self.last = Some((code, code as u8));
                continue;
            };
            let known = if code < self.next { code } else { last };
            let length = usize::from(self.length_of(known)) + usize::from(code == self.next);
            if code > self.next || (code >= clear && known >= MOST_CODES) {
                return Err(LzwError::Broken);
            }
            let first = if let Some(string) = row.get_mut(at..at + length) {
                at += length;
                self.spell(known, last_first, string)
            } else {
                let mut string = std::mem::take(&mut self.rest);
                string.clear();
                string.resize(length, 0);
                let first = self.spell(known, last_first, &mut string);
                (self.rest, self.rest_at) = (string, 0);
                at += self.take_rest(&mut row[at..]);
                first
            };
            self.learn(last, first);
            self.last = Some((code, first));
        }
        Ok(())
    }

    /// Copies what is left of the last string; gives how much that was.
    fn take_rest(&mut self, row: &mut [u8]) -> usize {
        let rest = &self.rest[self.rest_at..];
        let count = rest.len().min(row.len());
        row[..count].copy_from_slice(&rest[..count]);
        self.rest_at += count;
        count
    }

    fn length_of(&self, code: usize) -> u16 {
        if code < 1 << self.first_size { 1 } else { self.length.get(code).copied().unwrap_or(1) }
    }

    /// Writes the string of `code`, which is one shorter than `string` where it is the last one with its own first value
    /// behind it; gives the first value.
    fn spell(&self, mut code: usize, last_first: u8, string: &mut [u8]) -> u8 {
        let clear = 1 << self.first_size;
        let mut at = usize::from(self.length_of(code)).min(string.len());
        if let Some(behind) = string.get_mut(at) {
            *behind = last_first;
        }
        while code >= clear && at > 1 {
            at -= 1;
            string[at] = self.suffix[code];
            code = self.prefix[code].into();
        }
        string[0] = code as u8;
        code as u8
    }

    /// Gives the next code to the last string with `value` behind it, as long as there are codes.
    fn learn(&mut self, last: usize, value: u8) {
        if self.next < MOST_CODES {
            self.suffix[self.next] = value;
            self.prefix[self.next] = last as u16;
            self.length[self.next] = self.length_of(last) + 1;
            if self.next == (1 << self.size) - 1 && self.size < 12 {
                self.size += 1;
            }
            self.next += 1;
        }
    }

    fn code(&mut self) -> Result<usize, LzwError> {
        while self.bit_count < self.size {
            let byte = self.blocks.next().ok_or(LzwError::Truncated)?;
            self.bits |= u32::from(byte) << self.bit_count;
            self.bit_count += 8;
        }
        let code = self.bits & ((1 << self.size) - 1);
        self.bits >>= self.size;
        self.bit_count -= self.size;
        Ok(code as usize)
    }
}

/// The bytes of GIF's blocks of up to 255. One that is cut off counts as missing whole; an empty one ends nothing.
struct SubBlocks<'a> {
    rest: &'a [u8],
    block: &'a [u8],
}

impl Iterator for SubBlocks<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        loop {
            if let Some((byte, block)) = self.block.split_first() {
                self.block = block;
                return Some(*byte);
            }
            let (length, rest) = self.rest.split_first()?;
            (self.block, self.rest) = rest.split_at_checked((*length).into())?;
        }
    }
}
