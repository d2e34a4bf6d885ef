//! Weights in the order that ONNX Runtime's sessions want on this processor, kept between starts: making that order is most of what
//! making sessions takes.
//!
//! Nothing that runs depends on the folder. What it holds is copied when a model is loaded, and held against its SHA-256 on the
//! way, so it may be damaged, emptied or lie on a disk that goes away: a warning at most, and the order is made anew.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    files,
    runtime::SharedWeights,
    settings::RuntimeSettings,
    staging::{FileError, StagedFolder, at, write_file},
    tune::cache::user_folder,
};

/// What a kept folder's content is written down in, last.
const ENTRY: &str = "kept.json";
/// It has a line for each file.
const LARGEST_ENTRY: u64 = 1 << 20;
/// A folder that is being filled has a hidden name. After so long nobody fills it any more.
const LONGEST_FILLED: Duration = Duration::from_secs(3600);

/// Everything that the order depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WeightsKey {
    /// The version of this program.
    pub(super) resnetd: String,
    /// SHA-256 of the graph's file and of the weights in files beside it, hexadecimal.
    pub(super) model: String,
    /// Values inside the graph that were made outputs of it.
    pub(super) outputs: Vec<String>,
    /// The build of ONNX Runtime. Its plugins and GPUs have no part in it.
    pub(super) onnx_runtime: String,
    /// The processor's name.
    pub(super) processor: String,
    /// Its instructions: the order follows them.
    pub(super) features: Vec<String>,
}

/// A folder of weights.
#[derive(Debug)]
pub(super) struct KeptWeights {
    folder: Option<PathBuf>,
    max_bytes: u64,
    /// Somebody named the folder, and wants to know when it is of no use.
    is_named: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: WeightsKey,
    /// As of [`SharedWeights::FILES`].
    files: [KeptFile; 2],
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct KeptFile {
    bytes: u64,
    sha256: String,
}

impl KeptWeights {
    /// As the settings say. Where they name no folder it is the user's, and nothing is kept for a user who has none.
    pub(super) fn of(settings: &RuntimeSettings) -> Self {
        let (named, max_bytes) = (&settings.weights_cache, settings.weights_cache_max_bytes);
        let folder =
            if named.is_empty() { user_folder().map(|folder| folder.join("weights")) } else { Some(named.into()) };
        Self { folder: folder.filter(|_| max_bytes > 0), max_bytes, is_named: !named.is_empty() }
    }

    /// What was kept for `key`, copied. What is damaged goes, with a warning; what cannot be read or copied now stays.
    pub(super) fn get(&self, key: &WeightsKey) -> Option<SharedWeights> {
        let place = self.place(key)?;
        match read(&place, key) {
            Ok(shared) => {
                // What is used is not the first to go. Where it cannot be told, what came first goes first.
                let _ = File::open(place.join(ENTRY)).and_then(|entry| entry.set_modified(SystemTime::now()));
                Some(shared)
            }
            Err(_) if !place.exists() => None,
            Err(error) => {
                tracing::warn!("the weights in {} are of no use and are prepared anew: {error}", place.display());
                if is_damage(&error) {
                    let _ = fs::remove_dir_all(&place);
                }
                None
            }
        }
    }

    /// Keeps weights for the next start. Where that cannot be done, a warning says so.
    pub(super) fn put(&self, key: &WeightsKey, shared: &SharedWeights) {
        let (Some(folder), Some(place)) = (&self.folder, self.place(key)) else { return };
        let (bytes, max_bytes) = (bytes_in(shared.folder()), self.max_bytes);
        if bytes > max_bytes {
            tracing::warn!(
                "the weights are prepared anew at each start: they are {bytes} bytes, and [runtime] weights_cache_max_bytes = \
                 {max_bytes} keeps none of that size"
            );
            return;
        }
        match write(folder, &place, key, shared, max_bytes - bytes) {
            Ok(()) => {}
            // Another process was quicker.
            Err(_) if place.exists() => {}
            Err(error) if self.is_named => tracing::warn!(
                "the weights cannot be kept and are prepared anew at the next start: {error}; set [runtime] weights_cache to a \
                 folder that can be written, or weights_cache_max_bytes = 0"
            ),
            Err(error) => tracing::debug!("the weights are not kept: {error}"),
        }
    }

