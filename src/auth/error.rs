//! What is wrong with a file of keys: which file, which key, and how to mend it.

use std::io;

use crate::staging::FileError;

/// Why the keys of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("[auth] keys_file {file}: cannot be read ({cause}); make one with `resnetd keys add NAME --file {file}`")]
    Unread {
        /// The file.
        file: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Others than its owner could let themselves in.
    #[error("[auth] keys_file {file}: can be written by others than its owner (mode {mode:03o}); chmod go-w {file}")]
    Writable {
        /// The file.
        file: String,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no file of keys.
    #[error(
        "[auth] keys_file {file}: {cause}; it has a table [[keys]] for each key, with name and hash, as `resnetd keys add` writes it"
    )]
    Malformed {
        /// The file.
        file: String,
        /// What the reader says.
        cause: String,
    },
    /// Each has series of its own among the metrics.
    #[error("[auth] keys_file {file}: has {count} keys, the limit is {limit}: revoke those that nobody uses")]
    TooMany {
        /// The file.
        file: String,
        /// Its keys.
        count: usize,
        /// The most that there may be.
        limit: usize,
    },
    /// One of its keys cannot be.
    #[error("[auth] keys_file {file}: key {name:?} {problem}")]
    BadKey {
        /// The file.
        file: String,
        /// Of the key.
        name: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// There is a key of that name.
    #[error("{file} has a key {name:?}: choose another name, or revoke that one first")]
    Taken {
        /// The file.
        file: String,
        /// Of the key.
        name: String,
    },
    /// There is no key of that name.
    #[error("{file} has no key {name:?}; there are: {}", if .known.is_empty() { "none" } else { .known })]
    NoSuchKey {
        /// The file.
        file: String,
        /// What was asked for.
        name: String,
        /// The names of those there are.
        known: String,
    },
    /// The system gives no chance.
    #[error("no random numbers from the system ({0}), so no key")]
    NoChance(io::Error),
    /// It cannot be written.
    #[error(transparent)]
    Unwritten(#[from] FileError),
}
