//! What a run came to, as programs and people read it. Pure.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    arrivals::Arrivals,
    distribution::{Distribution, Quantiles},
    plan::{LoadPlan, Pace},
    reply::Fate,
    series::Moment,
    tally::LoadTally,
};

/// Above it, 99 of 100 requests were not sent when they were due, and the generator is part of what was measured.
const LAG_LIMIT_MS: f64 = 1.0;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// How requests followed each other.
    #[serde(flatten)]
    pub pace: PaceSummary,
    /// How long requests were sent that count.
    pub seconds: f64,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// Requests that count; those with no fate below were cut by the interruption.
    pub requests: u64,
    /// With what was asked for.
    pub answered: u64,
    /// Of them, in the deadline; all of them where there is none.
    pub in_deadline: u64,
    /// 429 and 503, RESOURCE_EXHAUSTED and UNAVAILABLE.
    pub refused: u64,
    /// 504, DEADLINE_EXCEEDED.
    pub expired: u64,
    /// Every other answer.
    pub failed: u64,
    /// Connections that were not made or broke.
    pub broken: u64,
    /// No answer as long as the generator waits.
    pub gave_up: u64,
    /// Not sent, because too many were unanswered.
    pub not_sent: u64,
    /// Answers by status.
    pub statuses: BTreeMap<String, u64>,
    /// What the server said first with each status that is no success.
    pub messages: BTreeMap<String, String>,
    /// Why connections broke.
    pub errors: BTreeMap<String, u64>,
    /// Requests a second that were offered.
    pub offered_per_second: f64,
    /// Answers a second.
    pub requests_per_second: f64,
    /// The same, in pictures.
    pub images_per_second: f64,
    /// Answers in their deadline a second.
    pub goodput_per_second: f64,
    /// Of answers: in an open loop from the moment that a request was due.
    pub latency_ms: Option<Quantiles>,
    /// Of refusals.
    pub refusal_ms: Option<Quantiles>,
    /// Of what the server gave up for its deadline.
    pub expired_ms: Option<Quantiles>,
    /// How late requests were begun; in an open loop only.
    pub send_lag_ms: Option<Quantiles>,
    /// Where the server says that the time went.
    pub server_ms: Option<PhaseQuantiles>,
    /// How many pictures ran together, on average over the answers.
    pub batch_size_mean: Option<f64>,
    /// Bytes of bodies.
    pub sent_bytes: u64,
    /// The same of the answers.
    pub received_bytes: u64,
    /// Share of answers, and the milliseconds that they are not longer than.
    pub curve: Vec<(f64, f64)>,
    /// In intervals.
    pub over_time: Vec<Moment>,
    /// What makes the figures worth less.
    pub warnings: Vec<String>,
}

/// How requests followed each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "loop", rename_all = "snake_case")]
pub enum PaceSummary {
    /// Clients that wait for their answers.
    Closed {
        /// How many.
        clients: usize,
    },
    /// Requests that come when they come.
    Open {
        /// A second.
        rate: f64,
        /// How they lie.
        arrivals: Arrivals,
        /// Of the random moments.
        seed: u64,
    },
}

/// What the server says of its own time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PhaseQuantiles {
    /// Decoding, resizing, cropping.
    pub preprocess: Option<Quantiles>,
    /// Waiting for a session.
    pub queue: Option<Quantiles>,
    /// The network's run.
    pub inference: Option<Quantiles>,
    /// From arrival to answer.
    pub total: Option<Quantiles>,
    /// What the client waited beyond that.
    pub outside: Option<Quantiles>,
}

