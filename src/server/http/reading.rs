//! How far a request's body was read, and whether its client is still there: what HTTP/1 needs to know before a connection goes on,
//! and the turn that others have then.

use std::{
    future::{pending, poll_fn},
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use axum::{
    body::HttpBody,
    http::{Version, header::CONNECTION, header::HeaderValue},
    response::Response,
};

use tokio::task::consume_budget;

use super::peer::Peer;

/// Up to so many bytes of an unread body are passed over, so that the connection can go on.
const MAX_PASSED_OVER_BYTES: u64 = 32 << 10;

/// How much of its turn on an I/O thread a request over HTTP/1 uses up, in tokio's units, of which a task has 128. Requests that were
/// sent ahead are all in one task: without this a connection would have about a hundred of them answered before anybody else has a turn.
const SHARE_OF_TURN: usize = 32;

/// How far a request's body was read.
#[derive(Debug)]
pub(super) struct BodyState {
    /// Bytes of it may still come.
    unread: AtomicBool,
    /// Reading it was given up.
    given_up: AtomicBool,
    is_short: bool,
}

impl BodyState {
    /// A body that nobody has read yet.
    pub(super) fn of(body: &impl HttpBody) -> Self {
        let is_short = body.size_hint().exact().is_none_or(|bytes| bytes <= MAX_PASSED_OVER_BYTES);
        Self { unread: AtomicBool::new(!body.is_end_stream()), given_up: AtomicBool::new(false), is_short }
    }

    /// It was read to its end.
    pub(super) fn note_read(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }

    /// It is over the limit, too slow or broken: the connection cannot go on behind it.
    pub(super) fn note_given_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Ready once a client of HTTP/1 has left a request whose body is there. hyper notices that of HTTP/2 itself.
    pub(super) async fn left(&self, peer: Option<&Peer>, version: Version) {
        match peer.filter(|_| version < Version::HTTP_2) {
            Some(peer) => {
                // Looked at whenever the request goes on, also when its body has come to its end.
                poll_fn(|_| if self.is_unread() { Poll::Pending } else { Poll::Ready(()) }).await;
                peer.left(version == Version::HTTP_11).await;
            }
            None => pending().await,
        }
    }

    /// Sees to it that the client gets `answer`, and says whether the connection can go on behind it.
    ///
    /// * `goes_on`: where the next request begins is known, and it is wanted
    pub(super) fn end(&self, peer: Option<&Peer>, version: Version, mut goes_on: bool, answer: Response) -> Response {
        if version >= Version::HTTP_2 {
            return answer;
        }
        if self.is_unread() || !goes_on {
            // Should the connection close, now or later, then so that the client gets this answer: bytes of its body, or requests that
            // it sent ahead, are on the wire.
            peer.into_iter().for_each(Peer::linger);
        }
        if self.is_unread() {
            // hyper passes over what is left of a short body, and closes where it cannot; behind a long one nobody can go on.
            goes_on &= self.is_short && !self.is_given_up();
        }
        if goes_on { answer } else { closing(answer) }
    }
}

/// Lets others have a turn behind a request of HTTP/1.
pub(super) async fn take_turn(version: Version) {
    if version < Version::HTTP_2 {
        for _ in 0..SHARE_OF_TURN {
            consume_budget().await;
        }
    }
}

/// `answer` as the connection's last.
pub(super) fn closing(mut answer: Response) -> Response {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
