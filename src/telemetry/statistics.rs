//! What a version of a model has done since it is served, as sums: requests, images, runs by their size, and where the time went.
//!
//! Prometheus has time series of the same, without a version and in buckets; some protocols ask for sums. Counting up costs a few
//! uncontended atomics a request and a run. Whoever reads while work goes on may find a run in one sum and not yet in the next.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// So many, and how long they took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimedCount {
    /// How many.
    pub count: u64,
    /// Together.
    pub time: Duration,
}

/// Where the time of one request, or of one run, went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// Waiting for a worker; zero of a run.
    pub queue: Duration,
    /// Making the network's input: of a run the filling of its batch, of a request the decoding of its pictures as well.
    pub input: Duration,
    /// The network.
    pub infer: Duration,
    /// Making answers of what the network gave.
    pub output: Duration,
}

/// All of it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunStatistics {
    /// Requests that were answered, from their head to their answer.
    pub success: TimedCount,
    /// Requests that were refused or failed, or whose client left.
    pub fail: TimedCount,
    /// The requests of `phases`.
    pub requests: u64,
    /// Of those, the ones for which nothing was run, since all that they asked was kept, and how long looking for it took.
    pub cache_hit: TimedCount,
    /// Those that looked for what is kept in vain, and how long looking and keeping took.
    pub cache_miss: TimedCount,
    /// The sums of all answered requests; of several images in one, the image counts that took longest.
    pub phases: PhaseTimes,
    /// When the network ran last, if it did.
    pub last: Option<SystemTime>,
    /// The runs that gave answers, by their number of images; sizes that never ran are left out.
    pub runs: Vec<RunsOfSize>,
}

/// The runs of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunsOfSize {
    /// The images of each.
    pub images: usize,
    /// How many.
    pub count: u64,
    /// Of all of them together.
    pub phases: PhaseTimes,
}

impl RunStatistics {
    /// Runs that gave answers.
    pub fn executions(&self) -> u64 {
        self.runs.iter().map(|runs| runs.count).sum()
    }

    /// Images of those.
    pub fn images(&self) -> u64 {
        self.runs.iter().map(|runs| runs.count * runs.images as u64).sum()
    }

    /// Requests for which something was run.
    pub fn computed(&self) -> u64 {
        self.requests.saturating_sub(self.cache_hit.count)
    }
}

/// The sums while they are counted up.
#[derive(Debug)]
pub(super) struct RunSums {
    success: Sum,
    fail: Sum,
    requests: AtomicU64,
    phases: Phases,
    cache_hit: Sum,
    cache_miss: Sum,
    /// Milliseconds since 1970; 0: never.
    last_ms: AtomicU64,
    /// The runs of one image, of two, and so on.
    runs: Box<[Runs]>,
}

#[derive(Debug, Default)]
struct Sum {
    count: AtomicU64,
    ns: AtomicU64,
}

#[derive(Debug, Default)]
struct Phases {
    queue: AtomicU64,
    input: AtomicU64,
    infer: AtomicU64,
    output: AtomicU64,
}

#[derive(Debug, Default)]
struct Runs {
    count: AtomicU64,
    phases: Phases,
}

impl RunSums {
    /// * `max_batch_size`: the most images of a run
    pub(super) fn new(max_batch_size: usize) -> Self {
        Self {
            success: Sum::default(),
            fail: Sum::default(),
            requests: AtomicU64::new(0),
            phases: Phases::default(),
            cache_hit: Sum::default(),
            cache_miss: Sum::default(),
            last_ms: AtomicU64::new(0),
            runs: (0..max_batch_size).map(|_| Runs::default()).collect(),
        }
    }

    pub(super) fn note_success(&self, time: Duration) {
        self.success.add(time);
    }

    pub(super) fn note_fail(&self, time: Duration) {
        self.fail.add(time);
    }

