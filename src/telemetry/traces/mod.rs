//! Traces: the way of a request that is recorded, as spans, on to a collector of OpenTelemetry.
//!
//! A door asks [`Tracer`] once a request; where the answer is no, nothing of this is touched again. Where it is yes, [`TracedRequest`]
//! travels with the request, and every phase puts a finished span into a bounded queue. One thread with a runtime of its own
//! ([`TraceExport`]) empties it and speaks to the collector: nobody waits for that, and what finds no room is lost and counted.

mod collector;
mod counts;
mod export;
mod runs;
mod sampling;
mod span;
mod spans;
mod tracer;

pub use counts::SpanCounts;
pub use export::{TraceExport, TracesError};
pub use runs::RunKey;
pub use span::{OpenSpan, TracedRequest};
pub use tracer::Tracer;

pub(super) use counts::SpanFamilies;
