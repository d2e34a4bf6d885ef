//! The server under load: the release binary as a process of its own, on ports that the system chooses.

use std::{
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// Loading and warming up a model, however large.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running `resnetd serve`; ended when dropped.
pub(crate) struct Server {
    process: Child,
    /// What it measures at its start: anew, since what is kept may have been measured beside anything.
    _measured: TempDir,
    pub(crate) http: SocketAddr,
}

/// What the server computes with, in the words of `[runtime]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arithmetic<'a> {
    pub(crate) provider: &'a str,
    pub(crate) precision: &'a str,
}

impl Arithmetic<'_> {
    /// What every machine has.
    pub(crate) const CPU_FP32: Self = Self { provider: "cpu", precision: "fp32" };
}

impl Server {
    /// Starts it on the repository `models`, otherwise with its defaults, and waits until it is ready.
    pub(crate) fn start(models: &Path, arithmetic: Arithmetic<'_>) -> Result<Self> {
        let measured = tempfile::tempdir()?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_resnetd"))
            .args(["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--models"])
            .arg(models)
            .env("RESNETD__LOG__FORMAT", "json")
            .env("RESNETD__RUNTIME__PROVIDER", arithmetic.provider)
            .env("RESNETD__RUNTIME__PRECISION", arithmetic.precision)
            .env("RESNETD__RUNTIME__TUNE_CACHE", measured.path())
            .env("RESNETD__RUNTIME__WEIGHTS_CACHE", measured.path().join("weights"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(process.stderr.take().context("the server has no stderr")?);
        let mut server = Self { process, _measured: measured, http: SocketAddr::from(([0; 4], 0)) };
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let _ = tell.send(wait_until_ready(&mut log));
            // A full pipe would stop the server.
            io::copy(&mut log, &mut io::sink())
        });
        server.http = told.recv_timeout(START_LIMIT).context("the server did not become ready in time")??;
        Ok(server)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the log up to "ready"; gives the address that "listening" names. If the server ends before, what it logged as errors and said at last.
fn wait_until_ready(log: &mut BufReader<ChildStderr>) -> Result<SocketAddr> {
    let mut http = None;
    let mut told = Vec::new();
    for line in log.lines() {
        let line = line?;
        let entry = serde_json::from_str::<Value>(&line).unwrap_or_default();
        match entry["message"].as_str() {
            Some("listening") => http = entry["http"].as_str().and_then(|address| address.parse().ok()),
            Some("ready") => return http.context("the server did not log its address"),
            _ if entry["level"] == "ERROR" || entry.is_null() => told.push(line),
            _ => {}
        }
    }
    bail!("the server did not start: {}", told.join("\n"))
}

/// The processor time that a process has used so far, all threads, user and system.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    /// Linux counts in hundredths of a second wherever it tells programs (`USER_HZ`).
    const TICK_MS: u64 = 10;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th after it.
    let after_name = stat.rsplit_once(')').context("no process name in /proc")?.1;
    let ticks: Vec<u64> = after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * TICK_MS))
}
