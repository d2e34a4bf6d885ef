//! A JPEG's frame header, wherever between the other segments it stands.

use super::{MOST_BYTES, array};

/// More segments than any writer makes: a colour profile or an extended XMP of megabytes has about a hundred.
const MOST_SEGMENTS: usize = 4096;

/// The frame header (SOF) is the first of the markers 0xC0..0xCF that is no table.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let (mut at, mut stray) = (2, 0);
    for _ in 0..MOST_SEGMENTS {
        // Between segments any number of stray bytes and of fill bytes (0xFF) may stand.
        let rest = bytes.get(at..)?;
        let rest = &rest[..rest.len().min(MOST_BYTES - stray)];
        let fill = rest.iter().position(|&byte| byte == 0xff)?;
        let skipped = fill + rest[fill..].iter().position(|&byte| byte != 0xff)?;
        stray += skipped - 1;
        let marker = rest[skipped];
        at += skipped + 1;
        match marker {
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            // The scan, or the end, without a frame header.
            0xd9 | 0xda => return None,
            _ => {}
        }
        let length = u16::from_be_bytes(array(bytes, at)?);
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let [height, width] = [array(bytes, at + 3)?, array(bytes, at + 5)?].map(u16::from_be_bytes);
            return Some((width.into(), height.into()));
        }
        at += usize::from(length).max(2);
    }
    None
}
