//! What is done of long work, on disk, so that work that was interrupted goes on where it stopped: a file of JSON lines. The first
//! says what work it is; each further one is a piece that is done. Lines are written whole; one that was cut by a crash is passed
//! over. The file is locked while somebody writes it, so that no two do the same work.
//!
//! A leaf: knows files and lines, and nothing of what is done.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head<K> {
    journal: String,
    of: K,
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
    #[error("another run is writing {}; wait for it, or name another --output", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error("{} is no journal of this command, and one would be kept there; move it away, or name another --output", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is of other work, which would be lost.
    #[error("{} keeps what is done of other work ({difference}); repeat that command, delete the file, or name another --output", path.display())]
    Other {
        /// The journal.
        path: PathBuf,
        /// What is not the same.
        difference: String,
    },
}

/// What tells one work from another.
pub trait JournalHead: PartialEq + Clone + Serialize + DeserializeOwned {
    /// Tells a journal from any other file.
    const KIND: &'static str;

    /// What differs, where a journal of `other` work must not be lost; `None`: it is begun anew.
    fn objection(&self, other: &Self) -> Option<String>;
}

/// An open journal.
#[derive(Debug)]
pub struct LineJournal {
    path: PathBuf,
    file: File,
    /// Nothing was done before, and nothing was kept yet.
    is_idle: bool,
}

