//! One picture among many, or why there is none in its place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

/// What stands at one place of a stream or shard.
#[derive(Debug)]
pub struct Member {
    /// Its place: 0 is the first.
    pub number: u64,
    /// What its row in the results is called.
    pub key: String,
    /// The picture's file.
    pub content: Result<Bytes, MemberError>,
}

/// Why there is no picture at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// This one cannot be had; those behind it can.
    #[error("{0}")]
    Missing(String),
    /// It is larger than a request may be; those behind it can be had.
    #[error("it has {bytes} bytes, the limit is {limit}: raise [limits] max_body_bytes")]
    TooLarge {
        /// As it says.
        bytes: u64,
        /// The most that a picture may have.
        limit: u64,
    },
    /// What it stands in ends here, or cannot be read on from here.
    #[error("{0}")]
    Cut(String),
}

/// What is said where [`guarded`] has nothing.
pub(super) const GAVE_UP: &str = "its reader gave up on it";

/// Whatever the reader of other people's bytes trips over ends that part of them, not the process.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
