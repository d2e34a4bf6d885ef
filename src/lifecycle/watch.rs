//! Watching whether served models are as fast as they were measured, on as many cores. Time is given: the control task looks every few seconds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    core_watch::{CoreChange, CoreWatch},
    wanted::{VersionKey, WantedModel},
};
use crate::{
    batching::{FinishedRun, WorkerObserver},
    model::LoadedModel,
    tune::{PaceJudge, WatchedStretch},
};

/// The models that are watched: those that can be loaded again.
pub(super) struct Watches {
    interval: Duration,
    next_look: Instant,
    cores: CoreWatch,
    /// Without a watch where no pace was measured.
    models: BTreeMap<VersionKey, (WantedModel, Option<Watch>)>,
}

impl Watches {
    /// * `interval`: from one look to the next
    /// * `cores`: that the process may use
    pub(super) fn new(interval: Duration, cores: usize) -> Self {
        Self { interval, next_look: Instant::now(), cores: CoreWatch::new(cores), models: BTreeMap::new() }
    }

    /// Watches a model that is about to be served.
    ///
    /// * `wanted`: what it was loaded from
    /// * `anew`: it was measured anew and takes its own place: what was learned there is kept
    pub(super) fn begin(&mut self, wanted: &WantedModel, loaded: &LoadedModel, anew: bool) {
        let before = self.models.remove(&wanted.key()).filter(|_| anew);
        let watch = loaded.pace.as_ref().map(|pace| {
            let mut judge = pace.clone();
            if let Some((_, Some(before))) = before {
                judge = before.judge;
                judge.measured_again(pace.measured());
            }
            Watch::new(judge, loaded.model.info.instances, Instant::now())
        });
        if let Some(watch) = &watch {
            loaded.model.batcher.observe(Box::new(Tallying(watch.tally.clone())));
        }
        self.models.insert(wanted.key(), (wanted.clone(), watch));
    }

    pub(super) fn end(&mut self, key: &VersionKey) {
        self.models.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.models.clear();
    }

    /// A model could not be measured anew: what was measured before stands.
    pub(super) fn keep_measured(&mut self, key: &VersionKey) {
        if let Some((_, Some(watch))) = self.models.get_mut(key) {
            watch.judge.measured_again(watch.judge.measured());
        }
    }

    /// When there is something to look at again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.models.is_empty()).then_some(self.next_look)
    }

    /// The cores that the process may use; a change counts once it has stayed for a while.
    pub(super) fn cores(&self) -> usize {
        self.cores.known()
    }

    /// The models that are to be measured anew, if it is time to look.
    ///
    /// * `cores`: that the process may use now
    /// * `is_under_way`: they are loaded already
    pub(super) fn look(
        &mut self,
        now: Instant,
        cores: impl FnOnce() -> usize,
        is_under_way: impl Fn(&VersionKey) -> bool,
    ) -> Vec<WantedModel> {
        if now < self.next_look {
            return Vec::new();
        }
        self.next_look = now + self.interval;
        if let Some(CoreChange { from, to }) = self.cores.look(cores(), now) {
            tracing::info!(
                "the process may use {to} cores now instead of {from}: every model is measured anew for them, beside what it serves"
            );
            return self.models.values().map(|(wanted, _)| wanted.clone()).collect();
        }
        let mut off = Vec::new();
        for (key, (wanted, watch)) in &mut self.models {
            let Some(watch) = watch else { continue };
            let look = watch.look(now);
            if let Some(OffPace { served, measured }) = look.filter(|_| !is_under_way(key)) {
                tracing::info!(
                    model = key.0,
                    version = key.1,
                    "it computes {served:.1} images/s where {measured:.1} were measured: measured anew, beside what it serves"
                );
                off.push(wanted.clone());
            }
        }
        off
    }
}

/// What the workers of a model have done so far. They write, on their threads; the control task reads.
#[derive(Debug, Default)]
struct Tally {
    images: AtomicU64,
    busy_ns: AtomicU64,
}

/// The tally as one of the observers of a model's workers.
struct Tallying(Arc<Tally>);