    fn place(&self, key: &WeightsKey) -> Option<PathBuf> {
        let text = serde_json::to_vec(key).ok()?;
        Some(self.folder.as_ref()?.join(&files::hex(&Sha256::digest(text))[..NAME_LEN]))
    }
}

/// So many digits has a kept folder's name.
const NAME_LEN: usize = 24;

fn read(place: &Path, key: &WeightsKey) -> io::Result<SharedWeights> {
    let entry: Entry = serde_json::from_slice(&files::read(&place.join(ENTRY), LARGEST_ENTRY)?)?;
    if entry.key != *key {
        return Err(io::Error::new(ErrorKind::InvalidData, "they are of another network or machine"));
    }
    SharedWeights::prepared_earlier(|to| {
        for (name, written) in SharedWeights::FILES.into_iter().zip(&entry.files) {
            let mut copy = File::create(to.join(name))?;
            if copied(&place.join(name), &mut copy)? != *written {
                return Err(io::Error::new(ErrorKind::InvalidData, format!("`{name}` is not what was written")));
            }
        }
        Ok(())
    })
}

/// Whether what is kept is at fault, and not the place where the copy goes.
fn is_damage(error: &io::Error) -> bool {
    [ErrorKind::InvalidData, ErrorKind::UnexpectedEof, ErrorKind::NotFound].contains(&error.kind())
}

fn write(
    folder: &Path,
    place: &Path,
    key: &WeightsKey,
    shared: &SharedWeights,
    others_bytes: u64,
) -> Result<(), FileError> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    make_room(folder, others_bytes);
    let staged = StagedFolder::new(folder, STAGED)?;
    let keep = |name: &str| {
        let to = staged.path().join(name);
        let copy = File::create(&to).and_then(|mut copy| copied(&shared.folder().join(name), &mut copy));
        copy.map_err(at(&to))
    };
    let [graph, weights] = SharedWeights::FILES;
    let entry = Entry { key: key.clone(), files: [keep(graph)?, keep(weights)?] };
    let text = serde_json::to_vec_pretty(&entry).map_err(|error| at(place)(error.into()))?;
    write_file(&staged.path().join(ENTRY), |file| file.write_all(&text))?;
    staged.publish(place)
}

/// What folders that are being filled are called, behind a dot.
const STAGED: &str = "weights";

/// Copies a file; says what was copied.
fn copied(from: &Path, to: &mut File) -> io::Result<KeptFile> {
    let mut from = files::open(from)?;
    let mut piece = vec![0; 1 << 20];
    let (mut bytes, mut digest) = (0, Sha256::new());
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(KeptFile { bytes, sha256: files::hex(&digest.finalize()) }),
            count => {
                digest.update(&piece[..count]);
                to.write_all(&piece[..count])?;
                bytes += count as u64;
            }
        }
    }
}

/// What lies in the folder and is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    place: PathBuf,
    bytes: u64,
    used: SystemTime,
    is_staged: bool,
}

impl Held {
    fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::of(entry.file_name().to_str()?, entry.path())).collect()
    }

    fn of(name: &str, place: PathBuf) -> Option<Self> {
        let is_staged = name.strip_prefix('.').is_some_and(|name| name.starts_with(STAGED));
        let is_kept = name.len() == NAME_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_staged && !is_kept {
            return None;
        }
        let told = if is_kept { place.join(ENTRY) } else { place.clone() };
        let used = fs::metadata(told).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(Self { bytes: bytes_in(&place), place, used, is_staged })
    }
}

/// What the files in a folder take.
fn bytes_in(folder: &Path) -> u64 {
    let size = |name: &str| fs::symlink_metadata(folder.join(name)).map_or(0, |file| file.len());
    SharedWeights::FILES.into_iter().map(size).sum()
}

/// Removes what was not used for longest until what is left takes no more than `max_bytes`, and what a crash has left half filled.
fn make_room(folder: &Path, max_bytes: u64) {
    for place in to_remove(Held::all(folder), max_bytes, SystemTime::now()) {
        // Another process may have removed it, and who reads it goes on reading.
        let _ = fs::remove_dir_all(place);
    }
}

