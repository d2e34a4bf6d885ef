//! The hub's cache on disk, as `huggingface_hub` of Python lays it out.
//!
//! ```text
//! models--timm--resnet50.tv_in1k/
//!   blobs/SHA256                      a file's content, once
//!   blobs/SHA256.incomplete           what there is of it so far
//!   snapshots/COMMIT/model.safetensors -> ../../blobs/SHA256
//!   refs/main                         the COMMIT of a branch
//! ```
//! A content appears under its name when it is whole and checked, never before.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use super::error::HubError;
use crate::staging::write_file;

/// The cache of one repository.
pub(super) struct HubCache {
    folder: PathBuf,
}

impl HubCache {
    pub(super) fn new(root: &Path, repository: &str) -> Self {
        Self { folder: root.join(format!("models--{}", repository.replace('/', "--"))) }
    }

    /// Where a content lies, or would.
    pub(super) fn blob(&self, sha256: &str) -> PathBuf {
        self.folder.join("blobs").join(sha256)
    }

    /// A file of a branch, tag or commit that was fetched before, with its commit.
    pub(super) fn find(&self, revision: &str, path: &str) -> Option<(String, PathBuf)> {
        let commit = if is_hexadecimal(revision, 40) {
            revision.to_owned()
        } else {
            fs::read_to_string(self.reference(revision)).ok()?.trim().to_owned()
        };
        let path = self.snapshot(&commit, path);
        (is_hexadecimal(&commit, 40) && path.exists()).then_some((commit, path))
    }

    /// Opens what was fetched of a content so far, and locks it: another process that wants the same content is refused
    /// as long as this one holds it.
    pub(super) fn incomplete(&self, sha256: &str, size: u64) -> Result<Incomplete, HubError> {
        let mut path = self.blob(sha256);
        path.add_extension("incomplete");
        create_parent(&path)?;
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let mut file = open.map_err(HubError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(HubError::Busy { path }),
            Err(TryLockError::Error(cause)) => return Err(HubError::Io { path, cause }),
        }
        let len = file.seek(std::io::SeekFrom::End(0)).map_err(HubError::io(&path))?;
        let mut incomplete = Incomplete { file, path, len };
        if len > size {
            incomplete.restart()?;
        }
        Ok(incomplete)
    }

    /// Gives a content its place in the snapshot of a commit.
    pub(super) fn publish(&self, sha256: &str, commit: &str, revision: &str, path: &str) -> Result<PathBuf, HubError> {
        let link = self.snapshot(commit, path);
        create_parent(&link)?;
        // From `snapshots/COMMIT/` and the folders of the file's own path, up to the repository's.
        let up = "../".repeat(2 + path.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{sha256}"));
        if fs::read_link(&link).ok().as_ref() != Some(&target) {
            let _ = fs::remove_file(&link);
            // Where the file system has no symbolic links, a hard link does.
            symlink(&target, &link)
                .or_else(|_| fs::hard_link(self.blob(sha256), &link))
                .map_err(HubError::io(&link))?;
        }
        if !is_hexadecimal(revision, 40) {
            let reference = self.reference(revision);
            create_parent(&reference)?;
            write_file(&reference, |file| file.write_all(commit.as_bytes()))
                .map_err(|error| HubError::Io { path: error.path, cause: error.cause })?;
        }
        Ok(link)
    }

    fn snapshot(&self, commit: &str, path: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(path)
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }
}

/// A content on its way.
pub(super) struct Incomplete {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Incomplete {
    /// Bytes that are there.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(HubError::io(&self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is there and begins anew.
    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        self.len = 0;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(HubError::io(&self.path))
    }

    /// Deletes what is there: it was not what the hub states.
    pub(super) fn discard(self) -> Result<(), HubError> {
        fs::remove_file(&self.path).map_err(HubError::io(&self.path))
    }

    /// Gives the content, which is whole and checked, its name.
    pub(super) fn complete(self, blob: &Path) -> Result<(), HubError> {
        // Not synced to the disk: what a power cut leaves is checked before it is used.
        fs::rename(&self.path, blob).map_err(HubError::io(blob))
    }
}

/// Whether it is a hash of so many digits: only such a text of the hub's becomes the name of a file.
pub(super) fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn create_parent(path: &Path) -> Result<(), HubError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(HubError::io(parent)),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
