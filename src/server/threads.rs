//! Threads for what takes as long as it has bytes: bodies that are taken apart, unpacked, answers of many classes.
//!
//! There are few I/O threads, and every probe and every small request waits behind what one of them does at a time. So large work
//! is done elsewhere, on as many threads at a time as there are cores, in the order in which it came. Small work is done where the
//! request is: handing it over would cost more.

use std::sync::Arc;

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
    task::{block_in_place, spawn_blocking},
};

use crate::service::{Answer, Error, ErrorKind, cores};

/// From so many bytes on, what has to look at each of them goes to another thread.
pub(super) const LARGE_BYTES: usize = 64 << 10;

/// From so many classes on, so does an answer.
const MANY_CLASSES: usize = 4096;

/// Whether bytes are better taken apart on another thread.
pub(super) fn is_large(bytes: &[u8]) -> bool {
    bytes.len() >= LARGE_BYTES
}

/// Whether an answer is better written on another thread.
pub(super) fn is_long(answer: &Answer) -> bool {
    let classes = answer.predictions.iter().map(Vec::len).sum::<usize>();
    let values = answer.outputs.iter().map(|output| output.values.len()).sum::<usize>();
    classes + values >= MANY_CLASSES
}

/// Does `work` here, after the I/O thread has handed all else that it has to another one where it is worth it: for what cannot wait
/// for its turn, in the middle of an answer.
pub(super) fn in_place<T>(is_worth_it: bool, work: impl FnOnce() -> T) -> T {
    let can_hand_over = || Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_worth_it && can_hand_over() { block_in_place(work) } else { work() }
}

/// The threads of both doors. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Threads {
    turns: Arc<Semaphore>,
}

impl Threads {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(cores())) }
    }

    /// Does `work` when it is its turn. Dropped before, it is not done; dropped later, the thread goes on with it, so that what the
    /// thread holds belongs into `work`: memory and the charge for it.
    ///
    /// # Errors
    /// `INTERNAL` where it panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        // They are never closed.
        let turn = self.turns.clone().acquire_owned().await;
        let done = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await
            .map_err(|_| Error::new(ErrorKind::Internal, "the work on a request broke; the server's log says why"))
    }

    /// The same, on another thread only where it is worth it.
    pub(super) async fn run_if<T: Send + 'static>(
        &self,
        is_worth_it: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if is_worth_it { self.run(work).await } else { Ok(work()) }
    }

    /// Takes every turn, so that whatever goes to another thread has to wait.
    #[cfg(test)]
    pub(super) async fn hold_all(&self) -> impl Drop + use<> {
        self.turns.clone().acquire_many_owned(cores() as u32).await.expect("they are never closed")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn large_work_waits_for_its_turn_and_small_work_does_not() {
        let threads = Threads::new();
        let held = threads.hold_all().await;
        let mut large = Box::pin(threads.run_if(true, || 1));
        assert!(poll!(large.as_mut()).is_pending());
        assert_eq!(threads.run_if(false, || 2).await, Ok(2));
        drop(held);
        assert_eq!(large.await, Ok(1));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_gives_its_turn_back() {
        let threads = Threads::new();
        for _ in 0..2 * cores() {
            let broken = threads.run(|| panic!("a test")).await.map(|(): ()| ());
            assert_eq!(broken.expect_err("it panicked").kind, ErrorKind::Internal);
        }
        assert_eq!(threads.run(|| 1).await, Ok(1));
    }
}
