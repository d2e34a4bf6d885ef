//! What a run has counted so far. Pure: it is told of samples, and has no clock of its own.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::CreationError;
use tokio::time::Instant;

use super::{
    distribution::{Distribution, ms},
    reply::{Fate, LoadSample, NoReply, ReplyStatus, ServerReply},
    series::Series,
};

/// So many different texts of errors are kept apart.
const MOST_TEXTS: usize = 16;

/// The counts of a run.
#[derive(Clone, Debug)]
pub struct LoadTally {
    /// Samples that were due earlier are warm-up.
    pub(super) from: Instant,
    pub(super) deadline: Option<Duration>,
    /// All that count, sent or not.
    pub(super) offered: u64,
    pub(super) by_status: BTreeMap<ReplyStatus, u64>,
    /// The first words of each status that is no success.
    pub(super) words: BTreeMap<ReplyStatus, String>,
    /// What broke, by its text.
    pub(super) broken: BTreeMap<String, u64>,
    pub(super) gave_up: u64,
    pub(super) not_sent: u64,
    pub(super) in_deadline: u64,
    pub(super) answered: Distribution,
    pub(super) refused: Distribution,
    pub(super) expired: Distribution,
    /// From the moment at which a request was due to the one at which it was begun.
    pub(super) lag: Distribution,
    pub(super) phases: Phases,
    pub(super) batch_sizes: u64,
    pub(super) batches: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) series: Series,
    /// Answers that came in the window, whenever their requests were sent.
    pub(super) window: RateWindow,
    pub(super) last: Instant,
}

/// The answers of a span of time: what was sent before it and answered in it makes up for what was sent in it and answered later.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RateWindow {
    /// After the start.
    pub(super) until: Option<Duration>,
    pub(super) answered: u64,
    pub(super) in_deadline: u64,
}

/// What the server says of its own time.
#[derive(Clone, Debug)]
pub(super) struct Phases {
    pub(super) preprocess: Distribution,
    pub(super) queue: Distribution,
    pub(super) inference: Distribution,
    pub(super) total: Distribution,
    /// What the client waited beyond the server's total: network, the generator itself, a queue before the door.
    pub(super) outside: Distribution,
}

impl LoadTally {
    /// Of a run that counts from `from` on.
    ///
    /// * `until`: how long requests are sent, where that is known; rates are of that time
    ///
    /// # Errors
    /// Never: see [`Distribution::new`].
    pub fn new(from: Instant, until: Option<Duration>, deadline: Option<Duration>) -> Result<Self, CreationError> {
        let empty = Distribution::new()?;
        let phases = Phases {
            preprocess: empty.clone(),
            queue: empty.clone(),
            inference: empty.clone(),
            total: empty.clone(),
            outside: empty.clone(),
        };
        Ok(Self {
            from,
            deadline,
            offered: 0,
            by_status: BTreeMap::new(),
            words: BTreeMap::new(),
            broken: BTreeMap::new(),
            gave_up: 0,
            not_sent: 0,
            in_deadline: 0,
            answered: empty.clone(),
            refused: empty.clone(),
            expired: empty.clone(),
            lag: empty,
            phases,
            batch_sizes: 0,
            batches: 0,
            sent_bytes: 0,
            received_bytes: 0,
            series: Series::new()?,
            window: RateWindow { until, ..RateWindow::default() },
            last: from,
        })
    }

    /// Counts one sample.
    pub fn add(&mut self, sample: &LoadSample) {
        let latency = sample.ended.saturating_duration_since(sample.intended);
        self.count_in_window(sample, latency);
        if sample.intended < self.from {
            return;
        }
        self.offered += 1;
        self.last = self.last.max(sample.ended);
        if sample.reply != Err(NoReply::NotSent) {
            self.lag.record(sample.sent.saturating_duration_since(sample.intended));
        }
        let fate = match &sample.reply {
            Ok(reply) => {
                self.add_reply(reply, latency);
                reply.status.fate()
            }
            Err(why) => {
                match why {
                    NoReply::GaveUp(_) => self.gave_up += 1,
                    NoReply::NotSent => self.not_sent += 1,
                    NoReply::Broken(text) => {
                        let known = self.broken.contains_key(text) || self.broken.len() < MOST_TEXTS;
                        let text = if known { text.as_str() } else { "others" };
                        *self.broken.entry(text.to_owned()).or_default() += 1;
                    }
                }
                Fate::Failed
            }
        };
        self.series.record(sample.ended.saturating_duration_since(self.from), fate, latency);
    }

