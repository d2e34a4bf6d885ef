//! The client's end of a connection, as its requests see it: whether it is still there, and whether it must be waited for.
//!
//! A client may close its sending half when it has sent its request (`nc -N` does), and one that has left looks the same: both
//! are an end of the stream. hyper's `half_close(true)` lets the first be answered, and then notices the second with the
//! answer only. So a request that waits asks for itself: what is sent to a socket that nobody has is answered with a reset.
//! The one thing that may be sent before an answer is `100 Continue`, which HTTP/1.1 clients pass over. It is sent only to
//! those that closed their half, and only where the answer takes a while: most never see it.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use crate::server::wire::{Next, Wire};

/// How long a client that closed its half may wait without being asked.
const UNASKED: Duration = Duration::from_millis(200);

/// How often it is looked whether the question came back as a reset. It arrives with the round trip, but nothing wakes us.
const GLANCE: Duration = Duration::from_millis(50);

const QUESTION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The client's end. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Of hyper, which reads and writes; requests look at it while it does neither. Never held across a wait.
    stream: Mutex<Wire>,
    /// A body was left unread: the connection lingers before it closes.
    lingers: AtomicBool,
    /// No answer is half sent.
    between_answers: AtomicBool,
}

impl Peer {
    pub(super) fn new(stream: Wire) -> Self {
        let (lingers, between_answers) = (AtomicBool::new(false), AtomicBool::new(true));
        Self(Arc::new(Shared { stream: Mutex::new(stream), lingers, between_answers }))
    }

    /// The stream, for a moment.
    pub(super) fn stream(&self) -> MutexGuard<'_, Wire> {
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body was left unread: the connection shall linger before it closes.
    pub(super) fn linger(&self) {
        self.0.lingers.store(true, Ordering::Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.0.lingers.load(Ordering::Relaxed)
    }

    pub(super) fn note_between_answers(&self, is: bool) {
        self.0.between_answers.store(is, Ordering::Relaxed);
    }

    /// Ready once the client has left. Only for a request whose body was read to its end, on hyper's own task: what it peeks at
    /// would else be the body's, and the wake-up hyper's.
    ///
    /// * `may_ask`: the client speaks HTTP/1.1; one of HTTP/1.0 that closed its half is waited for
    pub(super) async fn left(&self, may_ask: bool) {
        match poll_fn(|cx| self.stream().poll_next(cx)).await {
            Next::Broken => return,
            // The next request: somebody is there.
            Next::Bytes => return pending().await,
            Next::End if !may_ask => return pending().await,
            Next::End => sleep(UNASKED).await,
        }
        // Where an answer before this one is half sent, its rest asks as well.
        if self.0.between_answers.load(Ordering::Relaxed) && self.stream().try_say(QUESTION).is_err() {
            return;
        }
        while !self.stream().is_broken() {
            sleep(GLANCE).await;
        }
    }
}
