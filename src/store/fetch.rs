//! One object, fetched in parts side by side, continued where it broke off, and checked.
//!
//! ```text
//! partial file ─▶ hashed as far as it goes ─▶ parts (Range, If-Match), four on their way, written in order ─▶ size, checksums ─▶ whole
//! ```
//! A partial file is a beginning: its name holds what the object was, so another object in its place never continues it. Whole files stay partial
//! files until all files of a version are there. Runs on a thread of its own, which may wait for the disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use md5::Md5;
use object_store::{GetOptions, GetRange};
use sha2::{Digest, Sha256};

use super::{digests::FileDigest, error::StoreFault, listing::StoreFile, open::StoreClient, url::StoreKind};
use crate::{
    files,
    staging::{FileError, at},
    telemetry::StoreMeter,
};

/// Bytes of one request; so many, times those on their way, are in memory.
const PART: u64 = 8 << 20;
const SIDE_BY_SIDE: usize = 4;

/// Fetches objects of one store into a folder of partial files.
pub(super) struct Fetcher {
    pub(super) client: StoreClient,
    pub(super) kind: StoreKind,
    /// Where partial files are.
    pub(super) folder: PathBuf,
    pub(super) meter: StoreMeter,
}

impl Fetcher {
    /// Where the object is put, whole or not.
    fn place(&self, file: &StoreFile) -> PathBuf {
        let mut hash = Sha256::new();
        for part in [file.key.as_ref(), &file.tag, &file.size.to_string()] {
            hash.update(part);
            hash.update([0]);
        }
        self.folder.join(files::hex(&hash.finalize()[..16]))
    }

    /// Fetches what is missing of an object, and checks all of it.
    ///
    /// * `stated`: what the version's manifest says of it
    pub(super) async fn fetch(&self, file: &StoreFile, stated: Option<&FileDigest>) -> Result<PathBuf, StoreFault> {
        let place = self.place(file);
        let outcome = self.fetch_into(&place, file, stated).await;
        match &outcome {
            // Nothing of it is worth keeping; a full disk needs the room.
            Err(StoreFault::Checksum { .. } | StoreFault::Changed(_)) => drop(fs::remove_file(&place)),
            Err(StoreFault::Disk(error)) if error.cause.kind() == io::ErrorKind::StorageFull => {
                drop(fs::remove_file(&place));
            }
            _ => {}
        }
        outcome.map(|()| place)
    }

    async fn fetch_into(&self, place: &Path, file: &StoreFile, stated: Option<&FileDigest>) -> Result<(), StoreFault> {
        let mut sums = Sums::for_file(file);
        let (mut partial, done) = continued(place, file.size, &mut sums).map_err(at(place))?;
        let starts = (done..file.size).step_by(PART as usize);
        let parts = starts.map(|start| self.part(file, start, (start + PART).min(file.size)));
        let mut parts = stream::iter(parts).buffered(SIDE_BY_SIDE);
        while let Some(part) = parts.next().await {
            let part = part?;
            partial.write_all(&part).map_err(at(place))?;
            sums.add(&part);
        }
        partial.sync_all().map_err(at(place))?;
        sums.check(file, stated, self.client.is_encrypted.load(Ordering::Relaxed))
    }

    /// A part of an object, which is still the one that was listed.
    async fn part(&self, file: &StoreFile, start: u64, end: u64) -> Result<Bytes, StoreFault> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(start..end)),
            if_match: file.etag.clone(),
            ..GetOptions::default()
        };
        let fault = |error| StoreFault::of(self.kind, file.key.as_ref(), &error);
        let answer = self.client.store.get_opts(&file.key, options).await.map_err(fault)?;
        if answer.meta.size != file.size {
            return Err(StoreFault::Changed(file.key.to_string()));
        }
        let bytes = answer.bytes().await.map_err(fault)?;
        self.meter.note_bytes(bytes.len() as u64);
        if bytes.len() as u64 != end - start {
            return Err(StoreFault::Away(format!("breaks off ({} of {} bytes came)", bytes.len(), end - start)));
        }
        Ok(bytes)
    }

    /// A whole small object.
    pub(super) async fn read(&self, file: &StoreFile, limit: u64) -> Result<Bytes, StoreFault> {
        if file.size > limit {
            return Err(StoreFault::Content(format!("{} has {} bytes, the limit is {limit}", file.key, file.size)));
        }
        if file.size == 0 { Ok(Bytes::new()) } else { self.part(file, 0, file.size).await }
    }

    /// Throws partial files away, when nobody wants any.
    pub(super) fn clear(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            // What stays is looked at again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Opens a partial file at its end, having read what is in it; one that is longer than the object is begun anew.
fn continued(place: &Path, size: u64, sums: &mut Sums) -> io::Result<(File, u64)> {
    let there = match files::open(place) {
        Ok(file) => Some(file).filter(|file| file.metadata().is_ok_and(|metadata| metadata.len() <= size)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_continued = there.is_some();
    let mut done = 0;
    if let Some(mut there) = there {
        let mut piece = vec![0; 1 << 17];
        loop {
            match there.read(&mut piece)? {
                0 => break,
                length => {
                    sums.add(&piece[..length]);
                    done += length as u64;
                }
            }
        }
    }
    let mut options = OpenOptions::new();
    let options = if is_continued { options.append(true) } else { options.write(true).truncate(true) };
    Ok((options.create(true).open(place)?, done))
}

/// What an object's bytes add up to.
struct Sums {
    sha256: Sha256,
    /// Only where the store states it.
    md5: Option<Md5>,
}

impl Sums {
    fn for_file(file: &StoreFile) -> Self {
        Self { sha256: Sha256::new(), md5: stated_md5(file).map(|_| Md5::new()) }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// * `is_encrypted`: an entity tag is no checksum then
    fn check(self, file: &StoreFile, stated: Option<&FileDigest>, is_encrypted: bool) -> Result<(), StoreFault> {
        let differs = |witness, stated: &str, came: String| StoreFault::Checksum {
            name: file.key.to_string(),
            witness,
            stated: stated.to_owned(),
            came,
        };
        // The manifest was made where the file was; an entity tag by the store, of what it got. It is no MD5 where the store encrypts with a key of
        // its owner's, so it only speaks where nobody else does, and not of those.
        if let Some(stated) = stated {
            let came = files::hex(&self.sha256.finalize());
            if !came.eq_ignore_ascii_case(&stated.sha256) {
                return Err(differs("the version's manifest", &stated.sha256, came));
            }
        } else if let (Some(md5), Some(stated)) = (self.md5, stated_md5(file)) {
            let came = files::hex(&md5.finalize());
            if came != stated && !is_encrypted {
                return Err(differs("its entity tag", &stated, came));
            }
        }
        Ok(())
    }
}

/// The MD5 that is the entity tag of an object which was put in one piece.
fn stated_md5(file: &StoreFile) -> Option<String> {
    let tag = file.etag.as_deref()?.trim_matches('"');
    (tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| tag.to_ascii_lowercase())
}

/// Moves a whole file to where it belongs.
pub(super) fn settle_in(from: &Path, folder: &Path, name: &str) -> Result<(), FileError> {
    let place = folder.join(name);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    fs::rename(from, &place).map_err(at(&place))
}
