//! What is done of an evaluation, on disk, so that one that was interrupted goes on where it stopped: one line for each image and
//! its answer, in a [`LineJournal`].

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{labelled::LabelledImage, verdict::Verdict};
use crate::journal::{JournalError, JournalHead, LineJournal};

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

impl JournalHead for JournalKey {
    const KIND: &'static str = "resnetd evaluation";

    /// What another evaluation did is worth less than a name that has to be thought of.
    fn objection(&self, _: &Self) -> Option<String> {
        None
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    lines: LineJournal,
    done: HashMap<String, (FileState, Verdict)>,
}

impl Journal {
    /// Opens the journal at `path`, or begins one. One of another evaluation is begun anew.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path, key: &JournalKey) -> Result<Self, JournalError> {
        let mut done = HashMap::new();
        let lines = LineJournal::open(path, key, &mut |line| {
            let Ok(Line { file, state, verdict }) = serde_json::from_slice(line) else { return false };
            done.insert(file, (state, verdict));
            true
        })?;
        Ok(Self { lines, done })
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
        self.lines.keep(answers.filter_map(|(image, verdict)| {
            let state = state_of(&image.file)?;
            Some(Line { file: image.name.clone(), state, verdict: verdict.clone() })
        }))
    }

    /// Removes it: the results are written.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn remove(self) -> Result<(), JournalError> {
        self.lines.remove()
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