    /// One request that went through the line.
    pub(super) fn note_request(&self, times: PhaseTimes) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.phases.add(times);
    }

    /// One request that was answered of what is kept.
    pub(super) fn note_hit(&self, time: Duration) {
        self.cache_hit.add(time);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// One request that looked for what is kept in vain.
    pub(super) fn note_miss(&self, time: Duration) {
        self.cache_miss.add(time);
    }

    /// One run that gave answers, before they are given.
    pub(super) fn note_run(&self, images: usize, times: PhaseTimes) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(runs) = self.of_size(images) {
            runs.count.fetch_add(1, Ordering::Relaxed);
            runs.phases.add(times);
        }
    }

    /// How long giving them took.
    pub(super) fn note_answers(&self, images: usize, time: Duration) {
        if let Some(runs) = self.of_size(images) {
            add(&runs.phases.output, time);
        }
    }

    pub(super) fn read(&self) -> RunStatistics {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        let runs = self.runs.iter().enumerate().map(|(index, runs)| RunsOfSize {
            images: index + 1,
            count: runs.count.load(Ordering::Relaxed),
            phases: runs.phases.read(),
        });
        RunStatistics {
            success: self.success.read(),
            fail: self.fail.read(),
            requests: self.requests.load(Ordering::Relaxed),
            phases: self.phases.read(),
            cache_hit: self.cache_hit.read(),
            cache_miss: self.cache_miss.read(),
            last: (last_ms > 0).then(|| UNIX_EPOCH + Duration::from_millis(last_ms)),
            runs: runs.filter(|runs| runs.count > 0).collect(),
        }
    }

    fn of_size(&self, images: usize) -> Option<&Runs> {
        self.runs.get(images.checked_sub(1)?)
    }
}

impl Sum {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        add(&self.ns, time);
    }

    fn read(&self) -> TimedCount {
        TimedCount { count: self.count.load(Ordering::Relaxed), time: read(&self.ns) }
    }
}

impl Phases {
    fn add(&self, times: PhaseTimes) {
        let PhaseTimes { queue, input, infer, output } = times;
        let sums = [(&self.queue, queue), (&self.input, input), (&self.infer, infer), (&self.output, output)];
        sums.into_iter().filter(|(_, time)| !time.is_zero()).for_each(|(sum, time)| add(sum, time));
    }

    fn read(&self) -> PhaseTimes {
        PhaseTimes {
            queue: read(&self.queue),
            input: read(&self.input),
            infer: read(&self.infer),
            output: read(&self.output),
        }
    }
}

fn add(sum: &AtomicU64, time: Duration) {
    sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn read(sum: &AtomicU64) -> Duration {
    Duration::from_nanos(sum.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_summed_up_by_their_size() {
        let sums = RunSums::new(4);
        assert_eq!(sums.read(), RunStatistics::default());
        let ms = Duration::from_millis;
        let times = PhaseTimes { input: ms(1), infer: ms(10), ..PhaseTimes::default() };
        for images in [1, 4, 4] {
            sums.note_run(images, times);
            sums.note_answers(images, ms(2));
        }
        // More than a batch holds, or none, is no run.
        sums.note_run(5, times);
        sums.note_run(0, times);
        let read = sums.read();
        assert_eq!((read.executions(), read.images()), (3, 9));
        let phases = PhaseTimes { queue: ms(0), input: ms(2), infer: ms(20), output: ms(4) };
        assert_eq!(read.runs[1], RunsOfSize { images: 4, count: 2, phases });
        assert!(read.last.is_some());
    }

    #[test]
    fn requests_are_counted_by_how_they_ended() {
        let sums = RunSums::new(1);
        let ms = Duration::from_millis;
        sums.note_success(ms(7));
        sums.note_success(ms(8));
        sums.note_fail(ms(9));
        sums.note_request(PhaseTimes { queue: ms(1), input: ms(2), infer: ms(3), output: ms(4) });
        let read = sums.read();
        assert_eq!(read.success, TimedCount { count: 2, time: ms(15) });
        assert_eq!(read.fail, TimedCount { count: 1, time: ms(9) });
        assert_eq!((read.requests, read.phases.infer), (1, ms(3)));
        sums.note_hit(ms(1));
        sums.note_miss(ms(2));
        let read = sums.read();
        assert_eq!(
            (read.requests, read.computed()),
            (2, 1),
            "whoever found it kept waited in no queue, and ran nothing"
        );
        assert_eq!((read.cache_hit.time, read.cache_miss), (ms(1), TimedCount { count: 1, time: ms(2) }));
    }
}
