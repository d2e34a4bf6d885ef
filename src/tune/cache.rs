//! What was measured once need not be measured again: one small JSON file for each model, machine and question.
//!
//! A cache may always be thrown away: whatever is wrong with it is a warning, never a failure.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Circumstances, Measurement};
use crate::{files, runtime::Engine, settings::Goal, staging::write_file};

/// An entry has some kilobytes.
const LARGEST_ENTRY: u64 = 16 << 20;

/// Everything that a measurement depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The version of this program: a new one measures anew.
    pub resnetd: String,
    /// SHA-256 of the graph's file and of the weights in files beside it, hexadecimal.
    pub model: String,
    /// How its images are prepared and its answers are read, which decides whether an engine's answers hold: `[input]` and
    /// `[output]` of its settings.
    #[serde(default)]
    pub images_and_answers: String,
    /// ONNX Runtime and its plugins.
    pub libraries: String,
    /// The processor's name.
    pub processor: String,
    /// Its instructions: machines of one name may differ in them.
    #[serde(default)]
    pub features: Vec<String>,
    /// The cores that we may use.
    pub cores: usize,
    /// What there was to choose from.
    pub engines: Vec<Engine>,
    /// What was set: sessions, threads, largest batch; 0 where it was left open.
    pub set: [usize; 3],
    /// What it was tuned for.
    pub goal: Goal,
    /// How far answers may be off.
    pub max_probability_drift: f64,
    /// How long it may take: with more time more is looked at.
    pub time_limit_ms: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The row that was chosen.
    pub chosen: Measurement,
    /// Why.
    pub reason: String,
    /// All rows.
    pub measurements: Vec<Measurement>,
    /// What decoding and resizing one picture takes beside nothing else; entries of earlier versions do not say.
    #[serde(default)]
    pub preparation_ms: Option<f64>,
}

/// A measurement and what it holds for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it holds for.
    pub key: Key,
    /// What was found.
    pub found: Found,
    /// When, and beside what; entries of earlier versions do not say.
    #[serde(default)]
    pub taken: Option<Circumstances>,
}

/// A folder of measurements.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// * `folder`: where; an empty path: the user's cache folder, and no cache where there is none
    pub fn at(folder: &Path) -> Self {
        if !folder.as_os_str().is_empty() {
            return Self { folder: Some(folder.to_owned()) };
        }
        Self { folder: user_folder().map(|folder| folder.join("tune")) }
    }

    /// What was found for `key` before. A damaged file is passed over with a warning.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        let path = self.path(key)?;
        let text = match files::read(&path, LARGEST_ENTRY) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("the measurements in {} cannot be read and are made anew: {error}", path.display());
                return None;
            }
        };
        match serde_json::from_slice::<Entry>(&text) {
            Ok(entry) if entry.key == *key && is_all_of(&entry, &text) => Some(entry),
            // Another question, or another build's answer: what it measured was not what these fields say.
            Ok(_) => None,
            Err(error) => {
                tracing::warn!("the measurements in {} are damaged and are made anew: {error}", path.display());
                None
            }
        }
    }

    /// All that is kept for the file with this [`digest`], whatever the question was. A file that speaks of it and cannot be
    /// read is passed over, with a warning.
    pub fn of_model(&self, digest: &str) -> Vec<Entry> {
        let files = self.folder.as_ref().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
        let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort_unstable();
        let entry = |path: &PathBuf| {
            let text = files::read(path, LARGEST_ENTRY).ok()?;
            String::from_utf8_lossy(&text).find(digest)?;
            match serde_json::from_slice::<Entry>(&text) {
                Ok(entry) => (entry.key.model == digest).then_some(entry),
                Err(error) => {
                    tracing::warn!("the measurements in {} are damaged: {error}", path.display());
                    None
                }
            }
        };
        paths.iter().filter_map(entry).collect()
    }

    /// Keeps what was found; the file appears whole or not at all. Where it cannot be written, a warning says so.
    pub fn put(&self, entry: &Entry) {
        let Some(path) = self.path(&entry.key) else { return };
        if let Err(error) = write(&path, entry) {
            tracing::warn!(
                "the measurements cannot be kept in {} and are made anew at the next start: {error}; set [runtime] \
                 tune_cache to a folder that can be written",
                path.display()
            );
        }
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        let text = serde_json::to_vec(key).ok()?;
        Some(self.folder.as_ref()?.join(format!("{}.json", &files::hex(&Sha256::digest(text))[..24])))
    }
}

/// This program's folder in the user's cache folder; `None` where the user has none.
pub fn user_folder() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(base.join("resnetd"))
}

fn write(path: &Path, entry: &Entry) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let text = serde_json::to_vec_pretty(entry)?;
    write_file(path, |file| file.write_all(&text)).map_err(|error| error.cause)
}

