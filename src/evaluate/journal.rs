//! What is done of an evaluation, on disk, so that one that was interrupted goes on where it stopped.
//!
//! The first line says what the evaluation is; each further line is one image and the answer. A line is written whole before
//! the next batch is run; one that was cut by a crash is passed over. The file is locked while somebody writes it.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{labelled::LabelledImage, verdict::Verdict};

/// Tells a journal from any other file.
const KIND: &str = "resnetd evaluation";

/// Everything that an answer depends on, but for the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalKey {
    /// The version of this program.
    pub resnetd: String,
    /// ONNX Runtime.
    pub libraries: String,
    /// The model's name and version, for people.
    pub model: String,
    /// SHA-256 of the graph with its weights, hexadecimal.
    pub digest: String,
    /// `[input]` and `[output]` of the model's settings.
    pub images_and_answers: String,
    /// The views.
    pub protocol: String,
    /// The folder of images.
    pub data: PathBuf,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    journal: String,
    of: JournalKey,
}

/// Each further line.
#[derive(Serialize, Deserialize)]
struct Line {
    file: String,
    /// A file that was changed is another image.
    state: FileState,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FileState {
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses.
    #[error("cannot keep what is done in {}: {cause}", path.display())]
    File {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Somebody writes it.
    #[error("another evaluation is writing {}; wait for it, or name another --output", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error("{} is no journal of an evaluation, and one would be kept there; move it away, or name another --output", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    done: HashMap<String, (FileState, Verdict)>,
    /// Nothing was done before, and nothing was kept yet.
    is_idle: bool,
}

/// One that knows nothing goes away: a run that was refused leaves no file behind.
impl Drop for Journal {
    fn drop(&mut self) {
        if self.is_idle {
            // It is in nobody's way if it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Journal {
    /// Opens the journal at `path`, or begins one. One of another evaluation is begun anew.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path, key: &JournalKey) -> Result<Self, JournalError> {
        let failed = |cause| JournalError::File { path: path.to_owned(), cause };
        // Something that is no file would be waited for, or swallow what is written.
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(JournalError::Foreign { path: path.to_owned() });
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let mut journal = Self { path: path.to_owned(), file, done: HashMap::new(), is_idle: false };
        let whole = journal.read(key)?;
        // What was cut goes away, and so does another evaluation.
        journal.file.set_len(whole).map_err(failed)?;
        journal.file.seek(SeekFrom::End(0)).map_err(failed)?;
        journal.is_idle = journal.done.is_empty();
        if whole == 0 {
            journal.write(&Head { journal: KIND.to_owned(), of: key.clone() })?;
        }
        Ok(journal)
    }

    /// Reads what is there, and says how many bytes of it hold.
    fn read(&mut self, key: &JournalKey) -> Result<u64, JournalError> {
        let failed = |cause| JournalError::File { path: self.path.clone(), cause };
        let (mut whole, mut line) = (0, Vec::new());
        let mut reader = BufReader::new(&self.file);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            let is_whole = line.ends_with(b"\n");
            if whole == 0 {
                match serde_json::from_slice::<Head>(&line) {
                    _ if read == 0 => return Ok(0),
                    Ok(head) if head.journal == KIND && is_whole && head.of == *key => {}
                    Ok(head) if head.journal == KIND => return Ok(0),
                    _ => return Err(JournalError::Foreign { path: self.path.clone() }),
                }
            } else {
                if !is_whole {
                    return Ok(whole);
                }
                let Ok(Line { file, state, verdict }) = serde_json::from_slice(&line) else { return Ok(whole) };
                self.done.insert(file, (state, verdict));
            }
            whole += read as u64;
        }
    }

    /// How many images are done.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// The answer to an image, if it is there and the file is as it was.
    pub(super) fn answer(&self, image: &LabelledImage) -> Option<Verdict> {
        let (state, verdict) = self.done.get(&image.name)?;
        // What is said to be on the image may have changed too, and what the network said of it holds all the same.
        (*state == state_of(&image.file)?).then(|| Verdict { class: image.class, ..verdict.clone() })
    }

    /// Keeps answers.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub(super) fn keep<'a>(
        &mut self,
        answers: impl Iterator<Item = (&'a LabelledImage, &'a Verdict)>,
    ) -> Result<(), JournalError> {
        self.is_idle = false;
        let mut text = Vec::new();
        for (image, verdict) in answers {
            let Some(state) = state_of(&image.file) else { continue };
            let line = Line { file: image.name.clone(), state, verdict: verdict.clone() };
            self.append(&mut text, &line)?;
        }
        self.write_all(&text)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), JournalError> {
        let mut text = Vec::new();
        self.append(&mut text, line)?;
        self.write_all(&text)
    }

    fn append(&self, text: &mut Vec<u8>, line: &impl Serialize) -> Result<(), JournalError> {
        serde_json::to_writer(&mut *text, line).map_err(|error| self.failed(error.into()))?;
        text.push(b'\n');
        Ok(())
    }

    fn write_all(&mut self, text: &[u8]) -> Result<(), JournalError> {
        self.file.write_all(text).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: io::Error) -> JournalError {
        JournalError::File { path: self.path.clone(), cause }
    }

    /// Removes it: the results are written.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn remove(self) -> Result<(), JournalError> {
        fs::remove_file(&self.path).map_err(|cause| self.failed(cause))
    }
}

