//! How far a run is, on a terminal.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinHandle, time::interval};

use crate::loadgen::LoadRun;

const STEPS: u64 = 1000;
const REFRESH: Duration = Duration::from_millis(200);

/// A bar that moves by itself until it is dropped.
pub(super) struct RunBar {
    bar: ProgressBar,
    task: Option<JoinHandle<()>>,
}

impl RunBar {
    /// * `which`: what is said before the figures
    pub(super) fn watch(run: &Arc<LoadRun>, which: String) -> Self {
        if !io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), task: None };
        }
        let bar = ProgressBar::new(STEPS);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        let (shown, run) = (bar.clone(), run.clone());
        let task = tokio::spawn(async move {
            let mut refresh = interval(REFRESH);
            loop {
                refresh.tick().await;
                shown.set_position((run.progress() * STEPS as f64) as u64);
                let (requests, answered, others, median) = {
                    let tally = run.so_far();
                    let (requests, answered, others) = tally.so_far();
                    (requests, answered, others, tally.median_ms())
                };
                shown.set_message(match requests {
                    0 => format!("{which}warming up"),
                    _ => format!("{which}{answered} answered, {others} not, p50 {median:.1} ms"),
                });
            }
        });
        Self { bar, task: Some(task) }
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.bar.finish_and_clear();
    }
}
