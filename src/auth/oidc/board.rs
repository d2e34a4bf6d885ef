//! The keys in force, and the way from requests to the thread that reads them: a token with a key that nobody knows asks for a look, and its
//! request may wait for that.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::{sync::watch, time::timeout};

use super::keys::KeySet;

/// What requests and the thread share.
#[derive(Debug)]
pub(super) struct Board {
    keys: ArcSwapOption<KeySet>,
    looking: Mutex<Looking>,
    wake: Condvar,
    /// How many looks have ended.
    ended: watch::Sender<u64>,
    min_interval: Duration,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Looking {
    is_wanted: bool,
    is_under_way: bool,
    /// The last one, or the one under way.
    begun: Option<Instant>,
    /// The last one that ended brought nothing.
    has_failed: bool,
    is_over: bool,
}

/// What comes of asking for a look.
#[derive(Debug)]
pub(super) enum Asked {
    /// There will be one, and it will tell.
    Awaits(KeysAwaited),
    /// The last one is not old, so what it did not see is not there.
    Seen,
    /// The issuer cannot be had; somebody will look again.
    Away,
}

/// A look at an issuer's keys that a request may wait for.
#[derive(Debug)]
pub struct KeysAwaited {
    ended: watch::Receiver<u64>,
    patience: Duration,
}

impl KeysAwaited {
    /// Until the look has ended, or takes longer than it may. Whoever leaves takes nothing from it.
    pub async fn wait(mut self) {
        let _ = timeout(self.patience, self.ended.changed()).await;
    }
}

impl Board {
    /// * `min_interval`: from one look that requests ask for to the next
    /// * `patience`: how long a request waits for one
    pub(super) fn new(min_interval: Duration, patience: Duration) -> Self {
        let ended = watch::Sender::new(0);
        Self {
            keys: ArcSwapOption::empty(),
            looking: Mutex::default(),
            wake: Condvar::new(),
            ended,
            min_interval,
            patience,
        }
    }

    /// The keys in force; `None` until some were read.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// A request has seen that a key is missing. Whether there are looks at all is not for requests to say, so they are not many.
    pub(super) fn ask(&self, now: Instant) -> Asked {
        let mut looking = self.looking();
        let is_early = looking.begun.is_some_and(|begun| now.saturating_duration_since(begun) < self.min_interval);
        if !looking.is_under_way && is_early {
            return if looking.has_failed { Asked::Away } else { Asked::Seen };
        }
        if !looking.is_under_way {
            looking.is_wanted = true;
            self.wake.notify_all();
        }
        match looking.has_failed {
            // Whoever waited would mostly wait in vain, and many with it.
            true => Asked::Away,
            false => Asked::Awaits(KeysAwaited { ended: self.ended.subscribe(), patience: self.patience }),
        }
    }

    /// What the last look has seen, for a request that has waited for one.
    pub(super) fn seen(&self) -> Asked {
        let looking = self.looking();
        let is_late = looking.is_under_way || looking.has_failed || self.keys.load().is_none();
        if is_late { Asked::Away } else { Asked::Seen }
    }

    /// Somebody wants a look now.
    pub(super) fn want(&self) {
        self.looking().is_wanted = true;
        self.wake.notify_all();
    }

    /// Nobody needs keys any more.
    pub(super) fn end(&self) {
        self.looking().is_over = true;
        self.wake.notify_all();
    }

    /// For the thread: waits until it is time, or somebody asks; `false`: it is over.
    pub(super) fn wait(&self, due: Instant) -> bool {
        let mut looking = self.looking();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if looking.is_over {
                return false;
            }
            if looking.is_wanted || left.is_zero() {
                break;
            }
            looking = self.wake.wait_timeout(looking, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (looking.is_wanted, looking.is_under_way, looking.begun) = (false, true, Some(Instant::now()));
        true
    }

    /// For the thread: a look has ended.
    ///
    /// * `read`: what is in force from now on, where it brought any keys
    pub(super) fn take(&self, read: Option<Arc<KeySet>>) {
        let mut looking = self.looking();
        (looking.is_under_way, looking.has_failed) = (false, read.is_none());
        if read.is_some() {
            self.keys.store(read);
        }
        self.ended.send_modify(|ended| *ended += 1);
    }

    fn looking(&self) -> MutexGuard<'_, Looking> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn keys() -> Option<Arc<KeySet>> {
        let one = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        Some(Arc::new(KeySet::parse(one).unwrap()))
    }

    fn asked(board: &Board, after: Duration) -> &'static str {
        said(board.ask(Instant::now() + after))
    }

    fn said(asked: Asked) -> &'static str {
        match asked {
            Asked::Awaits(_) => "awaits",
            Asked::Seen => "seen",
            Asked::Away => "away",
        }
    }

    #[tokio::test]
    async fn a_missing_key_is_looked_for_now_and_then_and_waited_for_while_that_helps() {
        let board = Board::new(PAUSE, PAUSE);
        let at_once = Duration::ZERO;
        assert_eq!((asked(&board, at_once), said(board.seen())), ("awaits", "away"));
        assert!(board.wait(Instant::now() + Duration::from_secs(3_600)), "somebody has asked");
        let Asked::Awaits(look) = board.ask(Instant::now()) else { panic!("one is under way") };
        board.take(keys());
        look.wait().await;
        assert!(board.keys().is_some());
        assert_eq!(said(board.seen()), "seen");
        assert_eq!((asked(&board, at_once), asked(&board, PAUSE)), ("seen", "awaits"));

        assert!(board.wait(Instant::now()));
        board.take(None);
        assert_eq!((asked(&board, at_once), asked(&board, PAUSE)), ("away", "away"));
        assert!(board.keys().is_some(), "the last ones go on counting");
        assert!(board.wait(Instant::now() + Duration::from_secs(3_600)), "it was asked for all the same");
        board.end();
        assert!(!board.wait(Instant::now()));
    }
}
