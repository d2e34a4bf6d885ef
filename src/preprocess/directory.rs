//! The first directory of a TIFF, and of an EXIF block, which has the same form: a table of tags.
//!
//! Looks at [`MOST_ENTRIES`] entries at most, whatever the file claims. Knows tags and byte order; must not know pixels.

/// More entries than any writer makes (a camera's has about 60); what is behind them is not looked at.
const MOST_ENTRIES: usize = 4096;

/// The tags that are looked at.
pub(super) mod tag {
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTES: u16 = 279;
    pub(in super::super) const PLANAR: u16 = 284;
    pub(in super::super) const FAX_OPTIONS: u16 = 292;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLOR_MAP: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTES: u16 = 325;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    pub(in super::super) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(in super::super) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(in super::super) const REFERENCE_BLACK_WHITE: u16 = 532;
    pub(in super::super) const XMP: u16 = 700;
}

/// A reader of numbers in the file's own byte order, at any place in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory<'a> {
    file: &'a [u8],
    big_endian: bool,
    /// BigTIFF: counts and offsets have 8 bytes.
    big: bool,
    /// Where the entries start, and how many there are.
    entries: (usize, usize),
    /// How many there should be.
    announced: u64,
    /// From this entry on only values count that are in the entry itself.
    inline_from: usize,
}

/// One entry: what its values are and where they lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagEntry {
    kind: u16,
    pub(super) count: usize,
    at: usize,
}

impl<'a> Directory<'a> {
    /// The first directory; `None` where the file ends before it.
    ///
    /// Some writers mix up the order of the version's two bytes; Pillow takes the letters' word for it.
    pub(super) fn first(file: &'a [u8]) -> Option<Self> {
        let (big_endian, big) = match file {
            [b'I', b'I', 42 | 43, 0, ..] | [b'I', b'I', 0, 42, ..] => (false, file[2] == 43),
            // Pillow looks for BigTIFF's number where only a little-endian file has it.
            [b'M', b'M', 0, 42 | 43, ..] | [b'M', b'M', 42, 0, ..] => (true, false),
            _ => return None,
        };
        let mut directory = Self { file, big_endian, big, entries: (0, 0), announced: 0, inline_from: usize::MAX };
        let start = directory.offset(if big { 8 } else { 4 })?;
        let count_bytes = if big { 8 } else { 2 };
        let count = directory.number(start, count_bytes)?;
        directory.announced = count;
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(MOST_ENTRIES);
        directory.entries = (start.checked_add(count_bytes)?, count);
        directory.limit();
        Some(directory)
    }

    /// Whether a file begins like one with a directory.
    pub(super) fn is_announced(file: &[u8]) -> bool {
        matches!(
            file,
            [b'I', b'I', 42 | 43, 0, ..]
                | [b'M', b'M', 0, 42 | 43, ..]
                | [b'I', b'I', 0, 42, ..]
                | [b'M', b'M', 42, 0, ..]
        )
    }

    /// Ends the directory where Pillow stops: at the first entry whose values are cut off. And once the values of all are
    /// longer than the file, those that lie elsewhere are passed over.
    fn limit(&mut self) {
        let ((start, count), size, inline) = (self.entries, self.entry_bytes(), if self.big { 8 } else { 4 });
        let mut total = 0usize;
        for index in 0..count {
            let at = start.saturating_add(index.saturating_mul(size));
            let Some(kind) = self.number(at, 2).and_then(|_| self.number(at + 2, 2)) else { break };
            let count = self.number(at + 4, inline).and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
            let Some(bytes) = size_of(kind as u16).map(|size| count.saturating_mul(size)) else { continue };
            if bytes <= inline {
                continue;
            }
            total = total.saturating_add(bytes);
            if total > self.file.len() {
                self.inline_from = self.inline_from.min(index);
            } else if self.offset(at + 4 + inline).is_none_or(|offset| offset > self.file.len() - bytes) {
                self.entries.1 = index;
                break;
            }
        }
    }

    pub(super) fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// Whether every entry is in the file, and the values of these tags are there and whole numbers. Pillow passes over what is
    /// not; libtiff gives up.
    pub(super) fn is_whole(&self, tags: &[u16]) -> bool {
        let ((start, count), size) = (self.entries, self.entry_bytes());
        let end = start.saturating_add(count.saturating_mul(size));
        let is_cut = |at: usize| {
            let tag = self.number(at, 2).and_then(|tag| u16::try_from(tag).ok());
            tag.is_some_and(|tag| tags.contains(&tag))
                && self.values(at).is_none_or(|entry| matches!(entry.kind, 2 | 5 | 10..=12))
        };
        let is_known = |at: usize| self.number(at + 2, 2).is_some_and(|kind| matches!(kind, 1..=13 | 16..=18));
        // Where no lengths are told libtiff measures everything that is in the file.
        let is_measured = self.entry(tag::STRIP_BYTES).or(self.entry(tag::TILE_BYTES)).is_none();
        if is_measured && !(0..count).all(|index| is_known(start + index * size)) {
            return false;
        }
        self.announced <= MOST_ENTRIES as u64
            && self.announced == count as u64
            && end <= self.file.len()
            && !(0..count).any(|index| is_cut(start + index * size))
    }

