//! Waiting for the answer to one image.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    job::{JobError, Reply},
    queue::Queue,
    state::JobId,
};

/// The answer to a [`Submission`](super::Submission), when there is one.
pub struct Pending {
    pub(super) id: JobId,
    pub(super) receiver: oneshot::Receiver<Result<Reply, JobError>>,
    pub(super) queue: Arc<Queue>,
    pub(super) place: Option<OwnedSemaphorePermit>,
    pub(super) ended: bool,
}

/// A worker ends only after it has answered; should it break all the same, whoever waits is told.
const WORKER_GONE: &str = "the worker is gone";

impl Pending {
    /// Waits on a thread of its own, not on one of Tokio's.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn wait(mut self) -> Result<Reply, JobError> {
        let (_, unused) = oneshot::channel();
        let receiver = std::mem::replace(&mut self.receiver, unused);
        self.ended = true;
        receiver.blocking_recv().unwrap_or_else(|_| Err(JobError::Failed(WORKER_GONE.to_owned())))
    }
}

impl Future for Pending {
    type Output = Result<Reply, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|answer| {
            self.ended = true;
            // Before the answer: a client that sends its next image at once finds the place free.
            self.place = None;
            answer.unwrap_or_else(|_| Err(JobError::Failed(WORKER_GONE.to_owned())))
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.forget(self.id);
        }
    }
}