/// Whether all that a file says was read.
fn is_all_of(entry: &Entry, text: &[u8]) -> bool {
    fn knows(read: &Value, written: &Value) -> bool {
        match (read, written) {
            (Value::Object(read), Value::Object(written)) => {
                written.iter().all(|(name, written)| read.get(name).is_some_and(|read| knows(read, written)))
            }
            (Value::Array(read), Value::Array(written)) => read.iter().zip(written).all(|(a, b)| knows(a, b)),
            _ => true,
        }
    }
    let read = serde_json::to_value(entry).unwrap_or_default();
    serde_json::from_slice(text).is_ok_and(|written| knows(&read, &written))
}

/// SHA-256 of `bytes`, hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    files::hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::{Candidate, Drift, SessionShape};

    fn key() -> Key {
        Key {
            resnetd: "0.1.0".to_owned(),
            model: digest(b"graph"),
            images_and_answers: "{}".to_owned(),
            libraries: "ONNX Runtime 1.31".to_owned(),
            processor: "Xeon".to_owned(),
            features: vec!["avx2".to_owned()],
            cores: 2,
            engines: vec![Engine::REFERENCE],
            set: [0; 3],
            goal: Goal::Throughput,
            max_probability_drift: 0.02,
            time_limit_ms: 10_000,
        }
    }

    fn found() -> Found {
        let chosen = Measurement {
            candidate: Candidate { engine: Engine::REFERENCE, shape: SessionShape { instances: 2, intra_threads: 1 } },
            batch_size: 8,
            images_per_second: 3363.25,
            at_least: 3300.5,
            p50_ms: 4.75,
            p99_ms: 5.5,
            alone_ms: 0.625,
            memory_bytes: 1 << 20,
            drift: Some(Drift { probability: 0.25, same_top: true }),
        };
        Found { reason: "fastest".to_owned(), measurements: vec![chosen.clone()], chosen, preparation_ms: Some(0.25) }
    }

    fn entry(key: Key) -> Entry {
        let taken = Circumstances { unix_seconds: 1_764_092_340, others_share: Some(0.25) };
        Entry { key, found: found(), taken: Some(taken) }
    }

    fn the_file(folder: &Path) -> PathBuf {
        let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    #[test]
    fn what_was_found_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("made/when/needed"));
        assert_eq!(cache.get(&key()), None);
        cache.put(&entry(key()));
        assert_eq!(cache.get(&key()), Some(entry(key())));
    }

    #[test]
    fn another_model_library_processor_or_question_is_measured_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        cache.put(&entry(key()));
        for other in [
            Key { model: digest(b"another graph"), ..key() },
            Key { images_and_answers: "{\"input\":{}}".to_owned(), ..key() },
            Key { libraries: "ONNX Runtime 1.32".to_owned(), ..key() },
            Key { processor: "EPYC".to_owned(), ..key() },
            Key { features: vec!["avx2".to_owned(), "avx_vnni".to_owned()], ..key() },
            Key { cores: 4, ..key() },
            Key { set: [0, 1, 0], ..key() },
            Key { goal: Goal::P99(5.0), ..key() },
            Key { max_probability_drift: 0.01, ..key() },
        ] {
            assert_eq!(cache.get(&other), None, "{other:?}");
        }
    }

    #[test]
    fn what_another_build_measured_in_other_ways_is_measured_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        cache.put(&entry(key()));
        let file = the_file(folder.path());
        let whole = fs::read_to_string(&file).unwrap();
        assert_eq!(whole.matches("\"instances\": 2").count(), 2, "{whole}");
        fs::write(&file, whole.replacen("\"instances\": 2", "\"shared_pool\": true, \"instances\": 2", 1)).unwrap();
        assert_eq!(cache.get(&key()), None);
    }

    #[test]
    fn a_model_is_told_what_is_kept_for_it_whatever_the_question_was() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        assert_eq!(cache.of_model(&digest(b"graph")), []);
        let (another, latency) =
            (Key { model: digest(b"another graph"), ..key() }, Key { goal: Goal::Latency, ..key() });
        for key in [key(), another, latency] {
            cache.put(&entry(key));
        }
        let mut goals: Vec<_> =
            cache.of_model(&digest(b"graph")).into_iter().map(|entry| entry.key.goal.to_string()).collect();
        goals.sort_unstable();
        assert_eq!(goals, ["latency", "throughput"]);
    }

    #[test]
    fn a_damaged_file_is_passed_over_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        cache.put(&entry(key()));
        let file = the_file(folder.path());
        let whole = fs::read(&file).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"", b"{}", b"\xff\xfe"] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(cache.get(&key()), None);
        }
        cache.put(&entry(key()));
        assert_eq!(cache.get(&key()), Some(entry(key())));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        fs::write(&file, "").unwrap();
        let cache = Cache::at(&file.join("below"));
        cache.put(&entry(key()));
        assert_eq!(cache.get(&key()), None);
    }
}
