//! Why a file of the hub was not fetched, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No answer at all.
    #[error(
        "cannot reach {endpoint} ({cause}); check the network, or set HF_ENDPOINT to a mirror or HTTPS_PROXY to a proxy"
    )]
    Unreachable {
        /// The hub's address.
        endpoint: String,
        /// What the network said.
        cause: String,
    },
    /// An answer that is no file.
    #[error("{url} answers with status {status}; {}", remedy(*status))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// An answer without the hash, size or commit that the file is checked by.
    #[error("{url} does not say {what}; is HF_ENDPOINT a Hugging Face hub?")]
    Unstated {
        /// What was asked for.
        url: String,
        /// What is missing.
        what: &'static str,
    },
    /// The transfer stopped, and so did the attempts to go on with it.
    #[error("{url} broke off after {done} of {size} bytes ({cause}); the same command goes on from there")]
    Interrupted {
        /// What was asked for.
        url: String,
        /// Bytes that are there.
        done: u64,
        /// Bytes in all.
        size: u64,
        /// What the network said.
        cause: String,
    },
    /// All bytes are there, and they are not those that the hub states.
    #[error(
        "{url} has SHA-256 {found} where the hub states {stated}; it was thrown away: try again, or another HF_ENDPOINT"
    )]
    Checksum {
        /// What was asked for.
        url: String,
        /// The hub's.
        stated: String,
        /// Ours.
        found: String,
    },
    /// Another process is fetching the same content.
    #[error("another process is downloading {}; wait for it to end", path.display())]
    Busy {
        /// The file that both would write.
        path: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("cannot use {} ({cause}); HF_HUB_CACHE names another folder", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Nobody to trust.
    #[error("{variable} is {place:?}, which holds no certificate ({cause}); name a file in PEM form, or unset it")]
    NoCertificates {
        /// `SSL_CERT_FILE` or `SSL_CERT_DIR`.
        variable: &'static str,
        /// Its value.
        place: String,
        /// What is wrong with it.
        cause: String,
    },
    /// There is no folder to cache in, not even a home folder.
    #[error("no folder for downloads is known; set HF_HUB_CACHE")]
    NoCache,
}

impl HubError {
    /// Makes an error of the system one about `path` in the cache.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { path, cause }
    }

    /// Whether another attempt may do better.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Status { status: 408 | 429 | 500..=599, .. }
        )
    }
}

fn remedy(status: u16) -> &'static str {
    match status {
        401 | 403 => "set HF_TOKEN to a token that may read it",
        404 => "the repository, the revision or the file is not there",
        429 => "the hub wants fewer requests: wait, or set HF_TOKEN",
        500..=599 => "the hub is in trouble: try again later",
        _ => "is HF_ENDPOINT a Hugging Face hub?",
    }
}
