//! The threads of a server that read and write sockets: how many, and how often they look for what has come.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::service::cores;

/// Connections cost little beside networks: with an I/O thread a core, the threads of engine and doors take turns on the
/// cores (two cores, two sessions: 1 % to 3 % more processor time an image than with one I/O thread).
const CORES_PER_IO_THREAD: usize = 4;

/// After so many tasks an I/O thread asks the system for what has come. Under Tokio's own 61 tasks a probe waits longer behind
/// connections with large bodies or piles of answers (`benches/hostile/traffic.py --only near_boundaries never_read`); asking
/// after every 8 makes smaller batches, which cost 0.9 % of the throughput to 16 connections (`benches/serve`).
const EVENT_INTERVAL: u32 = 32;

/// How many there are where nobody says.
pub(super) fn default_count() -> usize {
    cores().div_ceil(CORES_PER_IO_THREAD)
}

/// Starts them.
pub(super) fn start(threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).event_interval(EVENT_INTERVAL).enable_all().build()
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        io::Write as _,
        os::unix::net::UnixStream as Blocking,
        sync::atomic::{AtomicBool, AtomicU32, Ordering},
        task::Poll,
    };

    use tokio::{io::AsyncReadExt as _, net::UnixStream, spawn};

    use super::*;

    /// How often a task that always has more to do is polled until another one is told of a byte that is there.
    async fn polls_until_it_is_seen() -> u32 {
        static POLLS: AtomicU32 = AtomicU32::new(0);
        static SEEN: AtomicBool = AtomicBool::new(false);
        SEEN.store(false, Ordering::Relaxed);
        let (mut there, here) = Blocking::pair().expect("a pair of sockets");
        here.set_nonblocking(true).expect("it can be");
        let mut here = UnixStream::from_std(here).expect("a socket");
        let reader = spawn(async move {
            here.read_exact(&mut [0]).await.expect("the byte");
            SEEN.store(true, Ordering::Relaxed);
            POLLS.load(Ordering::Relaxed)
        });
        let busy = spawn(async move {
            // The reader waits by now.
            tokio::task::yield_now().await;
            POLLS.store(0, Ordering::Relaxed);
            there.write_all(&[7]).expect("it is taken");
            poll_fn(|cx| {
                POLLS.fetch_add(1, Ordering::Relaxed);
                if SEEN.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
        let polls = reader.await.expect("no panic");
        busy.await.expect("no panic");
        polls
    }

    #[test]
    fn what_has_come_is_seen_behind_a_busy_task() {
        let runtime = start(1).expect("a thread");
        let polls: Vec<_> = (0..200)
            .map(|_| runtime.block_on(async { spawn(polls_until_it_is_seen()).await.expect("no panic") }))
            .collect();
        let most = polls.iter().max().expect("some");
        assert!(*most <= EVENT_INTERVAL, "{most} polls");
    }
}
