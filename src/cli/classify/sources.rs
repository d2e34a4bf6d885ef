//! What the command line names, as one sequence of pictures: files with one each, and shards with many.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::bail;

use super::feed::Hand;
use crate::{
    bulk::{Member, MemberError, ShardColumns, ShardReading, is_shard},
    cli::{
        images::{FoundImages, is_picture},
        offline::read_picture,
    },
    files,
    tune::cache,
};

/// All of it, in order.
pub(super) struct Sources {
    /// Pictures and shards.
    files: Vec<PathBuf>,
    /// What could not be looked at, and why.
    pub(super) passed_over: Vec<(PathBuf, String)>,
    columns: ShardColumns,
}

impl Sources {
    /// What is among `paths` and in the folders there.
    ///
    /// * `output`: what this command makes itself; it may lie in one of the folders from the last time
    ///
    /// # Errors
    /// Where there is nothing, or the output itself is named.
    pub(super) fn among(paths: &[PathBuf], columns: ShardColumns, output: Option<&Path>) -> anyhow::Result<Self> {
        let output = output.and_then(|output| fs::canonicalize(output).ok());
        let is_output = |path: &PathBuf| is_shard(path) && output.is_some() && fs::canonicalize(path).ok() == output;
        if let Some(path) = paths.iter().find(|path| is_output(path)) {
            bail!("{} would be read and replaced; name another --output", files::shown(path));
        }
        let FoundImages { mut files, passed_over } = FoundImages::among_with_shards(paths)?;
        files.retain(|file| !is_output(file));
        Ok(Self { files, passed_over, columns })
    }

    /// How many pictures there are, where that is known.
    pub(super) fn count(&self) -> Option<usize> {
        (!self.files.iter().any(|file| is_shard(file))).then_some(self.files.len())
    }

    /// What the rows of pictures in files of their own are called.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|file| files::shown(file))
    }

    /// A text that is another one when a file is added, goes away, or changes.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            let state = fs::metadata(file).map(|there| (there.len(), there.mtime(), there.mtime_nsec()));
            // Writing to a string never fails.
            let _ = writeln!(text, "{}\0{:?}", files::shown(file), state.ok());
        }
        format!("{} files, {}", self.files.len(), cache::digest(text.as_bytes()))
    }

    pub(super) fn columns(&self) -> &ShardColumns {
        &self.columns
    }

    /// Hands every picture on, from one on.
    ///
    /// * `limit`: the most bytes of a picture
    /// * `start`: which file, and which picture of it
    pub(super) fn read(self, limit: u64, start: (usize, u64), hand: &Hand) {
        let reading = ShardReading { columns: self.columns, is_picture, limit };
        for (source, file) in self.files.iter().enumerate().skip(start.0) {
            let first = if source == start.0 { start.1 } else { 0 };
            let given = if is_shard(file) {
                reading.read(file, first, &mut |member| hand.give(source, member))
            } else if first == 0 {
                hand.give(source, picture(file, limit))
            } else {
                continue;
            };
            if given.is_break() {
                return;
            }
        }
    }
}

fn picture(file: &Path, limit: u64) -> Member {
    let content = read_picture(file, limit).map(Into::into);
    let content = content.map_err(|error| MemberError::Missing(format!("{error:#}")));
    Member { number: 0, key: files::shown(file), content }
}
