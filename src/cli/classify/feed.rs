//! Pictures on their way to the models: a thread reads them, and waits whenever enough of them wait.
//!
//! The thread is bounded in bytes and not only in number, so that a folder of large pictures takes no more memory than one of small
//! ones. Reading by itself is what holds back whoever writes into a pipe.

use std::{io, ops::ControlFlow, sync::Arc, thread};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use crate::bulk::Member;

/// Bytes of pictures that were read and are not answered yet, unless one alone has more.
const MOST_BYTES: usize = 256 << 20;

/// What bytes are counted in: a semaphore's permits are fewer than the bytes of a large limit.
const GRAIN: usize = 1 << 10;

/// What is on its way.
pub(super) enum Fed {
    /// One picture, and its place among all.
    Picture {
        member: Member,
        /// Which of the sources it came from.
        source: usize,
        /// Given back when it is answered.
        room: OwnedSemaphorePermit,
    },
    /// Those before it came together.
    EndOfBatch,
}

/// The thread's end of the way.
pub(super) struct Hand {
    way: mpsc::Sender<Fed>,
    room: Arc<Semaphore>,
    runtime: Handle,
}

impl Hand {
    /// Hands a picture on when there is room for it. `Break`: nobody wants more.
    pub(super) fn give(&self, source: usize, member: Member) -> ControlFlow<()> {
        let bytes = member.content.as_ref().map_or(0, |content| content.len());
        let grains = u32::try_from(bytes.min(MOST_BYTES).div_ceil(GRAIN)).unwrap_or(u32::MAX);
        let wait = async {
            tokio::select! {
                biased;
                () = self.way.closed() => None,
                room = self.room.clone().acquire_many_owned(grains) => room.ok(),
            }
        };
        let Some(room) = self.runtime.block_on(wait) else { return ControlFlow::Break(()) };
        self.send(Fed::Picture { member, source, room })
    }

    /// Says that the pictures so far came together. `Break`: nobody wants more.
    pub(super) fn end_batch(&self) -> ControlFlow<()> {
        self.send(Fed::EndOfBatch)
    }

    fn send(&self, fed: Fed) -> ControlFlow<()> {
        match self.way.blocking_send(fed) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Starts a thread that does `read`, and returns what it hands on.
///
/// The thread ends when `read` is through, or with the process: it may be waiting for bytes that never come, and nobody can wait for it.
///
/// * `waiting`: how many pictures may wait
pub(super) fn start(
    runtime: Handle,
    waiting: usize,
    read: impl FnOnce(&Hand) + Send + 'static,
) -> io::Result<mpsc::Receiver<Fed>> {
    let (way, fed) = mpsc::channel(waiting.max(1));
    let room = Arc::new(Semaphore::new(MOST_BYTES / GRAIN));
    let hand = Hand { way, room, runtime };
    thread::Builder::new().name("pictures".to_owned()).spawn(move || read(&hand))?;
    Ok(fed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(bytes: usize) -> Member {
        Member { number: 0, key: String::new(), content: Ok(vec![0; bytes].into()) }
    }

    #[tokio::test]
    async fn what_is_read_waits_for_room_in_bytes_and_one_that_is_larger_than_all_of_it_passes_alone() {
        let (said, mut heard) = mpsc::unbounded_channel();
        let mut fed = start(Handle::current(), 8, move |hand| {
            for bytes in [MOST_BYTES + 1, 1, 1] {
                assert!(hand.give(3, member(bytes)).is_continue());
                said.send(bytes).unwrap();
            }
        })
        .unwrap();
        let large = fed.recv().await.unwrap();
        assert!(matches!(large, Fed::Picture { source: 3, .. }));
        assert_eq!(heard.recv().await, Some(MOST_BYTES + 1));
        assert!(fed.try_recv().is_err(), "there is no room");
        drop(large);
        assert_eq!(heard.recv().await, Some(1));
        assert!(fed.recv().await.is_some() && fed.recv().await.is_some());
        assert!(fed.recv().await.is_none(), "the thread is through");
    }

    #[tokio::test]
    async fn a_reader_is_told_when_nobody_wants_more() {
        let (said, mut heard) = mpsc::unbounded_channel();
        let mut fed = start(Handle::current(), 1, move |hand| {
            let first = hand.give(0, member(MOST_BYTES));
            let second = hand.give(0, member(1));
            said.send((first, second)).unwrap();
        })
        .unwrap();
        let kept = fed.recv().await.unwrap();
        drop(fed);
        assert_eq!(heard.recv().await, Some((ControlFlow::Continue(()), ControlFlow::Break(()))));
        drop(kept);
    }
}