    /// What was offered so far, answered, and refused or lost.
    pub fn so_far(&self) -> (u64, u64, u64) {
        let answered = self.answered.count();
        (self.offered, answered, self.offered - answered)
    }

    /// The median latency so far, in milliseconds.
    pub fn median_ms(&self) -> f64 {
        self.answered.at(0.5)
    }

    fn is_in_deadline(&self, latency: Duration) -> bool {
        self.deadline.is_none_or(|deadline| latency <= deadline)
    }

    fn count_in_window(&mut self, sample: &LoadSample, latency: Duration) {
        let is_answer = sample.reply.as_ref().is_ok_and(|reply| reply.status.fate() == Fate::Answered);
        let Some(at) = sample.ended.checked_duration_since(self.from) else { return };
        if is_answer && self.window.until.is_none_or(|until| at <= until) {
            self.window.answered += 1;
            self.window.in_deadline += u64::from(self.is_in_deadline(latency));
        }
    }

    fn add_reply(&mut self, reply: &ServerReply, latency: Duration) {
        *self.by_status.entry(reply.status).or_default() += 1;
        self.sent_bytes += reply.sent_bytes as u64;
        self.received_bytes += reply.received_bytes as u64;
        if let Some(words) = &reply.words {
            self.words.entry(reply.status).or_insert_with(|| words.clone());
        }
        match reply.status.fate() {
            Fate::Answered => {
                self.answered.record(latency);
                self.in_deadline += u64::from(self.is_in_deadline(latency));
                self.add_phases(reply, latency);
            }
            Fate::Refused => self.refused.record(latency),
            Fate::Expired => self.expired.record(latency),
            Fate::Failed => {}
        }
    }

