//! What the server tells of itself: the log's lines, numbers for Prometheus, spans for OpenTelemetry, and what ties them to a request.
//!
//! Whoever has something to tell comes here. Must not know a stage, a door or a model.

mod cascade;
mod count;
mod door;
mod exemplars;
mod exposition;
mod keys;
mod labels;
mod log;
mod meter;
mod metrics;
mod model_events;
mod model_metrics;
mod model_numbers;
mod process;
mod quantiles;
mod recent;
mod refusal_reason;
mod seen;
mod series_end;
mod state;
mod statistics;
mod stores;
mod trace;
mod trace_parent;
mod traces;
mod traffic;

pub use cascade::{CascadeMetrics, CascadeReason};
pub use door::DoorMetrics;
pub use keys::{KeyMeter, KeyMetrics, KeyOutcome};
pub use labels::Protocol;
pub use log::{Seldom, escaped, escaped_layout, flush_log, last_line, leave_log_to_this_thread, lost_lines, start_log};
pub use meter::RequestMeter;
pub use metrics::Metrics;
pub use model_events::ModelEvents;
pub use model_metrics::ModelMetrics;
pub use model_numbers::{ModelCounts, ModelLatencies};
pub use quantiles::{Buckets, Quantiles};
pub use refusal_reason::RefusalReason;
pub use state::{CacheState, ScrapeState, ServingState, VersionState};
pub use statistics::{PhaseTimes, RunStatistics, RunsOfSize, TimedCount};
pub use stores::StoreMeter;
pub use trace::{TraceContext, trace_id};
pub use trace_parent::{TraceId, TraceParent};
pub use traces::{OpenSpan, RunKey, SpanCounts, TraceExport, TracedRequest, Tracer, TracesError};
pub use traffic::{GuardRule, ShadowMetrics, ShadowOutcome, TrafficFamilies};

pub(crate) use meter::Subject;
