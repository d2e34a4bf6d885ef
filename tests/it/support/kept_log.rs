//! What is logged on the thread of a test, and so by a server that runs on it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::{
    Dispatch,
    level_filters::LevelFilter,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

/// The log of this thread, as long as it lives.
pub(crate) struct KeptLog {
    kept: Kept,
    _default: DefaultGuard,
    /// With one subscriber alone, `tracing` asks the thread that comes to a line first whether anybody wants it, for all threads and for good; another
    /// test's thread says no. With a second one it asks them all.
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl KeptLog {
    /// From now on, up to this level.
    pub(crate) fn up_to(level: LevelFilter) -> Self {
        let second = Dispatch::new(NoSubscriber::default());
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { kept, _default: set_default(subscriber), _second: second }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.kept.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}
