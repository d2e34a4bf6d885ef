//! Shards in tar form, as WebDataset writes them: the pictures among the members, in the order in which they lie there.
//!
//! A tar file that was cut says so by its missing end mark only, so that is looked for: whoever wrote it died, and the pictures
//! that should follow would be missed by nobody.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read},
    ops::ControlFlow,
    path::Path,
};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry};

use super::member::{Member, MemberError};
use crate::files;

/// What is read from the disk at a time.
const STEP: usize = 1 << 20;

/// Hands every picture of the shard to `each`, from the one with number `first` on.
///
/// * `is_picture`: whether a member of this name is one; the others are passed over
/// * `limit`: the most bytes of a picture
pub(super) fn read_tar(
    path: &Path,
    file: File,
    is_picture: fn(&Path) -> bool,
    limit: u64,
    first: u64,
    each: &mut dyn FnMut(Member) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let is_packed = path.extension().is_some_and(|extension| extension != "tar");
    let file = BufReader::with_capacity(STEP, file);
    let bytes: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let shard = files::shown(path);
    let ended = Cell::new(false);
    let mut archive = Archive::new(NotingEnd { bytes, ended: &ended });
    let mut number = 0;
    let mut give = |key: String, content: Result<Vec<u8>, MemberError>| {
        let member = Member { number, key, content: content.map(Into::into) };
        number += 1;
        if member.number < first { ControlFlow::Continue(()) } else { each(member) }
    };
    let cut = |error: &io::Error| MemberError::Cut(format!("the shard cannot be read from here on: {error}"));
    let entries = match archive.entries() {
        Ok(entries) => entries,
        Err(error) => return give(shard, Err(cut(&error))),
    };
    for entry in entries {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => return give(shard, Err(cut(&error))),
        };
        let Ok(name) = entry.path().map(|name| name.into_owned()) else { continue };
        if !entry.header().entry_type().is_file() || !is_picture(&name) {
            continue;
        }
        let content = picture(&mut entry, limit);
        let is_cut = matches!(content, Err(MemberError::Cut(_)));
        give(format!("{shard}:{}", files::shown(&name)), content)?;
        if is_cut {
            return ControlFlow::Continue(());
        }
    }
    if ended.get() {
        let reason = "the shard ends without tar's end mark: it was cut, or its writer died; write it again";
        return give(shard, Err(MemberError::Cut(reason.to_owned())));
    }
    ControlFlow::Continue(())
}

fn picture(entry: &mut Entry<'_, impl Read>, limit: u64) -> Result<Vec<u8>, MemberError> {
    let length = entry.size();
    if length > limit {
        return Err(MemberError::TooLarge { bytes: length, limit });
    }
    let mut bytes = Vec::new();
    let read = entry.read_to_end(&mut bytes);
    match read {
        Ok(read) if read as u64 == length => Ok(bytes),
        Ok(read) => Err(MemberError::Cut(format!(
            "the shard ends inside this picture, after {read} of {length} bytes: it was cut, or its writer died; write it again"
        ))),
        Err(error) => Err(MemberError::Cut(format!("the shard cannot be read from here on: {error}"))),
    }
}

/// Tells whether the last that was asked of it was beyond the end.
struct NotingEnd<'e, R> {
    bytes: R,
    ended: &'e Cell<bool>,
}

impl<R: Read> Read for NotingEnd<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.ended.set(read == 0 && !into.is_empty());
        Ok(read)
    }
}
