//! A run: sends what the plan says when it says so, waits for every answer, and counts. The only clock of the room is here and in
//! `pacer`; whom it asks is given.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::CreationError;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    arrivals::ArrivalTimes,
    pacer,
    plan::{LoadPlan, Pace},
    reply::{LoadSample, NoReply, ServerReply},
    summary::RunSummary,
    tally::LoadTally,
};

/// A client whose connection breaks at once would otherwise ask thousands of times a second.
const AFTER_A_BREAK: Duration = Duration::from_millis(20);

/// Whoever can be asked.
pub trait Ask: Send + Sync + 'static {
    /// Sends one request and waits for its answer.
    ///
    /// * `turn`: the number of the request; which picture it has follows from it
    /// * `place`: the number of the client; clients of one number never ask at the same time in a closed loop
    fn ask(&self, turn: u64, place: usize) -> impl Future<Output = Result<ServerReply, NoReply>> + Send;
}

/// One run, from its start on.
#[derive(Debug)]
pub struct LoadRun {
    plan: LoadPlan,
    start: Instant,
    tally: Mutex<LoadTally>,
    /// Requests that count and were begun.
    begun: AtomicU64,
}

impl LoadRun {
    /// Begins now.
    ///
    /// # Errors
    /// Never: see `LoadTally::new`.
    pub fn begin(plan: LoadPlan) -> Result<Arc<Self>, CreationError> {
        let start = Instant::now();
        let tally = Mutex::new(LoadTally::new(start + plan.warm_up, plan.duration, plan.deadline)?);
        Ok(Arc::new(Self { plan, start, tally, begun: AtomicU64::new(0) }))
    }

    /// What was counted so far. Nobody is to hold it for long.
    pub fn so_far(&self) -> MutexGuard<'_, LoadTally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the run is: 0 to 1.
    pub fn progress(&self) -> f64 {
        let of = |done: f64, all: f64| if all > 0.0 { (done / all).min(1.0) } else { 0.0 };
        let since = self.start.elapsed().as_secs_f64();
        let warm_up = self.plan.warm_up.as_secs_f64();
        let by_time = self.plan.duration.map_or(0.0, |duration| of(since, warm_up + duration.as_secs_f64()));
        let by_count =
            self.plan.requests.map_or(0.0, |requests| of(self.begun.load(Ordering::Relaxed) as f64, requests as f64));
        by_time.max(by_count)
    }

    /// Sends everything and waits for the answers. At `stop` nothing more is sent, and nothing waited for.
    pub async fn drive(self: Arc<Self>, whom: Arc<impl Ask>, stop: CancellationToken) -> RunSummary {
        match self.plan.pace {
            Pace::Closed { clients } => self.closed(clients, whom, &stop).await,
            Pace::Open { rate, arrivals, seed, most_outstanding } => {
                let end = self.plan.duration.map(|duration| self.plan.warm_up + duration);
                let moments = ArrivalTimes::new(arrivals, rate, seed);
                let moments = moments.take_while(move |moment| end.is_none_or(|end| *moment < end));
                let (due, thread) = pacer::start(moments, self.start);
                self.open(due, most_outstanding, whom, &stop).await;
                // It ends when nobody listens any more; a panic of it ended the moments.
                let _ = thread.await;
            }
        }
        let ended = self.start.elapsed().saturating_sub(self.plan.warm_up);
        RunSummary::new(&self.plan, &self.so_far(), ended, stop.is_cancelled())
    }

