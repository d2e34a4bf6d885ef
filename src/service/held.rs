//! What a request holds, and how its client is doing: pure.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

/// What a request takes beside its bytes: its tasks, heads and buffers. It also bounds how many there can be.
pub(super) const REQUEST_BYTES: usize = 32 << 10;

/// What a client has to send a second for its call to count as moving: less than any link, too much for 30,000 calls.
pub(super) const PACE_BYTES: usize = 16 << 10;

/// A client that is so far behind is slow.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Held {
    /// Of the request: what came, copies of it, and what it takes by itself.
    pub(super) bytes: usize,
    /// Of answers that did not go out yet.
    pub(super) answers: usize,
    /// Woken when others needed the bytes; there while the client is waited for.
    waiter: Option<Waker>,
    /// Since when its client is behind [`PACE_BYTES`].
    behind_since: Option<Instant>,
    /// Whether it is on the account's list.
    pub(super) is_listed: bool,
    pub(super) given_up_at: Option<Instant>,
}

impl Held {
    /// The client is waited for; `waker` is woken when the memory is needed for others.
    pub(super) fn wait(&mut self, now: Instant, waker: &Waker) {
        self.behind_since.get_or_insert(now);
        match &mut self.waiter {
            Some(waiter) => waiter.clone_from(waker),
            None => self.waiter = Some(waker.clone()),
        }
    }

    /// The same where there is nobody to be woken, unless somebody waits already.
    pub(super) fn wait_for_reader(&mut self, now: Instant) {
        self.behind_since.get_or_insert(now);
        self.waiter.get_or_insert_with(|| Waker::noop().clone());
    }

    /// So many bytes came: the client is not waited for at the moment.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) {
        self.waiter = None;
        let paid = Duration::from_secs_f64(bytes as f64 / PACE_BYTES as f64);
        self.behind_since = self.behind_since.map(|since| now.min(since + paid));
    }

    /// All but what the request takes by itself goes; how much that is. The client begins anew.
    pub(super) fn let_go_of_bytes(&mut self) -> usize {
        self.behind_since = None;
        let given = self.bytes.saturating_sub(REQUEST_BYTES);
        self.bytes -= given;
        given
    }

    /// So many bytes of an answer went out, about; how much of it was held.
    pub(super) fn answer_went(&mut self, bytes: usize) -> usize {
        let given = bytes.min(self.answers);
        self.answers -= given;
        given
    }

    pub(super) fn total(&self) -> usize {
        self.bytes + self.answers
    }

    /// Since when the client is slow: one that is waited for.
    pub(super) fn slow_since(&self, now: Instant) -> Option<Instant> {
        self.waiter.as_ref()?;
        self.behind_since.filter(|since| now.saturating_duration_since(*since) >= SLOW_AFTER)
    }

    /// All of it goes, and whoever waits is to be woken. `None` where the client has gone on.
    pub(super) fn give_up(&mut self, now: Instant) -> Option<(usize, Waker)> {
        let waiter = self.waiter.take()?;
        self.given_up_at = Some(now);
        let given = self.total();
        (self.bytes, self.answers) = (0, 0);
        Some((given, waiter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_trickles_is_slow_and_one_that_sends_is_not() {
        let start = Instant::now();
        let (mut trickles, mut sends) = (Held::default(), Held::default());
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            for (held, bytes) in [(&mut trickles, 10), (&mut sends, PACE_BYTES)] {
                held.came(bytes, now);
                held.wait(now, Waker::noop());
            }
        }
        let now = start + Duration::from_millis(9_500);
        assert_eq!(sends.slow_since(now), None);
        assert!(trickles.slow_since(now).is_some_and(|since| since < start + Duration::from_secs(1)));

        trickles.let_go_of_bytes();
        trickles.wait(now, Waker::noop());
        assert_eq!(trickles.slow_since(now), None, "it begins anew");
    }

    #[test]
    fn nobody_is_ahead_of_his_time() {
        let start = Instant::now();
        let mut held = Held::default();
        held.wait(start, Waker::noop());
        held.came(100 * PACE_BYTES, start);
        held.wait(start, Waker::noop());
        assert_eq!(held.slow_since(start + SLOW_AFTER), Some(start));
    }

    #[test]
    fn who_is_not_waited_for_is_never_given_up() {
        let now = Instant::now();
        let mut held = Held { bytes: 5, answers: 7, ..Held::default() };
        assert!(held.give_up(now).is_none());
        held.wait_for_reader(now);
        held.came(0, now);
        assert!(held.give_up(now).is_none() && held.slow_since(now + 2 * SLOW_AFTER).is_none());
        held.wait_for_reader(now);
        assert_eq!(held.give_up(now).map(|(given, _)| given), Some(12));
        assert_eq!((held.total(), held.given_up_at), (0, Some(now)));
    }
}
