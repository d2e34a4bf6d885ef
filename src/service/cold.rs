//! Versions that are loaded once somebody asks for them: what is said of one until then, and how whoever loads it is called.
//!
//! Knows neither of those who call nor how models are loaded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Error, ErrorKind, Target};
use crate::model::ModelInfo;

/// When a client should ask again for a model of which nobody knows how long its load takes.
const UNKNOWN_RETRY: Duration = Duration::from_secs(2);

/// What is known of a version that is not loaded.
#[derive(Clone)]
pub(super) struct Cold {
    /// Why not, and what loads it.
    pub(super) reason: Arc<str>,
    /// What it was when it was loaded last.
    pub(super) info: Option<Arc<ModelInfo>>,
    /// How long its load takes, by the last one of its model.
    pub(super) expected: Option<Duration>,
    waiting: Arc<AtomicUsize>,
}

impl Cold {
    pub(super) fn new(reason: &str, info: Option<Arc<ModelInfo>>, expected: Option<Duration>) -> Self {
        Self { reason: reason.into(), info, expected, waiting: Arc::default() }
    }

    /// How many requests wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A request waits for it, as long as it has this.
    pub(super) fn wait(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.waiting.clone())
    }
}

/// Counts a request as one that waits while it is held.
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request for a version that is not loaded, as whoever loads is told of it. Dropped without an answer, the request looks again at
/// what is served.
pub struct ColdCall {
    /// The name in the route.
    pub model: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// When the request stops waiting.
    pub deadline: Option<Instant>,
    answer: oneshot::Sender<Result<Target, Error>>,
}

impl ColdCall {
    /// A call, and where its answer comes.
    pub fn new(
        model: &Arc<str>,
        version: u64,
        deadline: Option<Instant>,
    ) -> (Self, oneshot::Receiver<Result<Target, Error>>) {
        let (answer, answered) = oneshot::channel();
        (Self { model: model.clone(), version, deadline, answer }, answered)
    }

    /// Tells the request, unless it has left: the version, which it holds from now on, or why there is none.
    pub fn answer(self, outcome: Result<Target, Error>) {
        let _ = self.answer.send(outcome);
    }

    /// Whether the request does not wait any more.
    pub fn has_left(&self) -> bool {
        self.answer.is_closed()
    }
}

/// Takes a call; must not wait.
pub(super) type TakeCall = Box<dyn Fn(ColdCall) + Send + Sync>;

/// A load that takes longer than a request waits.
///
/// * `left`: how long it takes from now on, where that is known
pub fn still_loading(model: &str, version: u64, left: Option<Duration>) -> Error {
    let (time, retry) = match left {
        Some(left) => {
            let takes = format!("which takes about {:.1} s from now on, by its last load", left.as_secs_f32());
            (takes, left.max(Duration::from_secs(1)))
        }
        None => ("and how long that takes is not known before its first load".to_owned(), UNKNOWN_RETRY),
    };
    let message = format!(
        "model `{model}` version {version} is being loaded, {time}: longer than this request waits; try again then"
    );
    Error::new(ErrorKind::Unavailable, message).retry_after(retry)
}
