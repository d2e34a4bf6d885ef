//! Rounds that somebody waits for.

use std::{
    collections::BTreeSet,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::wanted::VersionKey;

/// Those that are not over yet.
#[derive(Default)]
pub(super) struct Rounds(Vec<(BTreeSet<VersionKey>, oneshot::Sender<()>)>);

impl Rounds {
    /// * `open`: the versions whose loads the round waits for
    pub(super) fn begin(&mut self, open: BTreeSet<VersionKey>, done: oneshot::Sender<()>) {
        self.0.push((open, done));
    }

    /// The load of a version has ended, whatever came of it.
    pub(super) fn close(&mut self, key: &VersionKey) {
        for (open, _) in &mut self.0 {
            open.remove(key);
        }
    }

    /// Tells those whose rounds are over.
    pub(super) fn conclude(&mut self) {
        for (_, done) in self.0.extract_if(.., |(open, _)| open.is_empty()) {
            // Whoever began the round may not wait for its end.
            let _ = done.send(());
        }
    }

    /// Nothing is waited for any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A change of what is served, under way. Ready when it is complete, or when the control task was told to leave before.
pub struct Round(oneshot::Receiver<()>);

impl Round {
    pub(super) fn new(ended: oneshot::Receiver<()>) -> Self {
        Self(ended)
    }

    /// Waits on a thread of its own, not on one of Tokio's.
    pub fn wait(self) {
        let _ = self.0.blocking_recv();
    }
}

impl Future for Round {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
