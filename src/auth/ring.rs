//! The keys of a file that is followed: what is taken out of it is refused from the next look on, also on connections that are open.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use super::{
    book::{ApiKey, KeyBook},
    error::KeyFileError,
    key_file::{KeyFile, KeyText},
};
use crate::{
    files,
    followed::{Followed, Look},
    telemetry::KeyMetrics,
};

/// The keys in force; clones follow the file together.
#[derive(Clone)]
pub struct KeyRing(Arc<Ring>);

struct Ring {
    path: PathBuf,
    metrics: KeyMetrics,
    book: ArcSwap<KeyBook>,
    followed: Mutex<Followed<KeyText>>,
}

impl KeyRing {
    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(path: &Path, metrics: KeyMetrics) -> Result<Self, KeyFileError> {
        let text = KeyText::read(path)?;
        let book = KeyBook::new(text.keys(path)?, &KeyBook::default(), &metrics);
        if book.len() == 0 {
            warn!(
                "[auth] keys_file {}: has no key, so nobody is let in; make one with `resnetd keys add NAME`",
                files::shown(path)
            );
        }
        metrics.note_keys(book.len());
        let (book, followed) = (ArcSwap::from_pointee(book), Mutex::new(Followed::new(text)));
        Ok(Self(Arc::new(Ring { path: path.to_owned(), metrics, book, followed })))
    }

    /// Looks whether the file has changed; what changed is judged by the look after. Waits for the disk.
    pub fn look(&self) -> Look {
        self.0.look(false)
    }

    /// The same, where somebody says that the file is whole.
    pub fn look_at_once(&self) -> Look {
        self.0.look(true)
    }

    /// Whose a key is.
    pub fn find(&self, shown: &[u8]) -> Option<KeyHolder> {
        let key = self.0.book.load().find(shown)?;
        Some(KeyHolder { ring: self.clone(), key })
    }

    /// Counts a request without a key that counts.
    ///
    /// * `reason`: of a fixed list
    pub fn note_refused(&self, reason: &'static str) {
        self.0.metrics.note_refused(reason);
    }
}

impl Ring {
    fn look(&self, at_once: bool) -> Look {
        let read = KeyText::read(&self.path);
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let (look, untold) = followed.look(read, at_once, |text| text.keys(&self.path).map(|file| self.take(file)));
        match look {
            Look::Taken => self.metrics.note_reload(true),
            Look::Refused if untold.is_some() => self.metrics.note_reload(false),
            _ => {}
        }
        if let Some(refused) = untold {
            error!("{refused}; until then the keys from before count");
        }
        look
    }

    /// Puts the keys of a file in force, and says what is new.
    fn take(&self, file: KeyFile) {
        let before = self.book.load_full();
        let after = Arc::new(KeyBook::new(file, &before, &self.metrics));
        self.book.store(after.clone());
        let file = files::shown(&self.path);
        let tell = |change: &str, key: &ApiKey| {
            let rights = key.permit().rights();
            info!(target: "audit", change, key = %key.name(), rights, file, "a key was {change}");
        };
        for key in after.keys() {
            match before.named(key.name()) {
                None => tell("added", key),
                Some(old) if !Arc::ptr_eq(old, key) => tell("changed", key),
                Some(_) => {}
            }
        }
        for key in before.keys() {
            if after.again(key).is_some_and(|now| Arc::ptr_eq(&now, key)) {
                continue;
            }
            // Whoever holds it asks anew, of the book that is in force by now.
            key.end();
            if after.named(key.name()).is_none() {
                tell("revoked", key);
                self.metrics.end(key.name());
            }
        }
        self.metrics.note_keys(after.len());
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.0.path).finish()
    }
}

impl PartialEq for KeyRing {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KeyRing {}

/// Whoever showed a key that counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    ring: KeyRing,
    key: Arc<ApiKey>,
}

impl KeyHolder {
    /// The key.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// The holder as the file has it by now; `None` where the key was revoked since.
    pub fn again(&self) -> Option<Self> {
        if !self.key.is_over() {
            return Some(self.clone());
        }
        let key = self.ring.0.book.load().again(&self.key);
        if key.is_none() {
            self.ring.note_refused("revoked");
        }
        Some(Self { ring: self.ring.clone(), key: key? })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::auth::{Right, key_file::hash_text};

    struct Place {
        folder: TempDir,
    }

    impl Place {
        fn with(keys: &[(&str, &str)]) -> (Self, KeyRing) {
            let place = Self { folder: tempfile::tempdir().unwrap() };
            place.write(keys);
            let ring = KeyRing::read(&place.path(), KeyMetrics::default()).unwrap();
            (place, ring)
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("keys.toml")
        }

        /// Each key is its name.
        fn write(&self, keys: &[(&str, &str)]) {
            let entry = |(name, more): &(&str, &str)| {
                format!("[[keys]]\nname = {name:?}\nhash = {:?}\n{more}\n", hash_text(name.as_bytes()))
            };
            fs::write(self.path(), keys.iter().map(entry).collect::<String>()).unwrap();
        }
    }

    #[test]
    fn keys_come_and_go_with_the_file_once_it_stands_still() {
        let (place, ring) = Place::with(&[("front", ""), ("back", "")]);
        let front = ring.find(b"front").unwrap();
        assert_eq!(ring.look(), Look::Same);
        place.write(&[("back", ""), ("new", "")]);
        assert_eq!(ring.look(), Look::Settling);
        assert!(ring.find(b"front").is_some() && front.again().is_some());
        assert_eq!(ring.look(), Look::Taken);
        assert!(ring.find(b"front").is_none() && front.again().is_none());
        assert!(ring.find(b"back").is_some() && ring.find(b"new").is_some());
    }

    #[test]
    fn what_is_half_written_or_gone_leaves_the_old_keys() {
        let (place, ring) = Place::with(&[("front", "")]);
        let text = fs::read_to_string(place.path()).unwrap();
        fs::write(place.path(), &text[..text.len() / 2]).unwrap();
        assert_eq!((ring.look(), ring.look(), ring.look()), (Look::Settling, Look::Refused, Look::Refused));
        fs::remove_file(place.path()).unwrap();
        assert_eq!((ring.look(), ring.look()), (Look::Settling, Look::Refused));
        assert!(ring.find(b"front").is_some());
        fs::write(place.path(), &text).unwrap();
        assert_eq!(ring.look(), Look::Same);
    }

    #[test]
    fn a_holder_gets_the_rights_that_the_key_has_by_now() {
        let (place, ring) = Place::with(&[("ops", "rights = [\"manage\"]")]);
        let ops = ring.find(b"ops").unwrap();
        place.write(&[("ops", "rights = [\"read\"]")]);
        assert_eq!(ring.look_at_once(), Look::Taken);
        assert!(ops.key().permit().may(Right::Manage), "what is under way goes on");
        assert!(!ops.again().unwrap().key().permit().may(Right::Manage));
    }
}
