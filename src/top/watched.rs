//! Servers over time: what their looks come to when one is held against an earlier one. Pure; whoever looks has the clock.

use std::{collections::VecDeque, time::Duration};

use super::reading::{ModelReading, PHASES, ServerLook};
use crate::telemetry::{Buckets, Quantiles, escaped};

/// What is called "now": long enough that slow traffic has values in it.
const WINDOW: Duration = Duration::from_secs(10);
/// Looks that are kept, however often somebody looks.
const MOST_LOOKS: usize = 256;

/// One server that is watched.
#[derive(Clone, Debug, Default)]
pub struct WatchedServer {
    url: String,
    looks: VecDeque<ServerLook>,
    /// Why the last try gave nothing, and since when that is so.
    silent: Option<(String, Duration)>,
}

/// A server at the moment, ready to be shown: no text in it can steer a terminal.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerView {
    /// Where it is.
    pub url: String,
    /// In words: version, uptime, connections; or that it does not answer, and why.
    pub words: String,
    /// Whether it answers and is ready.
    pub is_well: bool,
    /// Its models.
    pub models: Vec<ModelView>,
}

/// A version of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelView {
    /// The route.
    pub name: String,
    /// A positive integer.
    pub version: u64,
    /// Names beside the number.
    pub labels: String,
    /// Numbers, where it answers.
    pub numbers: Option<ModelNumbersView>,
    /// Its state, where it does not, and why.
    pub state: String,
}

/// What a version does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelNumbersView {
    /// 0 idle, 1 saturated.
    pub load: f64,
    /// In the last ten seconds.
    pub requests_a_second: f64,
    /// In the last ten seconds.
    pub images_a_second: f64,
    /// Images that wait for a worker.
    pub waiting: usize,
    /// Images between admission and answer, and the most.
    pub in_work: [usize; 2],
    /// Of the phases, in their order.
    pub phases: [Quantiles; 4],
    /// Images of a run, on average.
    pub batch: Option<f64>,
    /// Runs by their number of images.
    pub batches: Vec<(usize, u64)>,
    /// Refused images.
    pub refused: u64,
    /// By their reason, without those that never happened.
    pub refusals: Vec<(String, u64)>,
    /// Images that were taken and not answered in time.
    pub misses: u64,
    /// `cpu fp32 2x1`.
    pub engine: String,
    /// Which network, and why it runs so.
    pub choice: String,
}