    fn entry_bytes(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// The entry of `tag`; `None` where there is none whose values are in the file. Of several the first one counts, as
    /// with Pillow.
    pub(super) fn entry(&self, tag: u16) -> Option<TagEntry> {
        let ((start, count), size) = (self.entries, self.entry_bytes());
        let mut places = (0..count).map_while(|index| {
            let at = start.checked_add(index * size)?;
            self.number(at, 2).map(|tag| (at, tag))
        });
        places.find_map(|(at, found)| if found == u64::from(tag) { self.values(at) } else { None })
    }

    /// The values of the entry at `at`, unless the file ends before them.
    fn values(&self, at: usize) -> Option<TagEntry> {
        let kind = self.number(at + 2, 2)? as u16;
        let inline = if self.big { 8 } else { 4 };
        let count = usize::try_from(self.number(at + 4, inline)?).ok().filter(|&count| count > 0)?;
        let value = at + 4 + inline;
        let size = count.checked_mul(size_of(kind)?)?;
        // Values that do not fit into the entry lie elsewhere, and the entry says where.
        let index = (at - self.entries.0) / self.entry_bytes();
        let at = match size > inline {
            true if index >= self.inline_from => return None,
            true => self.offset(value)?,
            false => value,
        };
        self.file.get(at..at.checked_add(size)?)?;
        Some(TagEntry { kind, count, at })
    }

    /// The bytes of an entry's values.
    pub(super) fn bytes(&self, entry: &TagEntry) -> &'a [u8] {
        let size = entry.count * size_of(entry.kind).unwrap_or(0);
        self.file.get(entry.at..entry.at + size).unwrap_or_default()
    }

    /// The first number of `tag`.
    pub(super) fn unsigned(&self, tag: u16) -> Option<u64> {
        self.value(&self.entry(tag)?, 0)
    }

    /// Number `index` of an entry of unsigned integers.
    pub(super) fn value(&self, entry: &TagEntry, index: usize) -> Option<u64> {
        // Bytes are no numbers to Pillow.
        let size = size_of(entry.kind).filter(|_| matches!(entry.kind, 3 | 4 | 13 | 16))?;
        if index < entry.count { self.number(entry.at + index * size, size) } else { None }
    }

    /// The first number of an entry of any kind of numbers, if it is a whole one.
    pub(super) fn integer(&self, entry: &TagEntry) -> Option<i64> {
        let bits = |index: usize, size: usize| self.number(entry.at + index * size, size);
        let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 1e9).then_some(value as i64);
        match entry.kind {
            3 => Some(bits(0, 2)? as i64),
            4 | 13 => Some(bits(0, 4)? as i64),
            16 => i64::try_from(bits(0, 8)?).ok(),
            6 => Some(i64::from(bits(0, 1)? as i8)),
            8 => Some(i64::from(bits(0, 2)? as i16)),
            9 => Some(i64::from(bits(0, 4)? as i32)),
            11 => whole(f32::from_bits(bits(0, 4)? as u32).into()),
            12 => whole(f64::from_bits(bits(0, 8)?)),
            5 => whole(bits(0, 4)? as f64 / bits(1, 4)? as f64),
            10 => whole(f64::from(bits(0, 4)? as i32) / f64::from(bits(1, 4)? as i32)),
            _ => None,
        }
    }

    /// Number `index` of an entry of any kind of numbers, in single precision as libtiff has it.
    pub(super) fn float(&self, entry: &TagEntry, index: usize) -> Option<f32> {
        let size = size_of(entry.kind).filter(|_| index < entry.count)?;
        let at = entry.at + index * size;
        let bits = self.number(at, size)?;
        // A fraction's parts, in the order of the file; of nothing there are none.
        let divided = |upper: f32| {
            let lower = self.number(at + 4, 4).unwrap_or(0) as u32;
            if lower == 0 { 0.0 } else { upper / lower as f32 }
        };
        Some(match entry.kind {
            1 | 3 | 4 | 16 => bits as f32,
            6 => f32::from(bits as i8),
            8 => f32::from(bits as i16),
            9 => bits as i32 as f32,
            5 => divided(self.number(at, 4)? as f32),
            10 => divided(self.number(at, 4)? as i32 as f32),
            11 => f32::from_bits(bits as u32),
            12 => f64::from_bits(bits).clamp(f32::MIN.into(), f32::MAX.into()) as f32,
            _ => return None,
        })
    }

    fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, if self.big { 8 } else { 4 })?).ok()
    }

    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.file.get(at..at.checked_add(size)?)?;
        let shifted = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        Some(if self.big_endian { bytes.iter().fold(0, shifted) } else { bytes.iter().rev().fold(0, shifted) })
    }
}

/// The bytes of one value of a kind; `None` for a kind that Pillow passes over.
fn size_of(kind: u16) -> Option<usize> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_lies_is_no_directory() {
        assert!(Directory::first(b"II\x2a\0").is_none());
        assert!(Directory::first(b"II\x2a\0\xff\xff\xff\xff").is_none());
        // 65535 entries are announced, none is there.
        let directory = Directory::first(b"MM\0\x2a\0\0\0\x08\xff\xff").expect("a count");
        assert!(directory.entry(tag::WIDTH).is_none());
    }

    #[test]
    fn values_are_found_inside_their_entry_and_beyond_it() {
        let mut file = b"II\x2a\0\x08\0\0\0\x02\0".to_vec();
        file.extend([0x00, 1, 3, 0, 1, 0, 0, 0, 7, 0, 0, 0]); // WIDTH, one SHORT: 7
        file.extend([0x01, 1, 4, 0, 2, 0, 0, 0, 34, 0, 0, 0]); // HEIGHT, two LONGs, at 34
        file.extend([5, 0, 0, 0, 6, 0, 0, 0]);
        let directory = Directory::first(&file).expect("a directory");
        assert_eq!(directory.unsigned(tag::WIDTH), Some(7));
        let height = directory.entry(tag::HEIGHT).expect("an entry");
        assert_eq!([0, 1, 2].map(|index| directory.value(&height, index)), [Some(5), Some(6), None]);
    }
}
