//! The zip archive that PyTorch and NumPy both wrap tensors in.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::ZipArchive;
use zip::read::ZipFile;

use super::error::Reason;

/// A zip archive whose errors name the format that is stored in it: a damaged `.npz` or PyTorch file.
pub(super) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    format: &'static str,
}

impl Archive {
    /// Reads the directory of the archive.
    pub(super) fn open(file: File, format: &'static str) -> Result<Self, Reason> {
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|error| Reason::damaged(format, error.to_string()))?;
        Ok(Self { zip, format })
    }

    /// The entries' names; one that is not text has none.
    pub(super) fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(Result::ok).map(|name| name.into_owned()).collect()
    }

    /// The same archive with errors that name `format`.
    pub(super) fn told_as(self, format: &'static str) -> Self {
        Self { format, ..self }
    }

    /// Opens one entry for reading. Its [`ZipFile::size`] is what the file claims; it may be wrong.
    pub(super) fn entry(&mut self, name: &str) -> Result<ZipFile<'_, BufReader<File>>, Reason> {
        self.zip.by_name(name).map_err(|error| Reason::damaged(self.format, format!("entry {name}: {error}")))
    }

    /// Reads a small entry whole.
    pub(super) fn bytes(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, Reason> {
        let format = self.format;
        let mut bytes = Vec::new();
        self.entry(name)?
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Reason::damaged(format, format!("entry {name}: {error}")))?;
        if bytes.len() as u64 > limit {
            return Err(Reason::damaged(format, format!("entry {name} has more than {limit} bytes")));
        }
        Ok(bytes)
    }
}
