//! One request at a time: what the server adds to the quickest way to answer one image.
//!
//! The bare side is one session, with one thread a run and with one for each core: which is quicker depends on the network.

use std::{fmt, time::Duration};

use anyhow::{Context, Result};
use resnetd::{model::ModelFolder, runtime::Runtime};
use serde::Serialize;

use crate::{bare::Bare, load::Outcome};

/// Medians of the rounds.
#[derive(Serialize)]
pub(crate) struct Alone {
    model: String,
    served_p50_ms: f64,
    bare_p50_ms: f64,
    /// Threads that share a run, where it was quickest.
    bare_threads: usize,
    p50_ratio: f64,
}

/// Runs both sides by turns.
pub(crate) fn measure(
    model: &str,
    (runtime, folder): (&Runtime, Option<&ModelFolder>),
    images: &[Vec<u8>],
    (rounds, time, cores): (usize, Duration, usize),
    serve: impl Fn() -> Result<Outcome>,
) -> Result<Alone> {
    let mut shapes = vec![(1, Bare::alone(runtime, folder, 1)?)];
    if cores > 1 {
        shapes.push((cores, Bare::alone(runtime, folder, cores)?));
    }
    let mut found = Vec::new();
    for _ in 0..=rounds {
        let served = serve()?.percentile_ms(0.5);
        for (threads, bare) in &mut shapes {
            let times = bare.times(images, time)?;
            let median = times.get(times.len() / 2).context("nothing was run")?.as_secs_f64() * 1e3;
            found.push((*threads, served, median, served / median));
        }
    }
    // The first round is the warm-up of both.
    found.drain(..shapes.len());
    let median = |threads: usize, part: fn(&(usize, f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = found.iter().filter(|round| round.0 == threads).map(part).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let quickest = shapes.iter().map(|(threads, _)| *threads).min_by(|a, b| {
        let time = |threads: usize| median(threads, |round| round.2);
        time(*a).total_cmp(&time(*b))
    });
    let bare_threads = quickest.context("there is no shape")?;
    Ok(Alone {
        model: model.to_owned(),
        served_p50_ms: median(bare_threads, |round| round.1),
        bare_p50_ms: median(bare_threads, |round| round.2),
        bare_threads,
        p50_ratio: median(bare_threads, |round| round.3),
    })
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, served_p50_ms, bare_p50_ms, bare_threads, p50_ratio } = self;
        write!(
            f,
            "{model}, one request at a time, p50: served {served_p50_ms:.3} ms, bare {bare_p50_ms:.3} ms with {bare_threads} threads a run: {p50_ratio:.3}"
        )
    }
}
