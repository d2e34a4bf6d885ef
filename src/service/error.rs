//! What can go wrong with a request, in the words of the service. No wire numbers: `server::status` has those.

use std::time::Duration;

/// The shortest time after which trying again makes sense.
pub(super) const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// The kinds of failure that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A corrupt or empty image, a bad option, a tensor of the wrong shape.
    InvalidArgument,
    /// Not an image format that we read.
    UnsupportedFormat,
    /// Body bytes, pixels or number of images over the limit.
    TooLarge,
    /// No such model or version.
    NotFound,
    /// The queue is full, or the deadline cannot be met.
    Overloaded,
    /// The request's own deadline passed.
    DeadlineExceeded,
    /// Loading or draining.
    Unavailable,
    /// The engine failed; the cause is in the log, not in the answer.
    Internal,
}

/// A refused or failed request: what was wrong and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Decides the status on the wire.
    pub kind: ErrorKind,
    /// Lowercase, with the offending value and the remedy. Sent to the client.
    pub message: String,
    /// When trying again makes sense, for [`ErrorKind::Overloaded`] and [`ErrorKind::Unavailable`].
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// The same, with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}
