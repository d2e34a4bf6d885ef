//! One image that has its row, wherever that came from.

use std::time::{Duration, Instant};

use super::row_cache::Row;
use crate::{batching::Reply, telemetry::PhaseTimes};

/// An image that went through the line.
#[derive(Clone)]
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) preprocess: Duration,
    pub(super) from: RowFrom,
    /// How long what is kept was looked for, and kept where it was not there; `None` where nothing is.
    pub(super) looked: Option<Duration>,
    /// Its picture was decoded for another model of the same call, and counted there.
    pub(super) is_decoded_elsewhere: bool,
}

/// Where a row came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowFrom {
    /// The image's own run.
    Run,
    /// The run of another request that asked the same.
    SharedRun,
    /// What was kept.
    Cache,
}

impl Answered {
    /// A row that was kept: nothing was waited for.
    ///
    /// * `looked`: how long it took to find it
    pub(super) fn kept(row: &Row, looked: Duration) -> Self {
        let reply = Reply {
            logits: row.logits.clone(),
            features: row.features.clone(),
            map: None,
            queued: Duration::ZERO,
            inference: Duration::ZERO,
            fill: Duration::ZERO,
            batch_size: 0,
            run: None,
        };
        Self {
            reply,
            preprocess: Duration::ZERO,
            from: RowFrom::Cache,
            looked: Some(looked),
            is_decoded_elsewhere: false,
        }
    }

    /// The same, with how long it was looked for before it was run.
    pub(super) fn looked_for(self, looked: Option<Duration>) -> Self {
        let looked = looked.map(|looked| looked + self.looked.unwrap_or_default());
        Self { looked, ..self }
    }

    /// The row of a run that was under way already: of its time, what was waited for since `joined`.
    pub(super) fn shared(self, joined: Instant) -> Self {
        let waited = joined.elapsed();
        let inference = self.reply.inference.min(waited);
        let (queued, fill) = (self.reply.queued.min(waited - inference), self.reply.fill.min(inference));
        let reply = Reply { inference, queued, fill, ..self.reply };
        Self { reply, preprocess: Duration::ZERO, from: RowFrom::SharedRun, looked: None, is_decoded_elsewhere: false }
    }

    /// The row of a run that came after another one for the same image: its time counts, too.
    pub(super) fn after(&mut self, earlier: &Self) {
        let (reply, its) = (&mut self.reply, &earlier.reply);
        reply.queued += its.queued;
        reply.inference += its.inference;
        reply.fill += its.fill;
        self.looked = self.looked.into_iter().chain(earlier.looked).reduce(|one, other| one + other);
        if !self.is_decoded_elsewhere {
            self.preprocess += earlier.preprocess;
        }
    }

    /// What is worth keeping: nothing that is no number.
    pub(super) fn row(&self) -> Option<Row> {
        let Reply { logits, features, .. } = &self.reply;
        let is_finite = logits.iter().all(|value| value.is_finite());
        is_finite.then(|| Row { logits: logits.clone(), features: features.clone() })
    }

    /// Where its time went, so far.
    pub(super) fn phases(&self) -> PhaseTimes {
        let Self { reply, preprocess, .. } = self;
        let (input, infer) = (*preprocess + reply.fill, reply.inference.saturating_sub(reply.fill));
        PhaseTimes { queue: reply.queued, input, infer, ..PhaseTimes::default() }
    }
}
