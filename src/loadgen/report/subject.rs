//! What is reported: the runs, and what was the same in all of them.

use serde::Serialize;

use crate::loadgen::{
    form::{PictureForm, WireProtocol},
    summary::{PaceSummary, RunSummary},
};

/// A load from beginning to end.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// Of this command.
    pub resnetd: String,
    /// When it began, UTC.
    pub started: String,
    /// The server.
    pub url: String,
    /// The model that was asked.
    pub model: String,
    /// What was spoken.
    pub protocol: WireProtocol,
    /// How pictures were carried.
    pub form: PictureForm,
    /// Where they came from.
    pub pictures: String,
    /// In each request.
    pub images_per_request: usize,
    /// Of the first request's body.
    pub body_bytes: usize,
    /// The deadline that each request gave itself.
    pub timeout_ms: Option<u64>,
    /// How urgent it said it was.
    pub priority: Option<u32>,
    /// One for each rate; one in a closed loop.
    pub runs: Vec<RunSummary>,
}

impl LoadReport {
    /// What was sent, in words.
    pub(super) fn outline(&self) -> String {
        let Self { protocol, form, pictures, images_per_request, body_bytes, .. } = self;
        let several =
            if *images_per_request == 1 { "one image".to_owned() } else { format!("{images_per_request} images") };
        let mut text = format!("{protocol} {form}, {several} a request, {}: {pictures}", bytes(*body_bytes as u64));
        if let Some(ms) = self.timeout_ms {
            text.push_str(&format!("; deadline {ms} ms"));
        }
        if let Some(priority) = self.priority {
            text.push_str(&format!("; priority {priority}"));
        }
        text
    }
}

/// What kind of load a run was, in a few letters.
pub(super) fn load(run: &RunSummary) -> String {
    match run.pace {
        PaceSummary::Closed { clients: 1 } => "1 client".to_owned(),
        PaceSummary::Closed { clients } => format!("{clients} clients"),
        PaceSummary::Open { rate, .. } => format!("{rate}/s"),
    }
}

/// Three digits.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// As people count them.
pub(super) fn bytes(count: u64) -> String {
    match count as f64 {
        large if large >= 1e9 => format!("{} GB", digits(large / 1e9)),
        large if large >= 1e6 => format!("{} MB", digits(large / 1e6)),
        large if large >= 1e3 => format!("{} KB", digits(large / 1e3)),
        _ => format!("{count} bytes"),
    }
}
