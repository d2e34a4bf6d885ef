//! The clock of an open loop: a thread that says of each request when it is due, at that moment.
//!
//! A thread, because the timers of the runtime are a millisecond coarse, and what is late here is part of every latency.

use std::{
    thread,
    time::{Duration, Instant as Clock},
};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

/// It never sleeps longer without looking whether anybody still listens.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// So many moments may wait to be heard of.
const WAITING: usize = 1024;

/// Starts it; it ends after the last of `moments`, or when the receiver is gone.
///
/// * `start`: what the moments are counted from
pub(super) fn start(
    moments: impl Iterator<Item = Duration> + Send + 'static,
    start: Instant,
) -> (mpsc::Receiver<Instant>, JoinHandle<()>) {
    let (due, told) = mpsc::channel(WAITING);
    let thread = spawn_blocking(move || {
        for moment in moments {
            let at = start + moment;
            loop {
                let left = at.into_std().saturating_duration_since(Clock::now());
                if left.is_zero() {
                    break;
                }
                if due.is_closed() {
                    return;
                }
                thread::sleep(left.min(LONGEST_SLEEP));
            }
            // Where nobody takes it, it waits here, and the moments keep: the next are told at once.
            if due.blocking_send(at).is_err() {
                return;
            }
        }
    });
    (told, thread)
}