    fn add_phases(&mut self, reply: &ServerReply, latency: Duration) {
        if let Some(told) = reply.phases {
            let Phases { preprocess, queue, inference, total, outside } = &mut self.phases;
            let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
            let beyond = time(ms(latency) - told.total);
            for (phase, time) in [
                (preprocess, time(told.preprocess)),
                (queue, time(told.queue)),
                (inference, time(told.inference)),
                (total, time(told.total)),
                (outside, beyond),
            ] {
                phase.record(time);
            }
        }
        if let Some(size) = reply.batch_size {
            self.batches += 1;
            self.batch_sizes += u64::from(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn reply(status: u16) -> ServerReply {
        let words = (status != 200).then(|| format!("words of {status}"));
        let status = ReplyStatus::Http(status);
        ServerReply { status, sent_bytes: 100, received_bytes: 10, phases: None, batch_size: None, words }
    }

    fn sample(from: Instant, due: u32, ended: u32, reply: Result<ServerReply, NoReply>) -> LoadSample {
        LoadSample { intended: from + due * MS, sent: from + due * MS, ended: from + ended * MS, reply }
    }

    #[test]
    fn an_answer_after_its_deadline_is_no_goodput() {
        let from = Instant::now();
        let mut tally = LoadTally::new(from, Some(1000 * MS), Some(50 * MS)).expect("bounds");
        tally.add(&sample(from, 0, 50, Ok(reply(200))));
        tally.add(&sample(from, 10, 61, Ok(reply(200))));
        assert_eq!((tally.answered.count(), tally.in_deadline), (2, 1));
    }

    #[test]
    fn latency_counts_from_the_moment_that_a_request_was_due() {
        let from = Instant::now();
        let mut tally = LoadTally::new(from, None, None).expect("bounds");
        let late = LoadSample { sent: from + 30 * MS, ..sample(from, 0, 40, Ok(reply(200))) };
        tally.add(&late);
        assert_eq!((tally.answered.at(1.0), tally.lag.at(1.0)), (40.0, 30.0));
    }

    /// A server with one worker, which takes 1 ms for each request and stands still from 300 ms to 700 ms: when it is done with what came
    /// at `sent`, after what it was done with before.
    fn done(before: u32, sent: u32) -> u32 {
        let begun = before.max(sent);
        1 + if (300..700).contains(&begun) { 700 } else { begun }
    }

    #[test]
    fn a_stall_is_in_the_latency_of_every_request_that_was_due_in_it_and_a_closed_loop_sees_it_once() {
        let from = Instant::now();
        let quantiles = |closed: bool| {
            let mut tally = LoadTally::new(from, None, None).expect("bounds");
            let (mut before, mut due) = (0, 0);
            while due < 1000 {
                before = done(before, due);
                tally.add(&sample(from, due, before, Ok(reply(200))));
                due = if closed { before } else { due + 10 };
            }
            tally.answered.quantiles().expect("answers")
        };
        let (open, closed) = (quantiles(false), quantiles(true));
        // 40 of 100 were due while it stood still, and waited up to 400 ms.
        assert!(open.p50 < 2.0 && open.p90 > 250.0 && open.max == 401.0, "{open:?}");
        assert!(closed.count == 600 && closed.p99 == 1.0 && closed.max == 401.0, "{closed:?}");
    }

    #[test]
    fn refusals_have_times_of_their_own_and_every_request_is_counted() {
        let from = Instant::now();
        let mut tally = LoadTally::new(from, None, None).expect("bounds");
        tally.add(&sample(from, 0, 100, Ok(reply(200))));
        tally.add(&sample(from, 0, 2, Ok(reply(429))));
        tally.add(&sample(from, 0, 70, Ok(reply(504))));
        tally.add(&sample(from, 0, 1, Ok(reply(500))));
        tally.add(&sample(from, 0, 1, Err(NoReply::Broken("reset".to_owned()))));
        tally.add(&sample(from, 0, 1, Err(NoReply::GaveUp(MS))));
        tally.add(&sample(from, 0, 0, Err(NoReply::NotSent)));
        assert_eq!((tally.offered, tally.answered.count()), (7, 1));
        assert_eq!((tally.refused.at(1.0), tally.expired.at(1.0)), (2.0, 70.0));
        assert_eq!((tally.gave_up, tally.not_sent, tally.broken["reset"]), (1, 1, 1));
        assert_eq!(tally.words[&ReplyStatus::Http(429)], "words of 429");
        assert_eq!(tally.lag.count(), 6);
    }

    #[test]
    fn warm_up_counts_for_nothing_but_the_rate_of_answers_in_the_window() {
        let from = Instant::now() + 1000 * MS;
        let mut tally = LoadTally::new(from, Some(100 * MS), None).expect("bounds");
        let early = |ended: u32| LoadSample {
            intended: from - 20 * MS,
            sent: from - 20 * MS,
            ended: from - 20 * MS + ended * MS,
            reply: Ok(reply(200)),
        };
        tally.add(&early(10));
        tally.add(&early(50));
        tally.add(&sample(from, 90, 120, Ok(reply(200))));
        assert_eq!((tally.offered, tally.answered.count(), tally.window.answered), (1, 1, 1));
    }

    #[test]
    fn texts_of_errors_are_bounded() {
        let from = Instant::now();
        let mut tally = LoadTally::new(from, None, None).expect("bounds");
        for number in 0..100 {
            tally.add(&sample(from, 0, 1, Err(NoReply::Broken(format!("error {number}")))));
        }
        assert_eq!((tally.broken.len(), tally.broken["others"]), (MOST_TEXTS + 1, 84));
    }
}
