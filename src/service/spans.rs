//! What the line tells of a request whose way is recorded. Where it is not, every span is `None` and nothing here costs anything.

use std::time::{Duration, Instant};

use super::{
    answered::{Answered, RowFrom},
    served::Served,
};
use crate::{
    batching::Reply,
    telemetry::{OpenSpan, RunKey},
};

/// A picture was prepared.
///
/// * `time`: that it took, which ends now; the span began with the wait for a thread
/// * `is_shared`: it was done for another model of the same call
pub(super) fn prepared(span: Option<OpenSpan>, time: Duration, is_shared: bool) {
    let Some(span) = span else { return };
    let span = if is_shared { span.with("resnetd.shared", true) } else { since(span, time) };
    span.end();
}

fn since(span: OpenSpan, time: Duration) -> OpenSpan {
    let now = Instant::now();
    span.since(now.checked_sub(time).unwrap_or(now))
}

/// An image that waited for a worker was run.
///
/// * `waiting`: began when it was given to the queue
pub(super) fn ran(waiting: Option<OpenSpan>, served: &Served, reply: &Reply) {
    let Some(waiting) = waiting else { return };
    let taken = waiting.start() + reply.queued;
    let running = waiting.request().phase("inference").since(taken);
    waiting.end_at(taken);
    in_run(running, served, reply);
}

fn in_run(span: OpenSpan, served: &Served, reply: &Reply) {
    let (model, version) = (&served.model.name, served.model.version);
    let span = span
        .with("resnetd.model", model.to_string())
        .with("resnetd.version", i64::try_from(version).unwrap_or(i64::MAX))
        .with("resnetd.batch_size", i64::try_from(reply.batch_size).unwrap_or(i64::MAX));
    match reply.run {
        Some(run) => {
            let key = RunKey { served: served.number, run };
            span.end_in_run(key, (model, version), reply.batch_size, reply.inference);
        }
        None => span.end(),
    }
}

/// A row was looked for among those that are kept or under way.
pub(super) fn looked_up(span: Option<OpenSpan>, served: &Served, answered: &Answered) {
    let Some(span) = span else { return };
    match answered.from {
        RowFrom::Cache => span.end(),
        RowFrom::SharedRun => {
            let span = since(span.named("inference").with("resnetd.shared", true), answered.reply.inference);
            in_run(span, served, &answered.reply);
        }
        // The run has told of itself.
        RowFrom::Run => span.forget(),
    }
}
