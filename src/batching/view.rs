//! What a queue knows at one moment, for whoever wants to understand what it does.

use std::time::Duration;

/// A queue, its workers, and what it foresees.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// Images that wait for a worker.
    pub waiting: usize,
    /// Images that are being decoded and will wait.
    pub coming: usize,
    /// Sessions.
    pub workers: usize,
    /// Those that run a batch.
    pub busy_workers: usize,
    /// The share of the workers that were busy of late, 0 to 1.
    pub load: f64,
    /// What expected times are multiplied by before they are held against a deadline.
    pub care_factor: f64,
    /// Images that were taken and not answered before their deadline.
    pub deadline_misses: u64,
    /// The share of the images refused for their deadline that would have been answered in time, by sampling.
    pub refused_in_vain: f64,
    /// From the announcement of an image until it is decoded, of late.
    pub preparation: Duration,
    /// A run of each size, from one image on; empty before the first run.
    pub runs: Vec<ExpectedRun>,
}

/// How long a run of one size takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedRun {
    /// How many images it has.
    pub images: usize,
    /// How long it takes.
    pub time: Duration,
    /// Whether there were such runs; else it is foreseen from other sizes.
    pub is_measured: bool,
}
