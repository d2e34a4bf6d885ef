//! What was measured, as a table and as JSON.

use std::{fmt, fs};

use serde::Serialize;

/// One round: the server under load, then the bare loop.
#[derive(Serialize)]
pub(crate) struct Round {
    /// Answers a second.
    pub(crate) served: f64,
    /// Images a second.
    pub(crate) bare: f64,
    pub(crate) ratio: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) mean_batch: f64,
    /// Processor time of one image, in microseconds.
    pub(crate) server_cpu_us: f64,
    pub(crate) client_cpu_us: f64,
    pub(crate) bare_cpu_us: f64,
}

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) model: String,
    pub(crate) connections: usize,
    pub(crate) bare_threads: usize,
    pub(crate) bare_batch_size: usize,
    pub(crate) seconds: f64,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) rounds: Vec<Round>,
}

impl Report {
    /// The median over the rounds: one disturbed round does not move it.
    pub(crate) fn median(&self, figure: fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<_> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        json["median_ratio"] = self.median(|round| round.ratio).into();
        json
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, connections, bare_threads, bare_batch_size, seconds, processor, cores, rounds } = self;
        writeln!(f, "{model}, {connections} connections, one image a request, rounds of {seconds} s + {seconds} s")?;
        writeln!(f, "bare loop: {bare_threads} threads, a session each, batches of {bare_batch_size}")?;
        writeln!(f, "{cores} cores ({processor}), shared by server and load generator\n")?;
        writeln!(f, "round   served/s     bare/s   ratio     p50 ms   p99 ms   batch   server µs  client µs  bare µs")?;
        let mut line = |name: &str, get: &dyn Fn(fn(&Round) -> f64) -> f64| {
            writeln!(
                f,
                "{name:<6} {:>9.1}  {:>9.1}   {:.3}  {:>9.2} {:>8.2}  {:>6.2}  {:>10.1} {:>10.1} {:>8.1}",
                get(|r| r.served),
                get(|r| r.bare),
                get(|r| r.ratio),
                get(|r| r.p50_ms),
                get(|r| r.p99_ms),
                get(|r| r.mean_batch),
                get(|r| r.server_cpu_us),
                get(|r| r.client_cpu_us),
                get(|r| r.bare_cpu_us),
            )
        };
        for (index, round) in rounds.iter().enumerate() {
            line(&(index + 1).to_string(), &|figure| figure(round))?;
        }
        line("median", &|figure| self.median(figure))?;
        writeln!(f, "\n(µs: processor time of one image, user and system, over all threads)")
    }
}

/// The processor's name, for the report.
pub(crate) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned()
}
