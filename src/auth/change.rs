//! Changes of a file of keys: a key that is made, one that is revoked. The file appears whole, for its owner alone.
//!
//! Whoever changes it holds a lock on its folder, so that two who do at once lose nothing.

use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use super::{
    error::KeyFileError,
    key_file::{KeyEntry, KeyFile, hash_text},
};
use crate::{
    files,
    staging::{self, StagedFile},
};

/// What our keys begin with, so that scanners of code and of logs know one when they see it.
const PREFIX: &str = "resnetd_";

/// 256 bits: nobody guesses them, so a hash without salt and without delay gives nothing away.
const KEY_BYTES: usize = 32;

const HEAD: &str = "\
# The keys of resnetd, written by `resnetd keys`: hashes, no key itself. docs/keys.md says what each line means.
# Changes are taken while the server runs, within a second.

";

/// Adds a key under a new name; the key itself, which is nowhere else.
///
/// * `entry`: what it is for; its hash is not looked at
///
/// # Errors
/// [`KeyFileError`].
pub fn add_key(path: &Path, entry: KeyEntry) -> Result<String, KeyFileError> {
    change(path, |file, shown| {
        if file.keys.iter().any(|key| key.name == entry.name) {
            return Err(KeyFileError::Taken { file: shown, name: entry.name });
        }
        let key = new_key()?;
        file.keys.push(KeyEntry { hash: hash_text(key.as_bytes()), ..entry });
        file.judge(&shown)?;
        Ok(key)
    })
}

/// Takes a key away by its name.
///
/// # Errors
/// [`KeyFileError`].
pub fn revoke_key(path: &Path, name: &str) -> Result<(), KeyFileError> {
    change(path, |file, shown| {
        let before = file.keys.len();
        file.keys.retain(|key| key.name != name);
        if file.keys.len() < before {
            return Ok(());
        }
        let known = file.keys.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ");
        Err(KeyFileError::NoSuchKey { file: shown, name: name.to_owned(), known })
    })
}

fn change<T>(
    path: &Path,
    how: impl FnOnce(&mut KeyFile, String) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = File::open(folder).map_err(staging::at(folder))?;
    lock.lock().map_err(staging::at(folder))?;
    let mut file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => KeyFile::default(),
        _ => KeyFile::read(path)?,
    };
    let done = how(&mut file, files::shown(path))?;
    let text = toml::to_string(&file).map_err(std::io::Error::other).map_err(staging::at(path))?;
    let mut staged = StagedFile::beside(path)?;
    staged.set_permissions(Permissions::from_mode(0o600)).map_err(staging::at(path))?;
    write!(staged, "{HEAD}{text}").map_err(staging::at(path))?;
    staged.publish()?;
    Ok(done)
}

/// From the system, which gives as much as it is asked for.
fn new_key() -> Result<String, KeyFileError> {
    let mut bytes = [0; KEY_BYTES];
    File::open("/dev/urandom").and_then(|mut chance| chance.read_exact(&mut bytes)).map_err(KeyFileError::NoChance)?;
    Ok(format!("{PREFIX}{}", files::hex(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{
        KeyRing, Right,
        key_file::{all_models, usual_rights},
    };
    use crate::telemetry::KeyMetrics;

    fn entry(name: &str) -> KeyEntry {
        KeyEntry {
            name: name.to_owned(),
            hash: String::new(),
            models: all_models(),
            rights: usual_rights(),
            requests_per_second: 0.5,
            images_per_second: 0.0,
            max_in_flight: 4,
        }
    }

    #[test]
    fn a_key_that_was_made_counts_until_it_is_revoked_and_is_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let key = add_key(&path, entry("front")).unwrap();
        assert!(key.starts_with("resnetd_") && key.len() == 8 + 64, "its form");
        assert_ne!(key, add_key(&path, KeyEntry { rights: vec![Right::Manage], ..entry("ops") }).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&key[8..]) && text.starts_with("# The keys of resnetd"), "{text}");

        let ring = KeyRing::read(&path, KeyMetrics::default()).unwrap();
        assert_eq!(&**ring.find(key.as_bytes()).unwrap().key().name(), "front");
        let taken = add_key(&path, entry("front")).unwrap_err().to_string();
        assert!(taken.contains("revoke that one first"), "{taken}");
        revoke_key(&path, "front").unwrap();
        ring.look_at_once();
        assert!(ring.find(key.as_bytes()).is_none());
        let gone = revoke_key(&path, "front").unwrap_err().to_string();
        assert!(gone.ends_with("there are: ops"), "{gone}");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["keys.toml"]);
    }

    #[test]
    fn a_file_that_is_none_of_keys_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, "something = 1\n").unwrap();
        add_key(&path, entry("front")).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "something = 1\n");
        assert!(add_key(&folder.path().join("none/keys.toml"), entry("front")).is_err());
        assert!(add_key(&folder.path().join("other.toml"), entry("a b")).is_err());
        assert!(!folder.path().join("other.toml").exists());
    }
}
