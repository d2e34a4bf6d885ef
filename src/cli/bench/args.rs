//! What `resnetd bench` is told, and what a run is to do accordingly.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::ValueEnum;
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};

use crate::{
    cli::{auth::ApiKeyArgs, tls::ClientTlsArgs},
    loadgen::{Arrivals, LoadPlan, Pace, PictureForm, WireProtocol},
};

/// A minute; what is not answered by then never is.
const PATIENCE_MS: &str = "60000";
const DURATION_S: f64 = 10.0;
/// More requests a second are a mistake of units.
const HIGHEST_RATE: f64 = 1e6;
/// A day.
const LONGEST_S: f64 = 86_400.0;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BenchArgs {
    /// The server, HTTP's port or, for gRPC, either port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub(super) url: String,
    /// The model to ask [default: the server's first one]
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// Pictures to send, in turn: files and folders [default: four photos that the program carries, in the size of a small network where the model is one]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) image: Vec<PathBuf>,
    /// http1, http2 or grpc; under TLS where the URL begins with https://
    #[arg(long, value_name = "PROTOCOL", default_value = "http1")]
    pub(super) protocol: WireProtocol,
    /// How a request carries pictures. HTTP: body, multipart, json, predict, v2-json, v2-binary, v2-raw, v2-tensor; gRPC: classify, stream, predict, v2-binary, v2-tensor [default: body, classify]
    #[arg(long, value_name = "FORM")]
    pub(super) form: Option<PictureForm>,
    /// Closed loop: so many clients, each of which waits for its answer. Open loop: so many connections of HTTP/2 and gRPC
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) connections: u32,
    /// Open loop: so many requests a second, whether or not earlier ones are answered; several numbers with commas between are a run each
    #[arg(long, value_name = "R,…", value_delimiter = ',', value_parser = rate)]
    pub(super) rate: Vec<f64>,
    /// How the moments of an open loop lie: poisson (as independent users come) or even
    #[arg(long, value_name = "KIND", default_value = "poisson", requires = "rate")]
    pub(super) arrivals: Arrivals,
    /// Of the random moments: the same seed gives the same ones
    #[arg(long, value_name = "N", default_value_t = 1, requires = "rate")]
    pub(super) seed: u64,
    /// Open loop: what is due while so many are unanswered is not sent, and counts as an error
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "rate", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) max_outstanding: u32,
    /// How long requests are sent, in each run [default: 10, or until --requests are sent]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) duration: Option<f64>,
    /// So long before that, requests are sent and not counted
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) warmup: f64,
    /// So many requests, in each run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) requests: Option<u64>,
    /// The deadline that each request gives itself; answers in it are goodput
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(super) timeout_ms: Option<u64>,
    /// An answer is waited for so long
    #[arg(long, value_name = "MS", default_value = PATIENCE_MS, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(super) give_up_ms: u64,
    /// How urgent each request says it is: 1 comes first, 100 is the default, 200 is bulk work
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) priority: Option<u32>,
    /// Pictures in each request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(super) images_per_request: u32,
    /// A header, or gRPC metadata, with each request
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    pub(super) header: Vec<(HeaderName, HeaderValue)>,
    #[command(flatten)]
    pub(super) tls: ClientTlsArgs,
    #[command(flatten)]
    pub(super) key: ApiKeyArgs,
    /// Threads that send and receive [default: one for four cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) threads: Option<u32>,
    /// How the figures look on stdout
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: BenchFormat,
    /// Write a page with plots here
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Write the figures here, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BenchFormat {
    Table,
    Json,
}

impl BenchArgs {
    pub(super) fn form(&self) -> PictureForm {
        self.form.or(self.protocol.forms().first().copied()).unwrap_or(PictureForm::Body)
    }

    pub(super) fn headers(&self) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let name = concat!("resnetd-bench/", env!("CARGO_PKG_VERSION"));
        headers.insert(hyper::header::USER_AGENT, HeaderValue::from_static(name));
        for (name, value) in &self.header {
            headers.append(name, value.clone());
        }
        if let Some(key) = self.key.authorization()? {
            headers.insert(AUTHORIZATION, key);
        }
        Ok(headers)
    }

    /// A plan for each run.
    pub(super) fn plans(&self) -> anyhow::Result<Vec<LoadPlan>> {
        if self.rate.is_empty() && self.requests.is_some_and(|requests| requests < u64::from(self.connections)) {
            let (requests, clients) = (self.requests.unwrap_or_default(), self.connections);
            bail!("--requests {requests} are fewer than the {clients} clients: lower --connections");
        }
        let duration = match (self.duration, self.requests) {
            (None, Some(_)) => None,
            (duration, _) => Some(duration.unwrap_or(DURATION_S)),
        };
        if duration == Some(0.0) {
            bail!("--duration 0 sends nothing");
        }
        let plan = |pace| LoadPlan {
            pace,
            warm_up: Duration::from_secs_f64(self.warmup),
            duration: duration.map(Duration::from_secs_f64),
            requests: self.requests,
            patience: Duration::from_millis(self.give_up_ms),
            deadline: self.timeout_ms.map(Duration::from_millis),
            images: self.images_per_request as usize,
        };
        let open = |&rate: &f64| Pace::Open {
            rate,
            arrivals: self.arrivals,
            seed: self.seed,
            most_outstanding: self.max_outstanding as usize,
        };
        let closed = Pace::Closed { clients: self.connections as usize };
        Ok(match &self.rate[..] {
            [] => vec![plan(closed)],
            rates => rates.iter().map(open).map(plan).collect(),
        })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no rate: requests a second, above 0 and up to {HIGHEST_RATE}");
    text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= HIGHEST_RATE).ok_or_else(wrong)
}

fn seconds(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no time: seconds, 0 to {LONGEST_S}");
    text.parse().ok().filter(|seconds| (0.0..=LONGEST_S).contains(seconds)).ok_or_else(wrong)
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').with_context(|| format!("`{text}` has no colon: NAME:VALUE"))?;
    let name = name.trim().parse().with_context(|| format!("`{name}` is no name of a header"))?;
    let value = value.trim().parse().with_context(|| format!("`{value}` is no value of a header"))?;
    Ok((name, value))
}
