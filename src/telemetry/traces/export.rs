//! The thread that sends spans: on a runtime of its own, so that neither a request nor a slow collector waits for the other.
//!
//! Spans go out a second after the first of them came, or as soon as there are many. While the collector does not answer, the queue fills
//! up and what comes then is lost; that is counted, and logged once and then rarely. At the end there is a goodbye with a time limit.

use std::{
    io,
    sync::mpsc as blocking,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::{
    runtime,
    sync::mpsc::Receiver,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    collector::{self, NoCollector},
    counts::SpanCounts,
    runs::{RunIds, Runs},
    sampling::Sampling,
    spans::{Recorded, SpanQueue},
    tracer::Tracer,
};
use crate::config::TracingSection;

/// How long spans are gathered, and a run waits for those who tell of it.
const GATHERING: Duration = Duration::from_secs(1);

/// So many spans go out at once: about half a megabyte.
const MOST_SPANS: usize = 512;

/// How often a collector that goes on failing is told of.
const REMINDER: Duration = Duration::from_secs(300);

/// Why no request can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The endpoint, or what the library reads in the environment, is not usable.
    #[error("traces cannot be sent to {endpoint}: {cause}; look at [tracing] and the variables OTEL_*")]
    Collector {
        /// Where they should go.
        endpoint: String,
        /// In the library's words.
        cause: String,
    },
    /// There is no thread.
    #[error("no thread for traces: {0}")]
    Thread(#[from] io::Error),
}

/// The thread that sends.
#[derive(Debug)]
pub struct TraceExport {
    stop: CancellationToken,
    ended: blocking::Receiver<()>,
    thread: JoinHandle<()>,
}

impl TraceExport {
    /// Starts the thread, where traces are wanted. The collector need not be there.
    ///
    /// * `counts`: what becomes of spans
    ///
    /// # Errors
    /// [`TracesError`]
    pub fn start(section: &TracingSection, counts: SpanCounts) -> Result<(Tracer, Option<Self>), TracesError> {
        if section.endpoint.is_empty() {
            return Ok((Tracer::off(), None));
        }
        let ids = RunIds { process: uuid::Uuid::new_v4().as_u64_pair().1 };
        let (queue, receiver) = SpanQueue::new(section.queue_capacity, counts.clone(), ids);
        let (stop, (told, ended)) = (CancellationToken::new(), blocking::channel());
        let (began, beginning) = blocking::channel();
        let limit = Duration::from_millis(section.timeout_ms);
        let (stopping, settings) = (stop.clone(), section.clone());
        let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(began.send(Err(TracesError::Thread(error)))),
            };
            runtime.block_on(async {
                let exporter = match collector::open(&settings) {
                    Ok(exporter) => exporter,
                    Err(error) => return drop(began.send(Err(refused(&settings, &error)))),
                };
                let _ = began.send(Ok(()));
                let courier = Courier::new(exporter, limit, counts);
                courier.work(receiver, Runs::new(ids), stopping).await;
            });
            let _ = told.send(());
        })?;
        match beginning.recv() {
            Ok(began) => began?,
            Err(_) => return Err(TracesError::Thread(io::Error::other("it ended at once"))),
        }
        tracing::info!(
            endpoint = section.target(),
            sample_ratio = section.sample_ratio,
            parent_based = section.parent_based,
            "requests are traced"
        );
        let sampling = Sampling::new(section.sample_ratio, section.parent_based);
        Ok((Tracer::new(queue, sampling), Some(Self { stop, ended, thread })))
    }

    /// Sends what there is, in `within` at most; blocks so long. What cannot be sent by then is lost.
    pub fn close(self, within: Duration) {
        self.stop.cancel();
        match self.ended.recv_timeout(within) {
            // It has nothing left to do.
            Ok(()) => drop(self.thread.join()),
            Err(_) => tracing::info!("the last traces could not be sent within {} ms", within.as_millis()),
        }
    }
}

fn refused(section: &TracingSection, error: &NoCollector) -> TracesError {
    TracesError::Collector { endpoint: section.target(), cause: error.to_string() }
}

struct Courier {
    exporter: SpanExporter,
    limit: Duration,
    counts: SpanCounts,
    scope: InstrumentationScope,
    /// Since when nothing was taken, what was lost since, and when that was last told.
    failing: Option<(Instant, u64, Instant)>,
}

impl Courier {
    fn new(exporter: SpanExporter, limit: Duration, counts: SpanCounts) -> Self {
        let scope = InstrumentationScope::builder("resnetd").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { exporter, limit, counts, scope, failing: None }
    }

    /// Sends what comes, until `stop`; then what is left.
    async fn work(mut self, mut receiver: Receiver<Recorded>, mut runs: Runs, stop: CancellationToken) {
        let (mut came, mut spans) = (Vec::with_capacity(MOST_SPANS), Vec::with_capacity(MOST_SPANS));
        let mut tick = interval(GATHERING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_due = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = tick.tick() => true,
                count = receiver.recv_many(&mut came, MOST_SPANS) => {
                    // Nobody is left who could record anything.
                    if count == 0 {
                        break;
                    }
                    false
                }
            };
            gather(&mut came, &mut spans, &mut runs);
            if is_due {
                spans.extend(runs.settled(GATHERING, Instant::now()));
            }
            if is_due || spans.len() >= MOST_SPANS {
                self.send(&mut spans).await;
            }
        }
        receiver.close();
        while receiver.recv_many(&mut came, MOST_SPANS).await > 0 {
            gather(&mut came, &mut spans, &mut runs);
            if spans.len() >= MOST_SPANS {
                self.send(&mut spans).await;
            }
        }
        spans.extend(runs.settled(Duration::ZERO, Instant::now()));
        self.send(&mut spans).await;
    }

    async fn send(&mut self, spans: &mut Vec<SpanData>) {
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        spans.iter_mut().for_each(|span| span.instrumentation_scope = self.scope.clone());
        match timeout(self.limit, self.exporter.export(std::mem::take(spans))).await {
            Ok(Ok(())) => {
                self.counts.exported.inc_by(count);
                if let Some((since, lost, _)) = self.failing.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(lost, seconds, "traces are taken again");
                }
            }
            Ok(Err(error)) => self.note_failure(count, &error.to_string()),
            Err(_) => self.note_failure(count, &format!("no answer within {} ms", self.limit.as_millis())),
        }
    }

    /// Once, and then rarely: a collector may be away for days.
    fn note_failure(&mut self, count: u64, cause: &str) {
        self.counts.failed.inc_by(count);
        let now = Instant::now();
        let (since, lost, told) = self.failing.unwrap_or((now, 0, now));
        let (is_first, lost) = (self.failing.is_none(), lost + count);
        let is_due = is_first || now.saturating_duration_since(told) >= REMINDER;
        self.failing = Some((since, lost, if is_due { now } else { told }));
        if is_due {
            tracing::warn!(lost, cause, "traces cannot be sent: spans are lost, requests are answered as before");
        }
    }
}

fn gather(came: &mut Vec<Recorded>, spans: &mut Vec<SpanData>, runs: &mut Runs) {
    for recorded in came.drain(..) {
        let context = recorded.context().clone();
        match recorded {
            Recorded::Span(span) => spans.push(*span),
            Recorded::InRun(span, seen) => {
                runs.note(*seen, context, Instant::now());
                spans.push(*span);
            }
        }
    }
}