impl WatchedServer {
    /// Nobody looked yet.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// It answered.
    pub fn answered(&mut self, look: ServerLook) {
        self.silent = None;
        // After a restart all begins at 0: what was before is another process's.
        if self.looks.back().is_some_and(|last| look.stats.uptime_s < last.stats.uptime_s) {
            self.looks.clear();
        }
        let old = |first: &ServerLook| look.at.saturating_sub(first.at) > WINDOW;
        // The oldest that is kept is the last one that is older than the window: what came since is all of the window.
        while self.looks.len() > 1 && (self.looks.get(1).is_some_and(old) || self.looks.len() >= MOST_LOOKS) {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
    }

    /// It did not.
    ///
    /// * `at`: since the watch began
    pub fn failed(&mut self, why: String, at: Duration) {
        let since = self.silent.as_ref().map_or(at, |(_, since)| *since);
        self.silent = Some((why, since));
    }

    /// Whether the last try gave an answer.
    pub fn answers(&self) -> bool {
        self.silent.is_none() && !self.looks.is_empty()
    }

    /// What is to be shown.
    ///
    /// * `now`: since the watch began
    pub fn view(&self, now: Duration) -> ServerView {
        let url = clean(&self.url);
        if let Some((why, since)) = &self.silent {
            let seconds = now.saturating_sub(*since).as_secs();
            let waits = if seconds == 0 { String::new() } else { format!(" for {}", duration(seconds as f64)) };
            // What it served is what will be served: its numbers are nobody's meanwhile.
            return ServerView {
                url,
                words: format!("no answer{waits}: {}", clean(why)),
                is_well: false,
                models: vec![],
            };
        }
        let Some(last) = self.looks.back() else {
            return ServerView { url, words: "asked for the first time".to_owned(), is_well: true, models: vec![] };
        };
        let earlier = self.looks.front().filter(|first| first.at < last.at);
        let models = last.list.model_versions.iter().map(|listed| {
            let of = |look: &ServerLook| {
                look.stats.models.iter().find(|it| (&it.name, it.version) == (&listed.name, listed.version)).cloned()
            };
            let numbers = of(last).map(|model| numbers(&model, last, earlier, earlier.and_then(of).as_ref()));
            let state = match (listed.state.as_str(), listed.reason.as_str()) {
                ("AVAILABLE", "") => String::new(),
                ("AVAILABLE", reason) => clean(reason),
                (state, "") => clean(&state.to_lowercase()),
                (state, reason) => clean(&format!("{}: {reason}", state.to_lowercase())),
            };
            let labels = clean(&listed.labels.join(", "));
            ModelView { name: clean(&listed.name), version: listed.version, labels, numbers, state }
        });
        ServerView { url, words: words(last), is_well: last.unready.is_none(), models: models.collect() }
    }
}

/// Text of others, without what a terminal would obey.
fn clean(text: &str) -> String {
    escaped(text).into_owned()
}

fn words(look: &ServerLook) -> String {
    let stats = &look.stats;
    let doors = stats.connections.iter().map(|(door, open)| format!("{} {}", open, clean(door)));
    let doors = doors.collect::<Vec<_>>().join(", ");
    let mut said = vec![format!("resnetd {}", clean(&stats.version)), format!("up {}", duration(stats.uptime_s))];
    said.push(format!("{} cores", stats.threads.cores));
    said.push(format!("connections {}", if doors.is_empty() { "none" } else { &doors }));
    let [now, most] = [stats.memory.in_flight_bytes, stats.memory.max_in_flight_bytes].map(bytes);
    said.push(format!("{now} of {most} in flight"));
    if let Some(why) = &look.unready {
        said.insert(0, format!("NOT READY: {}", clean(why)));
    }
    said.join(" · ")
}

fn numbers(
    model: &ModelReading,
    last: &ServerLook,
    earlier_look: Option<&ServerLook>,
    earlier: Option<&ModelReading>,
) -> ModelNumbersView {
    let all = last.phases.get(&model.name).cloned().unwrap_or_default();
    let before = earlier_look.and_then(|look| look.phases.get(&model.name));
    let phases = std::array::from_fn(|phase| {
        let now: &Buckets = &all[phase];
        before.map_or_else(|| now.quantiles(), |before| now.since(&before[phase]).quantiles())
    });
    let runs_before = |images: usize| {
        let of = |model: &ModelReading| model.batches.iter().find(|batch| batch.images == images).map(|it| it.runs);
        earlier.and_then(of).unwrap_or_default()
    };
    let batches: Vec<(usize, u64)> = model
        .batches
        .iter()
        .map(|batch| (batch.images, batch.runs.saturating_sub(runs_before(batch.images))))
        .filter(|(_, runs)| *runs > 0)
        .collect();
    let runs: u64 = batches.iter().map(|(_, runs)| runs).sum();
    let images: f64 = batches.iter().map(|(images, runs)| *images as f64 * *runs as f64).sum();
    let refused_before =
        |reason: &str| earlier.and_then(|model| model.refused_images.get(reason)).copied().unwrap_or_default();
    let refusals: Vec<(String, u64)> = model
        .refused_images
        .iter()
        .map(|(reason, count)| (clean(reason), count.saturating_sub(refused_before(reason))))
        .filter(|(_, count)| *count > 0)
        .collect();
    let misses_before = earlier.map_or(0, |model| model.queue.deadline_misses);
    let engine = &model.engine;
    ModelNumbersView {
        load: model.queue.load_ratio,
        requests_a_second: model.throughput.requests_per_second_10s,
        images_a_second: model.throughput.images_per_second_10s,
        waiting: model.queue.waiting,
        in_work: [model.queue.in_work, model.queue.capacity],
        phases,
        batch: (runs > 0).then(|| images / runs as f64),
        batches,
        refused: refusals.iter().map(|(_, count)| count).sum(),
        refusals,
        misses: model.queue.deadline_misses.saturating_sub(misses_before),
        engine: clean(&format!(
            "{} {} {}x{}",
            engine.provider, engine.precision, engine.instances, engine.intra_threads
        )),
        choice: clean(&format!(
            "{}, batches of up to {}: {}",
            model.architecture, engine.max_batch_size, engine.choice
        )),
    }
}

/// The names of the phases.
pub fn phase_names() -> [&'static str; 4] {
    PHASES.map(|(name, _)| name)
}

/// `3 h 12 min`.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{} KiB", count / 1_024),
        1_048_576..1_073_741_824 => format!("{} MiB", count / 1_048_576),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A look after so many runs of one image, each of which took a tenth of a second.
    fn look(at: u64, uptime: f64, runs: u64) -> ServerLook {
        let stats = json!({
            "uptime_s": uptime,
            "models": [{
                "name": "pets", "version": 3, "batches": [{ "images": 2, "runs": runs }],
                "refused_images": { "deadline": runs, "places": 0 }, "queue": { "deadline_misses": runs },
            }],
        });
        let list = json!({ "model_versions": [
            { "name": "pets", "version": 3, "state": "AVAILABLE" },
            { "name": "pets", "version": 4, "state": "FAILED", "reason": "cut \u{1b}[2J off" },
        ] });
        let mut look = ServerLook {
            at: Duration::from_secs(at),
            stats: serde_json::from_value(stats).expect("stats"),
            list: serde_json::from_value(list).expect("a list"),
            ..ServerLook::default()
        };
        let bucket = |bound: &str| {
            format!("resnetd_inference_duration_seconds_bucket{{le=\"{bound}\",model=\"pets\"}} {runs}\n")
        };
        look.read_phases(&format!("{}{}", bucket("0.1"), bucket("+Inf")));
        look
    }

