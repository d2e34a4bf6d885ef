//! How a request waits for a version that is loaded because of it.
//!
//! It calls whoever loads, with a [`ColdCall`], and waits for the answer to that until its own deadline. Where the call is let go of
//! without an answer, the load failed or the version went: the request looks again at what is served, and finds why. While it waits it
//! holds no place of a model, only its own memory; when its client leaves, the future is dropped, and the load goes on.

use std::{collections::BTreeSet, time::Instant};

use tokio::time::timeout_at;

use super::{
    Error, Service, Target, VersionPick,
    cold::{ColdCall, still_loading},
    pick::KeptPick,
    registry::{FoundVersion, Registry},
};

impl Service {
    /// Has a cascade's first model loaded, or a version that gets a share or mirrors, where that is done for who asks and nobody does. The
    /// request that comes here does not wait: what it would have had otherwise answers it.
    pub(super) fn wake(&self, model: &str, pick: VersionPick<'_>) {
        let found = self.registry().current().find(model, pick);
        if let Ok(FoundVersion::Cold(name, _, cold)) = found
            && cold.waiting() == 0
        {
            let registry = self.inner.registry.clone();
            // It ends with the load, or when whoever loads is gone. Why a load failed is logged there.
            let pick = KeptPick::of(pick);
            tokio::spawn(async move { registry.warmed(&name, pick.as_pick(), None).await.map(drop) });
        }
    }
}

impl Registry {
    /// The version that a request means; has it loaded and waits for that where it is not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) with the reason where it cannot be loaded,
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where that takes longer than the request waits, or where nothing can
    /// make room for it.
    pub(super) async fn warmed(
        &self,
        name: &str,
        pick: VersionPick<'_>,
        deadline: Option<Instant>,
    ) -> Result<Target, Error> {
        let mut called = BTreeSet::new();
        let mut refusal = None;
        loop {
            let found = self.current().find(name, pick)?;
            let (model, version, cold) = match found {
                FoundVersion::Answers(target) => return Ok(target),
                FoundVersion::Cold(model, version, cold) => (model, version, cold),
            };
            if !called.insert(version) {
                return Err(refusal.unwrap_or_else(|| still_loading(&model, version, cold.expected)));
            }
            let begun = Instant::now();
            let _waiting = cold.wait();
            let (call, answer) = ColdCall::new(&model, version, deadline);
            self.call(call);
            let answered = match deadline {
                Some(deadline) => timeout_at(deadline.into(), answer).await,
                None => Ok(answer.await),
            };
            match answered {
                Ok(Ok(Ok(target))) => return Ok(target),
                // Where no version is named, another one may answer instead.
                Ok(Ok(Err(error))) => refusal = Some(error),
                Ok(Err(_)) => {}
                Err(_) => {
                    let left = cold.expected.map(|expected| expected.saturating_sub(begun.elapsed()));
                    return Err(still_loading(&model, version, left));
                }
            }
        }
    }
}