impl RunSummary {
    /// Of a run that `ended` so long after its warm-up.
    ///
    /// * `interrupted`: before its time
    pub fn new(plan: &LoadPlan, tally: &LoadTally, ended: Duration, interrupted: bool) -> Self {
        let count = |fate: Fate| -> u64 {
            tally.by_status.iter().filter(|(status, _)| status.fate() == fate).map(|(_, count)| count).sum()
        };
        let last = tally.last.saturating_duration_since(tally.from);
        // Where the number of requests ends a run, the last answer does.
        let window = match tally.window.until {
            // The last answer may come earlier than the end of the sending.
            Some(until) if !interrupted && plan.requests.is_none() => until,
            Some(until) => until.min(ended),
            None => last,
        };
        let seconds = window.as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let requests_per_second = rate(tally.window.answered);
        let phases = &tally.phases;
        let lag = match plan.pace {
            Pace::Open { .. } => tally.lag.quantiles(),
            Pace::Closed { .. } => None,
        };
        let mut summary = Self {
            pace: plan.pace.into(),
            seconds,
            interrupted,
            requests: tally.offered,
            answered: tally.answered.count(),
            in_deadline: tally.in_deadline,
            refused: count(Fate::Refused),
            expired: count(Fate::Expired),
            failed: count(Fate::Failed),
            broken: tally.broken.values().sum(),
            gave_up: tally.gave_up,
            not_sent: tally.not_sent,
            statuses: tally.by_status.iter().map(|(status, count)| (status.to_string(), *count)).collect(),
            messages: tally.words.iter().map(|(status, words)| (status.to_string(), words.clone())).collect(),
            errors: tally.broken.clone(),
            offered_per_second: rate(tally.offered),
            requests_per_second,
            images_per_second: requests_per_second * plan.images as f64,
            goodput_per_second: rate(tally.window.in_deadline),
            latency_ms: tally.answered.quantiles(),
            refusal_ms: tally.refused.quantiles(),
            expired_ms: tally.expired.quantiles(),
            send_lag_ms: lag,
            server_ms: (phases.total.count() > 0).then(|| PhaseQuantiles {
                preprocess: phases.preprocess.quantiles(),
                queue: phases.queue.quantiles(),
                inference: phases.inference.quantiles(),
                total: phases.total.quantiles(),
                outside: phases.outside.quantiles(),
            }),
            batch_size_mean: (tally.batches > 0).then(|| tally.batch_sizes as f64 / tally.batches as f64),
            sent_bytes: tally.sent_bytes,
            received_bytes: tally.received_bytes,
            curve: tally.answered.curve(),
            over_time: tally.series.moments(window),
            warnings: Vec::new(),
        };
        summary.warnings = summary.doubts(&tally.answered, plan);
        summary
    }

    /// What makes the figures worth less, in words.
    fn doubts(&self, answered: &Distribution, plan: &LoadPlan) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(lag) = &self.send_lag_ms
            && lag.p99 > LAG_LIMIT_MS
        {
            doubts.push(format!(
                "the generator itself was late: 99 % of the requests were begun within {:.1} ms of the moment that they were due, which is \
                 part of their latency; give it more cores, or run it on another machine",
                lag.p99
            ));
        }
        if self.not_sent > 0 {
            let most = match plan.pace {
                Pace::Open { most_outstanding, .. } => most_outstanding,
                Pace::Closed { clients } => clients,
            };
            doubts.push(format!(
                "{} requests were not sent because {most} were unanswered; they count as errors (--max-outstanding)",
                self.not_sent
            ));
        }
        if self.broken > 0 {
            doubts.push(format!("{} requests had no answer because a connection was not made or broke", self.broken));
        }
        if self.gave_up > 0 {
            let patience = plan.patience.as_secs_f64();
            doubts.push(format!("{} requests had no answer in {patience} s (--give-up-ms)", self.gave_up));
        }
        let count = answered.count();
        if (1..1000).contains(&count) {
            let (last, rank) = if count < 100 { ("p99", 100) } else { ("p99.9", 1000) };
            doubts.push(format!("{count} answers are too few for {last}, which is the time of one in {rank}"));
        }
        doubts
    }
}

impl From<Pace> for PaceSummary {
    fn from(pace: Pace) -> Self {
        match pace {
            Pace::Closed { clients } => Self::Closed { clients },
            Pace::Open { rate, arrivals, seed, .. } => Self::Open { rate, arrivals, seed },
        }
    }
}
