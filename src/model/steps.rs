//! How far a load is: told to the log when a step begins, and kept, so that a load that does not end can be named by the step
//! that it is in; and whether the load gives way to live traffic.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::runtime::{Provider, behind_traffic, sessions_behind_traffic};

/// What a load does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadStep {
    /// Its file comes from disk.
    Reading,
    /// Its graph is looked at.
    Inspecting,
    /// Another model is measured.
    WaitingToMeasure,
    /// The ways to run it are measured.
    Measuring,
    /// The engine compiles it.
    MakingSessions,
    /// The first runs.
    WarmingUp,
}

impl LoadStep {
    /// As in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Inspecting => "inspecting",
            Self::WaitingToMeasure => "waiting to measure",
            Self::Measuring => "measuring",
            Self::MakingSessions => "making sessions",
            Self::WarmingUp => "warming up",
        }
    }
}

/// The steps of one load. The thread that loads writes, the control task reads.
#[derive(Debug)]
pub struct LoadSteps {
    model: Arc<str>,
    version: u64,
    begun: Instant,
    gives_way: bool,
    beside_earlier: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Option<(LoadStep, Instant)>,
    done: Vec<(LoadStep, Duration)>,
}

impl LoadSteps {
    /// Nothing is begun yet.
    pub fn new(model: &str, version: u64) -> Self {
        Self {
            model: model.into(),
            version,
            begun: Instant::now(),
            gives_way: false,
            beside_earlier: false,
            state: Mutex::default(),
        }
    }

    /// The same for a load while others are served.
    pub fn beside_traffic(model: &str, version: u64) -> Self {
        Self { gives_way: true, ..Self::new(model, version) }
    }

    /// The same while an earlier version of the model is served and takes memory, too.
    #[must_use]
    pub fn beside_earlier(self) -> Self {
        Self { beside_earlier: true, ..self }
    }

    pub(super) fn is_beside_earlier(&self) -> bool {
        self.beside_earlier
    }

    /// Whether sessions are made and run side by side. Beside traffic that would take all cores; on a GPU, memory for all at once.
    pub(super) fn at_once(&self, provider: Provider) -> bool {
        !self.gives_way && provider == Provider::Cpu
    }

    /// Does a part of the load that leaves no thread behind; where others are served, it gives way to them.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn aside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        if self.gives_way { behind_traffic("load aside", work) } else { Ok(work()) }
    }

    /// Makes sessions on the processor aside; their own threads, which are to serve, stand where this thread stands.
    ///
    /// # Errors
    /// As of [`Self::aside`].
    pub(super) fn sessions_aside<T: Send>(&self, make: impl FnOnce() -> T + Send) -> io::Result<T> {
        if self.gives_way { sessions_behind_traffic("load aside", make) } else { Ok(make()) }
    }

    /// Ends the step before, and begins this one.
    pub fn begin(&self, step: LoadStep) {
        let now = Instant::now();
        self.state().enter(Some(step), now);
        let after_ms = now.saturating_duration_since(self.begun).as_millis() as u64;
        tracing::info!(model = &*self.model, version = self.version, after_ms, "loading: {}", step.name());
    }

    /// The load has ended.
    pub fn end(&self) {
        self.state().enter(None, Instant::now());
    }

    /// The step that is under way, and for how long; `None` before the first.
    pub fn now(&self) -> Option<(LoadStep, Duration)> {
        self.state().now.map(|(step, since)| (step, since.elapsed()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, next: Option<LoadStep>, now: Instant) {
        if let Some((step, since)) = self.now.take() {
            let took = now.saturating_duration_since(since);
            match self.done.iter_mut().find(|(done, _)| *done == step) {
                Some((_, time)) => *time += took,
                None => self.done.push((step, took)),
            }
        }
        self.now = next.map(|step| (step, now));
    }
}

/// The steps that are done, with their times: `reading 12 ms, inspecting 3 ms`.
impl fmt::Display for LoadSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        for (place, (step, took)) in state.done.iter().enumerate() {
            let between = if place == 0 { "" } else { ", " };
            write!(f, "{between}{} {} ms", step.name(), took.as_millis())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_step_that_comes_twice_are_added_up() {
        let mut state = State::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (step, ms) in [
            (Some(LoadStep::Reading), 0),
            (Some(LoadStep::MakingSessions), 5),
            (Some(LoadStep::WarmingUp), 25),
            (Some(LoadStep::MakingSessions), 26),
            (None, 36),
        ] {
            state.enter(step, at(ms));
        }
        let steps = LoadSteps { state: Mutex::new(state), ..LoadSteps::new("pets", 1) };
        assert_eq!(steps.to_string(), "reading 5 ms, making sessions 30 ms, warming up 1 ms");
        assert_eq!(steps.now(), None);
    }
}
