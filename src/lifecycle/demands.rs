//! Models that are loaded when somebody asks for them: who waits, and what makes room. Only the control task has it.
//!
//! What is decided is in `room` and `callers`, which are pure; here it is done to what is served.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    callers::Callers,
    command::Tries,
    loads::Begin,
    room::{OnDemand, Room, beyond, room},
    serving::Serving,
    wanted::{VersionKey, WantedModel},
};
use crate::service::{ColdCall, Error, ErrorKind};

/// While a load waits for room, it is looked so often whether something is not in use any more.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(20);

pub(super) struct Demands {
    limits: OnDemand,
    pub(super) callers: Callers,
    /// The loads that wait while all that is loaded is in use, and since when.
    no_room: BTreeMap<VersionKey, Instant>,
}

impl Demands {
    pub(super) fn new(limits: OnDemand) -> Self {
        Self { limits, callers: Callers::default(), no_room: BTreeMap::new() }
    }

    /// Whether a version that is not served is loaded only when somebody asks for it. One that takes the place of another one that
    /// answers is loaded at once, and so is one that an operator asks for.
    pub(super) fn rests(
        &self,
        key: &VersionKey,
        tries: &Tries,
        serving: &Serving,
        wanted: &BTreeMap<VersionKey, WantedModel>,
    ) -> bool {
        let is_asked_for = self.callers.wait_for(key) || *tries == Tries::NowOf(key.0.clone());
        let of_model = (key.0.clone(), 0)..=(key.0.clone(), u64::MAX);
        let is_highest = wanted.range(of_model).next_back().is_some_and(|(highest, _)| highest == key);
        let has_earlier = |version| serving.has_earlier(version, wanted);
        let replaces = serving.served.contains_key(key) || is_highest && wanted.get(key).is_some_and(has_earlier);
        !is_asked_for && !replaces
    }

    /// Lists versions that are loaded when somebody asks for them.
    ///
    /// * `is_same`: of those that are listed already, which have the files and settings that they had
    pub(super) fn shelve(
        &self,
        keys: &BTreeSet<VersionKey>,
        is_same: impl Fn(&VersionKey) -> bool,
        serving: &mut Serving,
    ) {
        // Other files have another size.
        keys.iter().filter(|key| !is_same(key)).for_each(|key| serving.forget_size(key));
        let news = keys.iter().filter(|key| !(is_same(key) && serving.writer.is_cold(&key.0, key.1)));
        let news: Vec<_> = news.map(|key| (key, self.callers.expected(&key.0))).collect();
        if !news.is_empty() {
            serving.writer.shelve(news);
        }
    }

    /// Takes a call for a version that is wanted; whether it has to be loaded.
    ///
    /// * `begun`: when its load began, where it did
    pub(super) fn take(&mut self, call: ColdCall, serving: &Serving, begun: Option<Instant>, now: Instant) -> bool {
        if let Some(target) = serving.writer.target(&call.model, call.version) {
            call.answer(Ok(target));
            return false;
        }
        self.callers.add(call, begun, now);
        true
    }

    /// A version was loaded and is served: those who waited for it get it, and where it is larger than was known, others go.
    ///
    /// * `took`: how long its load took, where that says anything of the next one
    pub(super) fn came(
        &mut self,
        key: &VersionKey,
        took: Option<Duration>,
        serving: &mut Serving,
        wanted: &BTreeMap<VersionKey, WantedModel>,
    ) {
        if let Some(took) = took {
            self.callers.note_load(&key.0, took);
        }
        if let Some(target) = serving.writer.target(&key.0, key.1) {
            self.callers.answer(key, &Ok(target));
        }
        while let Some(key) = beyond(&self.limits, &serving.occupants(wanted)) {
            self.evict(&key, serving);
        }
    }

    /// An operator wants the memory of a model back; the next request loads it.
    pub(super) fn cool(&self, model: &str, serving: &mut Serving, wanted: &BTreeMap<VersionKey, WantedModel>) {
        let of_model = (model.to_owned(), 0)..=(model.to_owned(), u64::MAX);
        let keys: Vec<_> = serving.served.range(of_model).map(|(key, _)| key.clone()).collect();
        for key in keys.iter().filter(|key| wanted.contains_key(key)) {
            tracing::info!(model = key.0, version = key.1, "unloaded, because it was asked for");
            let reason = "unloaded by a call: the next request loads it";
            serving.cool(key, reason, self.callers.expected(&key.0));
        }
    }

    /// Whether a version can be loaded now; unloads what has to go for it.
    ///
    /// * `wanted`: what could be loaded again
    /// * `loading`: what is being loaded
    pub(super) fn may_begin(
        &mut self,
        version: &WantedModel,
        serving: &mut Serving,
        wanted: &BTreeMap<VersionKey, WantedModel>,
        loading: &[VersionKey],
        now: Instant,
    ) -> Begin {
        let (key, needed) = (version.key(), serving.size_of(version));
        if let Some(reason) = self.limits.too_large(needed) {
            return Begin::Never(reason);
        }
        loop {
            let new = loading.iter().filter(|key| !serving.served.contains_key(key)).cloned();
            let passing: Vec<_> = new.chain(serving.leaving()).map(|key| serving.known_size(&key, wanted)).collect();
            match room(&self.limits, needed, &serving.occupants(wanted), &passing) {
                Room::There => {
                    self.no_room.remove(&key);
                    return Begin::Now;
                }
                Room::Soon => {
                    self.no_room.remove(&key);
                    return Begin::NotYet;
                }
                Room::Taken => {
                    self.no_room.entry(key).or_insert(now);
                    return Begin::NotYet;
                }
                Room::Unload(other) => self.evict(&other, serving),
            }
        }
    }

    /// Why a version that was loaded cannot stay; `None` where it can.
    pub(super) fn too_large(&self, bytes: u64) -> Option<String> {
        self.limits.too_large(bytes)
    }

    fn evict(&self, key: &VersionKey, serving: &mut Serving) {
        let limits = self.limits.shown();
        tracing::info!(model = key.0, version = key.1, "unloaded, because it was not used for longest: {limits}");
        let reason = format!("unloaded to make room for another model: {limits}; the next request loads it");
        serving.evict(key, &reason, self.callers.expected(&key.0));
    }

    /// Gives up the loads that have waited for room for too long, and tells those who wait for them; which they were.
    pub(super) fn give_up(&mut self, now: Instant, serving: &mut Serving) -> Vec<VersionKey> {
        let patience = self.limits.patience;
        let late = self.no_room.extract_if(.., |_, since| now.saturating_duration_since(*since) >= patience);
        let late: Vec<_> = late.map(|(key, _)| key).collect();
        for key in &late {
            let reason = format!(
                "there is no room for it: {}, and requests use all that is loaded; raise that, or try again",
                self.limits.shown()
            );
            serving.writer.cool(&key.0, key.1, &reason, self.callers.expected(&key.0));
            let message = format!("model `{}` version {} cannot be loaded now: {reason}", key.0, key.1);
            tracing::warn!("{message}");
            let error = Error::new(ErrorKind::Unavailable, message).retry_after(Duration::from_secs(1));
            self.callers.answer(key, &Err(error));
        }
        late
    }

    /// Forgets what is not wanted any more.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(&VersionKey) -> bool) {
        self.no_room.retain(|key, _| is_wanted(key));
        self.callers.retain(is_wanted);
    }

    /// When to look again for room; `None` where nothing waits for it.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        (!self.no_room.is_empty()).then(|| now + LOOK_FOR_ROOM)
    }
}
