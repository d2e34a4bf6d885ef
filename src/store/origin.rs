//! What the files of a folder in the cache were in the store: `.origin.json`, hidden from whoever looks at the model. Written with the files, so that
//! after a start nothing is fetched that is there.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::listing::StoreFiles;
use crate::{
    files,
    staging::{FileError, write_file},
};

const ORIGIN_FILE: &str = ".origin.json";
const LARGEST: u64 = 4 << 20;

/// What the files of a folder were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) files: BTreeMap<String, OriginFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OriginFile {
    pub(super) size: u64,
    pub(super) tag: String,
}

impl Origin {
    pub(super) fn of(files: &StoreFiles) -> Self {
        let origin = |(name, file): (&String, &super::listing::StoreFile)| {
            (name.clone(), OriginFile { size: file.size, tag: file.tag.clone() })
        };
        Self { files: files.iter().map(origin).collect() }
    }

    /// `None` where there is none, or where a file is not there as it says.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = files::read(&folder.join(ORIGIN_FILE), LARGEST).ok()?;
        let origin: Self = serde_json::from_slice(&text).ok()?;
        let is_there = |(name, file): (&String, &OriginFile)| {
            fs::symlink_metadata(folder.join(name)).is_ok_and(|there| there.is_file() && there.len() == file.size)
        };
        origin.files.iter().all(is_there).then_some(origin)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), FileError> {
        write_file(&folder.join(ORIGIN_FILE), |file| serde_json::to_writer(&mut *file, self).map_err(io::Error::from))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }
}
