//! What can go wrong with a request, in the words of the service. No wire numbers: `server::status` has those.

use std::{borrow::Cow, fmt, time::Duration};

/// The shortest time after which trying again makes sense.
pub(super) const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// The most characters of what a client wrote that an answer or a line of log repeats.
const MAX_SHOWN: usize = 200;

/// The most characters of a message: hundreds of names of models, but no body.
const LONGEST_MESSAGE: usize = 4_000;

/// What a client wrote, as a message repeats it: its start and its end, where it is longer than 200 characters.
#[derive(Clone, Copy)]
pub struct Shown<'t>(pub &'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match around(self.0, MAX_SHOWN) {
            None => f.write_str(self.0),
            Some((head, tail)) => write!(f, "{head}…{tail}"),
        }
    }
}

/// The same in quotes.
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match around(self.0, MAX_SHOWN) {
            None => write!(f, "{:?}", self.0),
            Some((head, tail)) => write!(f, "{head:?}…{tail:?}"),
        }
    }
}

/// A text of at most `limit` characters: its start and its end, where it is longer.
pub fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    match around(text, limit) {
        None => Cow::Borrowed(text),
        Some((head, tail)) => Cow::Owned(format!("{head}…{tail}")),
    }
}

/// Three quarters of `limit` characters from the start of `text` and the rest from its end; `None` where all of it fits. Looks
/// at no more of the text than that.
fn around(text: &str, limit: usize) -> Option<(&str, &str)> {
    text.char_indices().nth(limit)?;
    let tail = limit / 4;
    let (end, _) = text.char_indices().nth(limit - tail)?;
    let (start, _) = text.char_indices().rev().nth(tail.checked_sub(1)?)?;
    Some((text.get(..end)?, text.get(start..)?))
}

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
    /// No key that counts.
    Unauthenticated,
    /// The key may not do that, or is not for the model.
    PermissionDenied,
    /// The key's own limits are used up.
    LimitReached,
    /// The engine failed; the cause is in the log, not in the answer.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::InvalidArgument,
        Self::UnsupportedFormat,
        Self::TooLarge,
        Self::NotFound,
        Self::Overloaded,
        Self::DeadlineExceeded,
        Self::Unavailable,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::LimitReached,
        Self::Internal,
    ];
}

/// What of a request an error is about, where that is known. Protocols that tell it have their own names for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorSubject {
    /// One of its images, by its place.
    Image(usize),
    /// All of its images.
    Images,
    /// What the client knows by this name.
    Field(&'static str),
    /// The model of this name, or a version of it.
    Model(String),
}

/// A refused or failed request: what was wrong and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Decides the status on the wire.
    pub kind: ErrorKind,
    /// Lowercase, with the offending value and the remedy. Sent to the client.
    pub message: String,
    /// When trying again makes sense, for [`ErrorKind::Overloaded`], [`ErrorKind::LimitReached`] and [`ErrorKind::Unavailable`].
    pub retry_after: Option<Duration>,
    /// What it is about.
    pub subject: Option<ErrorSubject>,
}

impl Error {
    /// An error of `kind` that says `message`. What a client wrote stands in it as [`Shown`]; should that be forgotten, the
    /// whole message is cut.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Cow::Owned(cut) = shortened(&message, LONGEST_MESSAGE) {
            message = cut;
        }
        Self { kind, message, retry_after: None, subject: None }
    }

    /// The same, with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The same, with what it is about, unless that was said by whoever knew better.
    #[must_use]
    pub fn about(mut self, subject: ErrorSubject) -> Self {
        self.subject.get_or_insert(subject);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wrote_is_shown_up_to_200_characters() {
        for text in ["", "resnet50", &"é".repeat(200)] {
            assert_eq!(Shown(text).to_string(), text);
        }
        for (text, letter) in [("a".repeat(201), 'a'), ("é".repeat(8 << 20), 'é')] {
            let shown = Shown(&text).to_string();
            assert_eq!(shown.chars().filter(|shown| *shown == letter).count(), 200);
            assert_eq!(shown.chars().nth(150), Some('…'));
        }
        let text = format!("start{}end", "-".repeat(1000));
        let shown = Shown(&text).to_string();
        assert!(shown.starts_with("start") && shown.ends_with("end"), "{shown}");
    }

    #[test]
    fn a_message_is_cut_even_where_a_name_was_not() {
        let message = Error::new(ErrorKind::NotFound, format!("there is no `{}`", "a".repeat(8 << 20))).message;
        assert_eq!(message.chars().count(), LONGEST_MESSAGE + 1);
        assert!(message.starts_with("there is no `a") && message.ends_with("a`"));
    }
}
