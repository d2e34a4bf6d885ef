//! Runs of a network as spans of their own: several requests share one, and each tells of it, so they are put together here. Pure.
//!
//! A run is no part of one request, so it has a trace of its own, whose ids follow from the run's key: requests link to it without having
//! seen it, and it links to them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanLinks};

/// Links of one span; a batch may have more images than a collector likes links.
const MOST_LINKS: usize = 128;

/// One run of a network in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// The version as it is served, a number of the process.
    pub served: u64,
    /// The run, a number of the version.
    pub run: u64,
}

/// A run as a request saw it.
#[derive(Clone, Debug)]
pub(super) struct SeenRun {
    pub(super) key: RunKey,
    pub(super) model: Arc<str>,
    pub(super) version: u64,
    pub(super) images: usize,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

/// What no other process has: makes a run's ids from its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunIds {
    /// Chosen by chance.
    pub(super) process: u64,
}

impl RunIds {
    /// Where the run's span is.
    pub(super) fn context(self, key: RunKey) -> SpanContext {
        let mixed = |place: u64| {
            let mut seed = self.process;
            for part in [key.served, key.run, place] {
                seed = scrambled(seed ^ part);
            }
            // Zero would be no id.
            seed.max(1)
        };
        let trace_id = u128::from(mixed(1)) << 64 | u128::from(mixed(2));
        SpanContext::new(trace_id.into(), SpanId::from(mixed(3)), TraceFlags::SAMPLED, false, TraceState::default())
    }
}

/// The finalizer of SplitMix64: every bit of the input moves half of the output's.
fn scrambled(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// The runs that requests still tell of.
#[derive(Debug)]
pub(super) struct Runs {
    ids: RunIds,
    open: HashMap<RunKey, OpenRun>,
}

#[derive(Debug)]
struct OpenRun {
    seen: SeenRun,
    links: Vec<Link>,
    left_out: u32,
    since: Instant,
}

impl Runs {
    pub(super) fn new(ids: RunIds) -> Self {
        Self { ids, open: HashMap::new() }
    }

    /// A request tells of a run that it was in.
    ///
    /// * `of_request`: the request's own span of it
    pub(super) fn note(&mut self, seen: SeenRun, of_request: SpanContext, now: Instant) {
        let open = || OpenRun { seen: seen.clone(), links: Vec::new(), left_out: 0, since: now };
        let run = self.open.entry(seen.key).or_insert_with(open);
        if run.links.len() < MOST_LINKS {
            run.links.push(Link::with_context(of_request));
        } else {
            run.left_out += 1;
        }
    }

    /// Takes out the spans of runs that have been told of for `after`: their images were all answered at once, so who is to tell has.
    pub(super) fn settled(&mut self, after: Duration, now: Instant) -> Vec<SpanData> {
        let ids = self.ids;
        let is_over = |run: &OpenRun| now.saturating_duration_since(run.since) >= after;
        self.open.extract_if(|_, run| is_over(run)).map(|(key, run)| span(ids.context(key), run)).collect()
    }
}

fn span(context: SpanContext, OpenRun { seen, links, left_out, .. }: OpenRun) -> SpanData {
    let mut all = SpanLinks::default();
    (all.links, all.dropped_count) = (links, left_out);
    SpanData {
        span_context: context,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "batch".into(),
        start_time: seen.start,
        end_time: seen.end,
        attributes: vec![
            KeyValue::new("resnetd.model", seen.model.to_string()),
            KeyValue::new("resnetd.version", i64::try_from(seen.version).unwrap_or(i64::MAX)),
            KeyValue::new("resnetd.batch_size", i64::try_from(seen.images).unwrap_or(i64::MAX)),
        ],
        dropped_attributes_count: 0,
        events: Default::default(),
        links: all,
        status: Status::Unset,
        instrumentation_scope: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(run: u64, start: SystemTime) -> SeenRun {
        let key = RunKey { served: 7, run };
        SeenRun { key, model: "pets".into(), version: 3, images: 2, start, end: start + Duration::from_millis(5) }
    }

    fn request(id: u64) -> SpanContext {
        SpanContext::new(1u128.into(), id.into(), TraceFlags::SAMPLED, false, TraceState::default())
    }

    #[test]
    fn a_run_that_two_requests_tell_of_is_one_span_with_a_link_to_each() {
        let ids = RunIds { process: 42 };
        let (mut runs, now) = (Runs::new(ids), Instant::now());
        let start = SystemTime::UNIX_EPOCH;
        runs.note(seen(1, start), request(11), now);
        runs.note(seen(2, start), request(12), now);
        runs.note(seen(1, start), request(13), now + Duration::from_millis(900));
        assert!(runs.settled(Duration::from_secs(1), now).is_empty());

        let mut spans = runs.settled(Duration::from_secs(1), now + Duration::from_secs(1));
        spans.sort_by_key(|span| span.links.len());

        assert_eq!(spans.len(), 2);
        let linked: Vec<_> = spans[1].links.iter().map(|link| link.span_context.clone()).collect();
        assert_eq!(linked, [request(11), request(13)]);
        assert_eq!(spans[1].span_context, ids.context(RunKey { served: 7, run: 1 }));
        assert!(spans[1].span_context.is_valid() && spans[0].span_context != spans[1].span_context);
        assert!(runs.settled(Duration::ZERO, now + Duration::from_secs(9)).is_empty(), "once");
    }

    #[test]
    fn a_batch_of_more_images_than_links_says_how_many_are_left_out() {
        let (mut runs, now) = (Runs::new(RunIds { process: 1 }), Instant::now());
        (0..130).for_each(|id| runs.note(seen(1, SystemTime::UNIX_EPOCH), request(id + 1), now));
        let spans = runs.settled(Duration::ZERO, now);
        assert_eq!((spans[0].links.len(), spans[0].links.dropped_count), (128, 2));
    }
}