    async fn closed(self: &Arc<Self>, clients: usize, whom: Arc<impl Ask>, stop: &CancellationToken) {
        let tasks = TaskTracker::new();
        let turns = Arc::new(AtomicU64::new(0));
        for place in 0..clients {
            let (run, whom, stop, turns) = (self.clone(), whom.clone(), stop.clone(), turns.clone());
            tasks.spawn(async move {
                let ask = async {
                    loop {
                        let now = Instant::now();
                        if !run.may_send(now) {
                            return;
                        }
                        let turn = turns.fetch_add(1, Ordering::Relaxed);
                        if run.ask(&*whom, turn, place, now).await {
                            sleep(AFTER_A_BREAK).await;
                        }
                    }
                };
                tokio::select! { () = ask => {}, () = stop.cancelled() => {} }
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    /// * `due`: the moment of each request, told at that moment
    async fn open(
        self: &Arc<Self>,
        mut due: mpsc::Receiver<Instant>,
        most_outstanding: usize,
        whom: Arc<impl Ask>,
        stop: &CancellationToken,
    ) {
        let tasks = TaskTracker::new();
        let room = Arc::new(Semaphore::new(most_outstanding));
        for turn in 0.. {
            let moment = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                moment = due.recv() => moment,
            };
            let Some(moment) = moment.filter(|moment| self.may_send(*moment)) else { break };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                self.count(moment, moment, Err(NoReply::NotSent));
                continue;
            };
            let (run, whom, stop) = (self.clone(), whom.clone(), stop.clone());
            tasks.spawn(async move {
                let place = usize::try_from(turn).unwrap_or(0);
                tokio::select! { _ = run.ask(&*whom, turn, place, moment) => {}, () = stop.cancelled() => {} }
                drop(permit);
            });
        }
        // The pacer ends now, not when its next moment has come.
        drop(due);
        tasks.close();
        tasks.wait().await;
    }

    /// Whether a request that is due at `moment` is still to be sent; if it counts, it is counted as begun.
    fn may_send(&self, moment: Instant) -> bool {
        let since = moment.saturating_duration_since(self.start);
        if self.plan.duration.is_some_and(|duration| since >= self.plan.warm_up + duration) {
            return false;
        }
        if since < self.plan.warm_up {
            return true;
        }
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        self.plan.requests.is_none_or(|requests| begun < requests)
    }

    /// Asks and counts; whether the connection broke.
    async fn ask(&self, whom: &impl Ask, turn: u64, place: usize, intended: Instant) -> bool {
        let sent = Instant::now();
        let reply = match timeout(self.plan.patience, whom.ask(turn, place)).await {
            Ok(reply) => reply,
            Err(_) => Err(NoReply::GaveUp(self.plan.patience)),
        };
        let broke = matches!(reply, Err(NoReply::Broken(_)));
        self.count(intended, sent, reply);
        broke
    }

    fn count(&self, intended: Instant, sent: Instant, reply: Result<ServerReply, NoReply>) {
        let sample = LoadSample { intended, sent, ended: Instant::now(), reply };
        self.so_far().add(&sample);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::task::yield_now;

    use super::*;
    use crate::loadgen::{arrivals::Arrivals, reply::ReplyStatus};

    const MS: Duration = Duration::from_millis(1);

    fn plan(pace: Pace) -> LoadPlan {
        LoadPlan {
            pace,
            warm_up: Duration::ZERO,
            duration: Some(60_000 * MS),
            requests: None,
            patience: 60_000 * MS,
            deadline: None,
            images: 1,
        }
    }

    fn open_pace(most_outstanding: usize) -> Pace {
        Pace::Open { rate: 100.0, arrivals: Arrivals::Even, seed: 1, most_outstanding }
    }

    /// A run that began a second ago.
    fn begun(plan: LoadPlan) -> Arc<LoadRun> {
        let start = Instant::now() - 1000 * MS;
        let tally = Mutex::new(LoadTally::new(start, plan.duration, plan.deadline).expect("bounds"));
        Arc::new(LoadRun { plan, start, tally, begun: AtomicU64::new(0) })
    }

    fn summary(run: &LoadRun) -> RunSummary {
        RunSummary::new(&run.plan, &run.so_far(), run.start.elapsed(), false)
    }

    /// A server that answers when it is let, and counts who is inside.
    struct Gated {
        gate: Semaphore,
        inside: AtomicUsize,
        most: AtomicUsize,
    }

    impl Gated {
        /// * `permits`: so many requests are answered before the gate closes
        fn new(permits: usize) -> Arc<Self> {
            Arc::new(Self { gate: Semaphore::new(permits), inside: AtomicUsize::new(0), most: AtomicUsize::new(0) })
        }
    }

    impl Ask for Gated {
        async fn ask(&self, _: u64, _: usize) -> Result<ServerReply, NoReply> {
            let inside = self.inside.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(inside, Ordering::Relaxed);
            self.gate.acquire().await.expect("it is never closed").forget();
            self.inside.fetch_sub(1, Ordering::Relaxed);
            let status = ReplyStatus::Http(200);
            Ok(ServerReply { status, sent_bytes: 1, received_bytes: 1, phases: None, batch_size: None, words: None })
        }
    }

    /// The moments of a run, all told at once.
    async fn told(run: &LoadRun, each: Duration, count: u32) -> mpsc::Receiver<Instant> {
        let (due, told) = mpsc::channel(count as usize);
        for step in 0..count {
            due.send(run.start + step * each).await.expect("it fits");
        }
        told
    }

    #[tokio::test]
    async fn what_is_sent_late_is_late_in_every_latency_and_said() {
        let run = begun(plan(open_pace(1000)));
        // Due over the last second, and sent now.
        let due = told(&run, 10 * MS, 100).await;
        run.open(due, 1000, Gated::new(1000), &CancellationToken::new()).await;
        let summary = summary(&run);
        let (latency, lag) = (summary.latency_ms.expect("answers"), summary.send_lag_ms.expect("an open loop"));
        assert_eq!((summary.requests, summary.answered), (100, 100));
        assert!(latency.max >= 1000.0 && latency.p50 >= 500.0 && latency.min >= 10.0, "{latency:?}");
        assert!(lag.p99 >= 980.0 && lag.min >= 10.0, "{lag:?}");
        assert!(
            summary.warnings.iter().any(|warning| warning.contains("the generator itself was late")),
            "{summary:?}"
        );
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_never_dropped() {
        let (run, whom) = (begun(plan(open_pace(5))), Gated::new(0));
        let due = told(&run, MS, 20).await;
        let open_the_gate = async {
            while run.so_far().so_far().0 < 15 || whom.inside.load(Ordering::Relaxed) < 5 {
                yield_now().await;
            }
            whom.gate.add_permits(5);
        };
        let stop = CancellationToken::new();
        tokio::join!(run.open(due, 5, whom.clone(), &stop), open_the_gate);
        let summary = summary(&run);
        assert_eq!((summary.requests, summary.answered, summary.not_sent), (20, 5, 15));
        assert_eq!(whom.most.load(Ordering::Relaxed), 5);
        assert!(summary.warnings.iter().any(|warning| warning.contains("15 requests were not sent")), "{summary:?}");
    }

    #[tokio::test]
    async fn moments_after_the_end_are_not_asked_for() {
        let run = begun(LoadPlan { duration: Some(50 * MS), ..plan(open_pace(100)) });
        let due = told(&run, 10 * MS, 20).await;
        run.open(due, 100, Gated::new(1000), &CancellationToken::new()).await;
        assert_eq!(run.so_far().so_far().0, 5);
    }

    #[tokio::test]
    async fn the_pacer_tells_every_moment_and_not_before_its_time() {
        let start = Instant::now();
        let (mut due, thread) = pacer::start((0..5).map(|step| step * MS), start);
        for step in 0..5 {
            assert_eq!(due.recv().await, Some(start + step * MS));
            assert!(start.elapsed() >= step * MS);
        }
        assert_eq!(due.recv().await, None);
        thread.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_pacer_that_nobody_listens_to_ends() {
        let (due, thread) = pacer::start(std::iter::once(Duration::from_secs(100_000)), Instant::now());
        drop(due);
        thread.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_closed_loop_has_one_request_of_each_client_and_ends_with_their_number() {
        let whom = Gated::new(1000);
        let plan = LoadPlan { duration: None, requests: Some(20), ..plan(Pace::Closed { clients: 3 }) };
        let run = LoadRun::begin(plan).expect("bounds");
        let summary = run.drive(whom.clone(), CancellationToken::new()).await;
        assert_eq!((summary.requests, summary.answered, summary.send_lag_ms), (20, 20, None));
        assert!(whom.most.load(Ordering::Relaxed) <= 3);
    }

    #[tokio::test]
    async fn a_stop_ends_a_run_with_what_there_is() {
        // The eleventh is never answered.
        let whom = Gated::new(10);
        let run = LoadRun::begin(plan(Pace::Closed { clients: 2 })).expect("bounds");
        let stop = CancellationToken::new();
        let stopping = async {
            while run.so_far().so_far().1 < 10 {
                yield_now().await;
            }
            stop.cancel();
        };
        let (summary, ()) = tokio::join!(run.clone().drive(whom, stop.clone()), stopping);
        assert!(summary.interrupted, "{summary:?}");
        assert_eq!((summary.requests, summary.answered), (10, 10));
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_is_given_up() {
        let plan = LoadPlan { requests: Some(3), patience: MS, ..plan(Pace::Closed { clients: 1 }) };
        let summary = LoadRun::begin(plan).expect("bounds").drive(Gated::new(0), CancellationToken::new()).await;
        assert_eq!((summary.requests, summary.gave_up, summary.answered), (3, 3, 0));
    }
}
