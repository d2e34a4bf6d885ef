//! The thread that reads an issuer's keys: now and then, and when a token asks for it. While the issuer is away it comes back later and later, and
//! says once that it went and once that it is back.
//!
//! It ends when nobody has the issuer any more; a look under way then ends by itself, in its own time, and nobody waits for it.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing::{info, warn};

use super::{
    board::Board,
    keys::KeySet,
    source::{KeySource, SourceFault},
};
use crate::telemetry::KeyMetrics;

/// The pause after the issuer was away: so long, then twice as long, …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Following {
    pub(super) issuer: String,
    pub(super) source: KeySource,
    pub(super) board: Arc<Board>,
    /// From one look to the next.
    pub(super) interval: Duration,
    pub(super) metrics: KeyMetrics,
}

/// What was said, so that it is said once.
#[derive(Default)]
struct Said {
    away_since: Option<Instant>,
    failures: u32,
}

impl Following {
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(self) -> io::Result<()> {
        thread::Builder::new().name("oidc".to_owned()).spawn(move || self.run()).map(drop)
    }

    fn run(self) {
        let (mut said, mut due) = (Said::default(), Instant::now());
        while self.board.wait(due) {
            let outcome = self.source.read();
            let pause = match outcome {
                Ok(keys) => self.take(keys, &mut said),
                Err(fault) => self.tell(&fault, &mut said),
            };
            due = Instant::now() + pause;
        }
    }

    /// Puts keys in force, and says what is new; how long to wait for the next look.
    fn take(&self, read: KeySet, said: &mut Said) -> Duration {
        let (issuer, before) = (&self.issuer, self.board.keys());
        let keys = Arc::new(match &before {
            Some(before) => read.after(before),
            None => read,
        });
        let (new, gone) = match &before {
            Some(before) => (keys.new_since(before), before.withdraw_all_but(&keys)),
            None => (keys.len(), 0),
        };
        let count = keys.len();
        self.metrics.note_signing_keys(count, SystemTime::now());
        self.metrics.note_issuer_look(if new + gone > 0 { "taken" } else { "same" });
        self.board.take(Some(keys));
        if let Some(since) = said.away_since.take() {
            info!(%issuer, "its keys can be read again, after {} s", since.elapsed().as_secs());
        }
        if new + gone > 0 {
            info!(target: "audit", change = "signing_keys", %issuer, keys = count, new, withdrawn = gone, "the keys of an issuer of tokens are other ones");
        }
        said.failures = 0;
        self.interval
    }

    fn tell(&self, fault: &SourceFault, said: &mut Said) -> Duration {
        self.metrics.note_issuer_look("failed");
        let has_keys = self.board.keys().is_some();
        self.board.take(None);
        if said.away_since.is_none() {
            let until_then = match has_keys {
                true => "those that were read before go on counting",
                false => "until then no token is let in",
            };
            warn!(issuer = %self.issuer, "its keys cannot be read: {fault}; {until_then}");
            said.away_since = Some(Instant::now());
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << said.failures.min(16)).min(LONGEST_PAUSE).min(self.interval);
        said.failures += 1;
        pause
    }
}
