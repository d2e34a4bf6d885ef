//! One way to serve a model: a server of its own that sees one version, and what was measured of it.

use std::{fs, os::unix::fs::symlink, time::Duration};

use anyhow::{Context, Result, ensure};
use resnetd::model::ModelFolder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    load::{self, Load, Until},
    server::{Arithmetic, Server, cpu_time},
};

pub(crate) struct Side {
    pub(crate) label: String,
    pub(crate) server: Server,
    /// Holds the one version that this server sees.
    _repository: TempDir,
    /// Of the route that classifies.
    path: String,
    requests: Vec<Vec<u8>>,
    /// What the server says that it runs the model with.
    pub(crate) choice: String,
    pub(crate) drift: Option<f64>,
    pub(crate) rates: Vec<f64>,
    pub(crate) p50_ms: Vec<f64>,
    pub(crate) p99_ms: Vec<f64>,
    /// The median answer to a single connection, in milliseconds.
    pub(crate) alone_ms: Vec<f64>,
    pub(crate) batch: Vec<f64>,
    /// Processor time of an image, server only, in milliseconds.
    pub(crate) cpu_ms: Vec<f64>,
    /// Right first classes, in percent.
    pub(crate) top1: Option<f64>,
}

impl Side {
    /// * `version`: of a folder; `None`: the built-in model
    pub(crate) fn start(
        name: &str,
        version: Option<(&ModelFolder, u64)>,
        arithmetic: Arithmetic<'_>,
        images: &[Vec<u8>],
    ) -> Result<Self> {
        let repository = tempfile::tempdir()?;
        if let Some((folder, version)) = version {
            let alone = repository.path().join(name);
            fs::create_dir(&alone)?;
            for entry in fs::read_dir(&folder.path)? {
                let path = entry?.path();
                if path.is_file() {
                    // Copied: a server refuses labels that lie outside of the model's folder.
                    fs::copy(&path, alone.join(path.file_name().context("a file has a name")?))?;
                }
            }
            symlink(folder.path.join(version.to_string()), alone.join(version.to_string()))?;
        }
        let server = Server::start(repository.path(), arithmetic)?;
        let path = format!("/v1/models/{name}:classify?top_k=5");
        let requests = images.iter().map(|image| load::post(server.http, &path, "image/jpeg", image)).collect();
        let metadata = format!("GET /v1/models/{name}/metadata HTTP/1.1\r\nHost: x\r\n\r\n");
        let (status, body) = load::ask(server.http, metadata.as_bytes())?;
        ensure!(status == 200, "the server answers {status}");
        let metadata: Value = serde_json::from_slice(&body)?;
        let word = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let asked = match arithmetic {
            Arithmetic { provider: "auto", .. } => "auto".to_owned(),
            Arithmetic { provider, precision } => format!("{provider} {precision}"),
        };
        let number = version.map_or(1, |(_, version)| version);
        let choice = format!(
            "{} {} {}x{}",
            word("provider"),
            word("precision"),
            metadata["instances"],
            metadata["intra_threads"]
        );
        Ok(Self {
            label: format!("version {number}, {asked}"),
            server,
            _repository: repository,
            path,
            requests,
            choice,
            drift: metadata["probability_drift"].as_f64(),
            rates: Vec::new(),
            p50_ms: Vec::new(),
            p99_ms: Vec::new(),
            alone_ms: Vec::new(),
            batch: Vec::new(),
            cpu_ms: Vec::new(),
            top1: None,
        })
    }

    /// A round: `connections` at once for `time`, then a single one for a fifth of it.
    pub(crate) fn measure(&mut self, connections: usize, time: Duration) -> Result<()> {
        let run = |connections, until| {
            load::run(Load { address: self.server.http, requests: self.requests.clone(), connections, until })
        };
        // The caches and the clock rate are another side's.
        run(connections, Until::Requests(2))?;
        let before = cpu_time(self.server.id())?;
        let outcome = run(connections, Until::Elapsed(time))?;
        let spent = cpu_time(self.server.id())? - before;
        let alone = run(1, Until::Elapsed(time / 5))?;
        let refused = [&outcome.refused, &alone.refused];
        ensure!(refused.iter().all(|it| it.is_empty()), "the server refused requests (status: count): {refused:?}");
        self.rates.push(outcome.rate());
        self.p50_ms.push(outcome.percentile_ms(0.5));
        self.p99_ms.push(outcome.percentile_ms(0.99));
        self.alone_ms.push(alone.percentile_ms(0.5));
        self.batch.push(outcome.mean_batch());
        self.cpu_ms.push(spent.as_secs_f64() * 1e3 / outcome.latencies.len().max(1) as f64);
        Ok(())
    }

    /// Sends every labelled image once and counts those whose first class is their label.
    ///
    /// * `labelled`: images with the name of their class
    pub(crate) fn grade(&mut self, labelled: &[(String, Vec<u8>)], connections: usize) -> Result<()> {
        let post = |image: &Vec<u8>| load::post(self.server.http, &self.path, "image/jpeg", image);
        let requests: Vec<_> = labelled.iter().map(|(_, image)| post(image)).collect();
        let mut right = 0;
        for ((class, _), (status, body)) in
            labelled.iter().zip(load::ask_all(self.server.http, &requests, connections)?)
        {
            ensure!(status == 200, "the server answers {status}: {}", String::from_utf8_lossy(&body));
            let answer: Value = serde_json::from_slice(&body)?;
            right += usize::from(answer["predictions"][0]["classes"][0]["label"] == json!(class));
        }
        self.top1 = Some(100.0 * right as f64 / labelled.len() as f64);
        Ok(())
    }

    /// The median of the rounds' ratios to `rates`.
    pub(crate) fn gain(&self, rates: &[f64]) -> f64 {
        median(&self.rates.iter().zip(rates).map(|(own, other)| own / other).collect::<Vec<_>>())
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "side": self.label, "choice": self.choice, "probability_drift": self.drift,
            "images_per_second": self.rates, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms,
            "one_connection_p50_ms": self.alone_ms, "mean_batch": self.batch, "server_cpu_ms": self.cpu_ms,
            "top1_percent": self.top1,
        })
    }
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