    fn numbers_at(server: &WatchedServer) -> ModelNumbersView {
        server.view(Duration::from_secs(99)).models[0].numbers.clone().expect("it answers")
    }

    #[test]
    fn numbers_are_those_since_the_last_look_before_the_window() {
        let mut server = WatchedServer::new("http://a");
        server.answered(look(0, 100.0, 5));
        assert_eq!(numbers_at(&server).batches, [(2, 5)], "at first it is all that there was");
        server.answered(look(5, 105.0, 9));
        assert_eq!(numbers_at(&server).batches, [(2, 4)]);
        server.answered(look(20, 120.0, 20));
        let numbers = numbers_at(&server);
        assert_eq!((&numbers.batches[..], numbers.batch), (&[(2, 11)][..], Some(2.0)), "the first look is too old");
        assert_eq!((numbers.refused, numbers.misses, numbers.phases[3].count), (11, 11, 11));
        assert_eq!(numbers.refusals, [("deadline".to_owned(), 11)]);
    }

    #[test]
    fn a_server_that_began_anew_is_not_held_against_what_it_was() {
        let mut server = WatchedServer::new("http://a");
        server.answered(look(0, 100.0, 50));
        server.failed("connection refused".to_owned(), Duration::from_secs(2));
        server.failed("connection refused".to_owned(), Duration::from_secs(4));
        let view = server.view(Duration::from_secs(9));
        assert_eq!((&*view.words, view.models.len()), ("no answer for 7 s: connection refused", 0));
        server.answered(look(6, 1.0, 3));
        assert_eq!(numbers_at(&server).batches, [(2, 3)]);
    }

    #[test]
    fn looks_are_bounded_however_often_somebody_looks() {
        let mut server = WatchedServer::new("http://a");
        for turn in 0..2_000 {
            server.answered(look(5, 100.0, turn));
        }
        assert_eq!(server.looks.len(), MOST_LOOKS);
    }

    #[test]
    fn no_text_of_a_server_steers_a_terminal() {
        let mut server = WatchedServer::new("http://a\u{1b}[2J");
        server.answered(look(0, 1.0, 0));
        let view = server.view(Duration::ZERO);
        assert_eq!((&*view.url, &*view.models[1].state), ("http://a\\u{1b}[2J", "failed: cut \\u{1b}[2J off"));
    }
}