fn to_remove(mut held: Vec<Held>, max_bytes: u64, now: SystemTime) -> Vec<PathBuf> {
    let is_left_behind =
        |held: &Held| held.is_staged && now.duration_since(held.used).is_ok_and(|age| age > LONGEST_FILLED);
    let mut removed: Vec<_> = held.extract_if(.., |held| is_left_behind(held)).map(|held| held.place).collect();
    held.sort_by_key(|held| held.used);
    let mut used = held.iter().map(|held| held.bytes).fold(0, u64::saturating_add);
    for held in held.into_iter().filter(|held| !held.is_staged) {
        if used <= max_bytes {
            break;
        }
        used -= held.bytes;
        removed.push(held.place);
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(model: &str) -> WeightsKey {
        WeightsKey {
            resnetd: "0.1.0".to_owned(),
            model: model.to_owned(),
            outputs: vec!["flatten".to_owned()],
            onnx_runtime: "ONNX Runtime 1.31".to_owned(),
            processor: "EPYC".to_owned(),
            features: vec!["avx2".to_owned()],
        }
    }

    /// Weights of 1000 bytes in all.
    fn prepared(byte: u8) -> SharedWeights {
        SharedWeights::prepared_earlier(|to| {
            fs::write(to.join("model.onnx"), [byte; 100])?;
            fs::write(to.join("weights"), [byte; 900])
        })
        .unwrap()
    }

    fn kept_in(folder: &Path, max_bytes: u64) -> KeptWeights {
        let weights_cache = folder.display().to_string();
        KeptWeights::of(&RuntimeSettings { weights_cache, weights_cache_max_bytes: max_bytes, ..Default::default() })
    }

    /// The first byte of each file.
    fn bytes(shared: Option<SharedWeights>) -> Option<[u8; 2]> {
        let shared = shared?;
        Some(SharedWeights::FILES.map(|name| fs::read(shared.folder().join(name)).unwrap()[0]))
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_was_kept_is_copied_for_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("made/when/needed");
        let kept = kept_in(&cache, 10_000);
        assert_eq!(bytes(kept.get(&key("a"))), None);
        kept.put(&key("a"), &prepared(7));
        let copy = kept.get(&key("a")).unwrap();
        assert!(!copy.folder().starts_with(&cache), "nothing that runs reads the cache");
        assert_eq!(bytes(Some(copy)), Some([7, 7]));
        kept.put(&key("a"), &prepared(8));
        assert_eq!((bytes(kept.get(&key("a"))), names(&cache).len()), (Some([7, 7]), 1), "it was there");
    }

    #[test]
    fn other_weights_outputs_libraries_and_processors_have_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept_in(folder.path(), 10_000);
        kept.put(&key("a"), &prepared(7));
        for other in [
            key("b"),
            WeightsKey { resnetd: "0.2.0".to_owned(), ..key("a") },
            WeightsKey { outputs: Vec::new(), ..key("a") },
            WeightsKey { onnx_runtime: "ONNX Runtime 1.32".to_owned(), ..key("a") },
            WeightsKey { processor: "Xeon".to_owned(), ..key("a") },
            WeightsKey { features: vec!["avx2".to_owned(), "avx512f".to_owned()], ..key("a") },
        ] {
            assert_eq!(bytes(kept.get(&other)), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_damaged_is_never_used_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept_in(folder.path(), 10_000);
        let damages: [(&str, &[u8]); 7] = [
            ("weights", &[7; 899]),
            ("weights", &[7; 901]),
            ("weights", &[8; 900]),
            ("model.onnx", &[]),
            ("kept.json", b"{"),
            ("kept.json", b""),
            ("kept.json", b"{\"key\": 1}"),
        ];
        for (name, damaged) in damages {
            kept.put(&key("a"), &prepared(7));
            let place = folder.path().join(&names(folder.path())[0]);
            fs::write(place.join(name), damaged).unwrap();
            assert_eq!(bytes(kept.get(&key("a"))), None, "{name}");
            assert!(names(folder.path()).is_empty(), "{name}");
        }
        kept.put(&key("a"), &prepared(7));
        fs::remove_file(folder.path().join(&names(folder.path())[0]).join("weights")).unwrap();
        assert_eq!(bytes(kept.get(&key("a"))), None);
        kept.put(&key("a"), &prepared(9));
        assert_eq!(bytes(kept.get(&key("a"))), Some([9, 9]));
    }

    #[test]
    fn where_the_copy_has_no_place_what_is_kept_is_not_at_fault() {
        let nowhere = SharedWeights::prepared_in(Path::new("/no/such/folder"), |_| Ok(())).unwrap_err();
        assert!(nowhere.to_string().contains("/no/such/folder") && !is_damage(&nowhere), "{nowhere:?}");
    }

    #[test]
    fn there_is_room_for_so_much_and_what_was_not_used_for_longest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept_in(folder.path(), 2_500);
        let at = |key: &WeightsKey, seconds: u64| {
            let entry = File::open(kept.place(key).unwrap().join(ENTRY)).unwrap();
            entry.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        kept.put(&key("a"), &prepared(1));
        kept.put(&key("b"), &prepared(2));
        at(&key("a"), 10);
        at(&key("b"), 20);
        assert_eq!(bytes(kept.get(&key("a"))), Some([1, 1]));
        fs::create_dir(folder.path().join("not ours")).unwrap();
        kept.put(&key("c"), &prepared(3));
        let held = ["a", "b", "c"].map(|name| bytes(kept.get(&key(name))).is_some());
        assert_eq!(held, [true, false, true]);
        assert!(folder.path().join("not ours").exists());

        kept_in(folder.path(), 999).put(&key("d"), &prepared(4));
        assert_eq!(["a", "c", "d"].map(|name| bytes(kept.get(&key(name))).is_some()), [true, true, false]);
        kept_in(folder.path(), 0).put(&key("d"), &prepared(4));
        assert_eq!(bytes(kept_in(folder.path(), 0).get(&key("a"))), None, "nothing is kept");
    }

    #[test]
    fn what_a_crash_left_half_filled_goes_and_what_is_being_filled_stays() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        let held = |name: &str, bytes, age: u64, is_staged| Held {
            place: name.into(),
            bytes,
            used: now - Duration::from_secs(age),
            is_staged,
        };
        let all = vec![
            held("kept", 600, 50, false),
            held("left", 900, 4000, true),
            held("filled", 300, 20, true),
            held("newer", 600, 10, false),
        ];
        let removed = |max_bytes| {
            let removed = to_remove(all.clone(), max_bytes, now);
            removed.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(removed(1_500), "left");
        assert_eq!(removed(1_400), "left kept");
        assert_eq!(removed(800), "left kept newer");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        fs::write(&file, "").unwrap();
        let kept = kept_in(&file.join("below"), 10_000);
        kept.put(&key("a"), &prepared(1));
        assert_eq!(bytes(kept.get(&key("a"))), None);
    }
}