impl WorkerObserver for Tallying {
    fn ran(&self, run: &FinishedRun) {
        self.0.images.fetch_add(run.images as u64, Ordering::Relaxed);
        self.0.busy_ns.fetch_add(u64::try_from(run.time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// One served model under watch.
struct Watch {
    judge: PaceJudge,
    tally: Arc<Tally>,
    workers: usize,
    since: Instant,
    /// The tally at that time.
    images: u64,
    busy_ns: u64,
}

/// A model that is served at another speed than it was measured, in images a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct OffPace {
    served: f64,
    measured: f64,
}

impl Watch {
    /// * `workers`: how many threads run the model side by side
    fn new(judge: PaceJudge, workers: usize, now: Instant) -> Self {
        Self { judge, tally: Arc::default(), workers: workers.max(1), since: now, images: 0, busy_ns: 0 }
    }

    /// Looks at what was done since the last look; something if it is time to measure again.
    fn look(&mut self, now: Instant) -> Option<OffPace> {
        let stretch = self.stretch(now);
        let is_due = self.judge.observe(stretch);
        is_due.then(|| OffPace { served: stretch.speed(), measured: self.judge.measured() })
    }

    fn stretch(&mut self, now: Instant) -> WatchedStretch {
        let length = now.saturating_duration_since(self.since);
        let images = self.tally.images.load(Ordering::Relaxed);
        let busy_ns = self.tally.busy_ns.load(Ordering::Relaxed);
        let busy = Duration::from_nanos(busy_ns.wrapping_sub(self.busy_ns));
        let of_all = length.as_secs_f64() * self.workers as f64;
        let stretch = WatchedStretch {
            length,
            images: images.wrapping_sub(self.images),
            busy: if of_all > 0.0 { busy.as_secs_f64() / of_all } else { 0.0 },
        };
        (self.since, self.images, self.busy_ns) = (now, images, busy_ns);
        stretch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::wanted::Source;

    /// Looks every five seconds, after runs of two workers that take a share of their time.
    fn due_after(watch: &mut Watch, start: Instant, images_a_second: u64, busy: f64) -> Option<(u64, OffPace)> {
        let tallying = Tallying(watch.tally.clone());
        (1..=30).find_map(|look| {
            for _ in 0..5 * images_a_second / 10 {
                let time = Duration::from_secs_f64(2.0 * busy * 10.0 / images_a_second as f64);
                tallying.ran(&FinishedRun { images: 10, shadows: 0, time, fill: Duration::ZERO, succeeded: true });
            }
            watch.look(start + Duration::from_secs(5 * look)).map(|off| (5 * look, off))
        })
    }

    #[test]
    fn a_minute_at_another_speed_is_told_with_both_speeds() {
        let start = Instant::now();
        let mut watch = Watch::new(PaceJudge::new(70.0), 2, start);
        let (seconds, off) = due_after(&mut watch, start, 180, 1.0).expect("it is due");
        assert_eq!((seconds, off.measured), (60, 70.0));
        assert!((off.served - 180.0).abs() < 1.0, "{off:?}");
    }

    #[test]
    fn what_is_as_fast_as_measured_or_has_little_to_do_is_left_alone() {
        for (speed, busy) in [(70, 1.0), (20, 0.3)] {
            let start = Instant::now();
            assert_eq!(due_after(&mut Watch::new(PaceJudge::new(70.0), 2, start), start, speed, busy), None, "{speed}");
        }
    }

    #[test]
    fn when_the_cores_have_changed_for_good_every_model_is_measured_anew() {
        let (interval, start) = (Duration::from_secs(5), Instant::now());
        let mut watches = Watches::new(interval, 4);
        let wanted = WantedModel { name: "net".into(), version: 1, source: Source::Broken(String::new()) };
        watches.models.insert(wanted.key(), (wanted, None));
        let later = |seconds| start + Duration::from_secs(seconds);

        let mut look = |at, cores| watches.look(later(at), || cores, |_| false).len();

        assert_eq!(
            [(6, 4), (12, 2), (14, 2), (18, 2), (24, 2), (30, 2)].map(|(at, cores)| look(at, cores)),
            [0, 0, 0, 0, 1, 0]
        );
        assert_eq!(watches.cores(), 2);
    }
}