fn state_of(file: &Path) -> Option<FileState> {
    let there = fs::metadata(file).ok()?;
    Some(FileState { bytes: there.len(), modified_s: there.mtime(), modified_ns: there.mtime_nsec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digest: &str) -> JournalKey {
        JournalKey {
            resnetd: "1".to_owned(),
            libraries: "ort".to_owned(),
            model: "net version 1".to_owned(),
            digest: digest.to_owned(),
            images_and_answers: String::new(),
            protocol: "1-crop".to_owned(),
            data: "/eval".into(),
        }
    }

    fn verdict(class: usize) -> Verdict {
        Verdict { class, top: vec![(class, 0.1), (7, 1.0 / 3.0)] }
    }

    /// A folder with two images, and a journal that knows them.
    fn begun() -> (tempfile::TempDir, PathBuf, [LabelledImage; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let images = ["a.png", "b.png"].map(|name| {
            let file = folder.path().join(name);
            fs::write(&file, name).unwrap();
            LabelledImage { file, name: name.to_owned(), class: 1 }
        });
        let path = folder.path().join("out.journal");
        let mut journal = Journal::open(&path, &key("a")).unwrap();
        let verdicts = [verdict(1), verdict(2)];
        journal.keep(images.iter().zip(&verdicts)).unwrap();
        (folder, path, images)
    }

    #[test]
    fn what_is_done_is_known_to_the_next_run_and_a_changed_file_is_not() {
        let (_folder, path, images) = begun();
        let journal = Journal::open(&path, &key("a")).unwrap();
        assert_eq!(journal.len(), 2);
        assert_eq!(journal.answer(&images[0]), Some(verdict(1)));
        assert_eq!(journal.answer(&images[1]).unwrap().class, 1, "the class is what the folder says now");
        fs::write(&images[0].file, "another image").unwrap();
        assert_eq!(journal.answer(&images[0]), None);
        journal.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_line_that_was_cut_is_passed_over_and_the_next_one_is_whole() {
        let (_folder, path, images) = begun();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let mut journal = Journal::open(&path, &key("a")).unwrap();
        assert_eq!((journal.len(), journal.answer(&images[1])), (1, None));
        journal.keep([(&images[1], &verdict(2))].into_iter()).unwrap();
        drop(journal);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn another_evaluation_begins_anew_and_a_file_of_something_else_is_left_alone() {
        let (folder, path, _) = begun();
        assert!(Journal::open(&path, &key("b")).unwrap().is_empty());
        assert!(!path.exists(), "one that knows nothing goes away");
        let other = folder.path().join("a.png");
        assert!(matches!(Journal::open(&other, &key("a")), Err(JournalError::Foreign { .. })));
        assert_eq!(fs::read_to_string(&other).unwrap(), "a.png");
        assert!(matches!(Journal::open(folder.path(), &key("a")), Err(JournalError::Foreign { .. })));
    }

    #[test]
    fn two_evaluations_do_not_write_one_journal() {
        let (_folder, path, _) = begun();
        let _first = Journal::open(&path, &key("a")).unwrap();
        assert!(matches!(Journal::open(&path, &key("a")), Err(JournalError::Busy { .. })));
    }
}
