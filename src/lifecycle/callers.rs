//! Requests that wait for a version to be loaded, and how long that takes by what earlier loads took. The time is given.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::wanted::VersionKey;
use crate::service::{ColdCall, Error, Target, still_loading};

/// Calls are looked through for those whose requests have left when there are so many, and then twice as many as stayed.
const LOOK_THROUGH_AT: usize = 64;

#[derive(Default)]
pub(super) struct Callers {
    waiting: BTreeMap<VersionKey, Calls>,
    /// How long the last load of each model took.
    took: BTreeMap<String, Duration>,
}

struct Calls {
    calls: Vec<ColdCall>,
    look_through_at: usize,
}

impl Callers {
    /// A request waits, if its version can be there before its deadline; else it is told how long that takes. The load goes on
    /// either way.
    ///
    /// * `begun`: when the load began that is under way
    pub(super) fn add(&mut self, call: ColdCall, begun: Option<Instant>, now: Instant) {
        let left = self.expected(&call.model).map(|took| {
            let elapsed = begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
            took.saturating_sub(elapsed)
        });
        let comes_too_late = |left: Duration| call.deadline.is_some_and(|deadline| now + left > deadline);
        if left.is_some_and(comes_too_late) {
            let error = still_loading(&call.model, call.version, left);
            call.answer(Err(error));
            return;
        }
        let key = (call.model.to_string(), call.version);
        let calls =
            self.waiting.entry(key).or_insert_with(|| Calls { calls: Vec::new(), look_through_at: LOOK_THROUGH_AT });
        if calls.calls.len() >= calls.look_through_at {
            calls.calls.retain(|call| !call.has_left());
            calls.look_through_at = (2 * calls.calls.len()).max(LOOK_THROUGH_AT);
        }
        calls.calls.push(call);
    }

    /// How long a load of this model takes, by the last one.
    pub(super) fn expected(&self, model: &str) -> Option<Duration> {
        self.took.get(model).copied()
    }

    /// A load of this model took so long.
    pub(super) fn note_load(&mut self, model: &str, took: Duration) {
        self.took.insert(model.to_owned(), took);
    }

    /// Everybody who waits for a version is told this.
    pub(super) fn answer(&mut self, key: &VersionKey, outcome: &Result<Target, Error>) {
        for call in self.waiting.remove(key).into_iter().flat_map(|calls| calls.calls) {
            call.answer(outcome.clone());
        }
    }

    /// The version failed to load, or is not wanted any more: whoever waits looks at what is served instead.
    pub(super) fn let_go(&mut self, key: &VersionKey) {
        self.waiting.remove(key);
    }

    /// The same for all that are not wanted any more.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(&VersionKey) -> bool) {
        self.waiting.retain(|key, _| is_wanted(key));
    }

    /// Whether somebody waits for a version.
    pub(super) fn wait_for(&self, key: &VersionKey) -> bool {
        self.waiting.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot::{Receiver, error::TryRecvError};

    use super::*;
    use crate::service::ErrorKind;

    type Answer = Receiver<Result<Target, Error>>;

    fn call(callers: &mut Callers, deadline: Option<Instant>, begun: Option<Instant>, now: Instant) -> Answer {
        let (call, answer) = ColdCall::new(&Arc::from("m"), 1, deadline);
        callers.add(call, begun, now);
        answer
    }

    #[test]
    fn who_cannot_be_answered_in_time_is_told_at_once_how_long_it_takes() {
        let (mut callers, start) = (Callers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let key = ("m".to_owned(), 1);
        // Nobody knows yet how long it takes.
        assert_eq!(call(&mut callers, Some(at(1)), None, start).try_recv().unwrap_err(), TryRecvError::Empty);
        callers.note_load("m", Duration::from_secs(10));
        // The deadline, when the load began, now, what is left where that is too long.
        let cases = [
            (Some(10), None, 0, None),
            (Some(9), None, 0, Some(10)),
            (None, None, 0, None),
            (Some(10), Some(0), 1, None),
            (Some(9), Some(0), 1, Some(9)),
            // It takes longer than the last one: nobody knows.
            (Some(13), Some(0), 12, None),
        ];
        for (deadline, begun, now, left) in cases {
            let mut answer = call(&mut callers, deadline.map(at), begun.map(at), at(now));
            match (answer.try_recv(), left) {
                (Err(TryRecvError::Empty), None) => {}
                (Ok(Err(error)), Some(left)) => {
                    assert_eq!(error.kind, ErrorKind::Unavailable);
                    assert_eq!(error.retry_after, Some(Duration::from_secs(left)));
                    assert!(error.message.contains(&format!("about {left}.0 s")), "{}", error.message);
                }
                (other, _) => panic!("{deadline:?} {begun:?} {now}: {other:?}"),
            }
        }
        assert!(callers.wait_for(&key));
    }

    #[test]
    fn everybody_who_waits_is_answered_once_and_who_has_left_is_forgotten() {
        let (mut callers, now) = (Callers::default(), Instant::now());
        let key = ("m".to_owned(), 1);
        let mut stays = [(); 3].map(|()| call(&mut callers, None, None, now));
        for _ in 0..10 * LOOK_THROUGH_AT {
            drop(call(&mut callers, None, None, now));
        }
        assert!(callers.waiting[&key].calls.len() <= LOOK_THROUGH_AT);
        callers.answer(&key, &Err(still_loading("m", 1, None)));
        assert!(stays.iter_mut().all(|answer| answer.try_recv().is_ok_and(|outcome| outcome.is_err())));
        assert!(!callers.wait_for(&key));

        let mut let_go = call(&mut callers, None, None, now);
        callers.let_go(&key);
        assert_eq!(let_go.try_recv().unwrap_err(), TryRecvError::Closed);
    }
}