/// One that knows nothing goes away: a run that was refused leaves no file behind.
impl Drop for LineJournal {
    fn drop(&mut self) {
        if self.is_idle {
            // It is in nobody's way if it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl LineJournal {
    /// Opens the journal at `path`, or begins one.
    ///
    /// * `each`: takes every piece that is done; `false`: it is none, and what is behind it goes away
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open<K: JournalHead>(
        path: &Path,
        head: &K,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Self, JournalError> {
        let failed = |cause| JournalError::File { path: path.to_owned(), cause };
        // Something that is no file would be waited for, or swallow what is written.
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(JournalError::Foreign { path: path.to_owned() });
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let busy = || JournalError::Busy { path: path.to_owned() };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // Whoever had the lock may have been done, and removed the file between our two looks at it.
        let (ours, there) = (file.metadata().map_err(failed)?, fs::metadata(path));
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Err(busy());
        }
        let mut journal = Self { path: path.to_owned(), file, is_idle: false };
        let (whole, pieces) = journal.read(head, each)?;
        // What was cut goes away, and so does other work.
        journal.file.set_len(whole).map_err(failed)?;
        journal.file.seek(SeekFrom::End(0)).map_err(failed)?;
        journal.is_idle = pieces == 0;
        if whole == 0 {
            let mut text = Vec::new();
            append(&mut text, &Head { journal: K::KIND.to_owned(), of: head.clone() }).map_err(failed)?;
            journal.file.write_all(&text).map_err(failed)?;
        }
        Ok(journal)
    }

    /// Reads what is there; how many bytes of it hold, and how many pieces that are.
    fn read<K: JournalHead>(
        &self,
        head: &K,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(u64, usize), JournalError> {
        let failed = |cause| JournalError::File { path: self.path.clone(), cause };
        let (mut whole, mut pieces, mut line) = (0, 0, Vec::new());
        let mut reader = BufReader::new(&self.file);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            let is_whole = line.ends_with(b"\n");
            if whole == 0 {
                match serde_json::from_slice::<Head<K>>(&line) {
                    _ if read == 0 => return Ok((0, 0)),
                    Ok(there) if there.journal != K::KIND => return Err(self.foreign()),
                    Ok(there) if is_whole && there.of == *head => {}
                    Ok(there) => match head.objection(&there.of) {
                        Some(difference) => {
                            return Err(JournalError::Other { path: self.path.clone(), difference });
                        }
                        None => return Ok((0, 0)),
                    },
                    Err(_) => return Err(self.foreign()),
                }
            } else {
                if !is_whole || !each(&line) {
                    return Ok((whole, pieces));
                }
                pieces += 1;
            }
            whole += read as u64;
        }
    }

    fn foreign(&self) -> JournalError {
        JournalError::Foreign { path: self.path.clone() }
    }

    /// Keeps pieces.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn keep(&mut self, pieces: impl Iterator<Item = impl Serialize>) -> Result<(), JournalError> {
        self.is_idle = false;
        let mut text = Vec::new();
        for piece in pieces {
            append(&mut text, &piece).map_err(|cause| self.failed(cause))?;
        }
        self.file.write_all(&text).map_err(|cause| self.failed(cause))
    }

    /// Hands every piece that is kept to `each`, from the first on.
    ///
    /// # Errors
    /// [`JournalError::File`]; what `each` says.
    pub fn replay<E: From<JournalError>>(&mut self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let failed = |cause| JournalError::File { path: self.path.clone(), cause };
        (&self.file).seek(SeekFrom::Start(0)).map_err(failed)?;
        let (mut reader, mut line) = (BufReader::new(&self.file), Vec::new());
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            each(&line)?;
        }
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

fn append(text: &mut Vec<u8>, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Work {
        name: String,
        is_precious: bool,
    }

    impl JournalHead for Work {
        const KIND: &'static str = "test";

        fn objection(&self, other: &Self) -> Option<String> {
            other.is_precious.then(|| format!("{} is not {}", other.name, self.name))
        }
    }

    fn work(name: &str, is_precious: bool) -> Work {
        Work { name: name.to_owned(), is_precious }
    }

    /// The journal, and the numbers that it knows.
    fn open(path: &Path, work: &Work) -> Result<(LineJournal, Vec<u32>), JournalError> {
        let mut known = Vec::new();
        let journal = LineJournal::open(path, work, &mut |line| {
            serde_json::from_slice(line).is_ok_and(|number| {
                known.push(number);
                true
            })
        })?;
        Ok((journal, known))
    }

    #[test]
    fn what_is_kept_is_known_to_the_next_run_and_can_be_replayed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, known) = open(&path, &work("a", true)).unwrap();
        assert!(known.is_empty());
        journal.keep([1, 2].iter()).unwrap();
        journal.keep([3].iter()).unwrap();
        drop(journal);
        let text = fs::read_to_string(&path).unwrap();
        // A line that is none ends what holds.
        fs::write(&path, text.clone() + "4").unwrap();
        assert_eq!(open(&path, &work("a", true)).unwrap().1, [1, 2, 3]);
        fs::write(&path, text.clone() + "nonsense\n5\n").unwrap();
        let (mut journal, known) = open(&path, &work("a", true)).unwrap();
        assert_eq!(known, [1, 2, 3]);
        journal.keep([6].iter()).unwrap();
        let mut lines = Vec::new();
        let mut note = |line: &[u8]| {
            lines.push(line.to_vec());
            Ok::<_, JournalError>(())
        };
        journal.replay(&mut note).unwrap();
        assert_eq!(lines.concat(), b"1\n2\n3\n6\n");
        journal.keep([7].iter()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text + "6\n7\n");
        journal.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn other_work_is_begun_anew_or_refused_as_it_says_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for (is_precious, left) in [(false, ""), (true, "1\n")] {
            let (mut journal, _) = open(&path, &work("a", is_precious)).unwrap();
            journal.keep([1].iter()).unwrap();
            drop(journal);
            match open(&path, &work("b", false)) {
                Ok((journal, known)) => assert!(!is_precious && known.is_empty() && journal.is_idle),
                Err(error) => assert!(is_precious && error.to_string().contains("(a is not b)"), "{error}"),
            }
            let there = fs::read_to_string(&path).unwrap_or_default();
            assert!(there.ends_with(left) && there.is_empty() != is_precious, "{there}");
        }
    }

    #[test]
    fn a_file_that_was_removed_while_another_run_waited_for_it_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, _) = open(&path, &work("a", false)).unwrap();
        assert!(matches!(open(&path, &work("a", false)), Err(JournalError::Busy { .. })));
        journal.remove().unwrap();
        assert!(open(&path, &work("a", false)).is_ok());
        assert!(!path.exists());
    }
}
