//! The end: who waits for it, until when, and what is told.

use std::{sync::mpsc::Sender, time::Instant};

use super::ends::Ends;

pub(super) struct Closing {
    deadline: Option<Instant>,
    /// Until it was answered.
    done: Option<Sender<Vec<String>>>,
}

impl Closing {
    /// * `deadline`: when whoever closes waits no longer
    pub(super) fn new(deadline: Option<Instant>, done: Sender<Vec<String>>) -> Self {
        Self { deadline, done: Some(done) }
    }

    /// Until it was answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Answers whoever closed, as soon as every model is gone or when the time is up. A load is not waited for: it may take
    /// minutes, and nobody will use what it makes.
    ///
    /// * `loads`: those that run, in words
    pub(super) fn conclude(&mut self, ends: &Ends, loads: Vec<String>) {
        let is_late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if !ends.is_empty() && !is_late {
            return;
        }
        self.deadline = None;
        if let Some(done) = self.done.take() {
            // Whoever closed may not wait for the answer.
            let _ = done.send(loads.into_iter().chain(ends.still_running()).collect());
        }
    }
}
