//! Ctrl-C and SIGTERM for a command that makes files: one line, the exit code that shells expect, nothing half-written.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use super::output::complain;
use crate::telemetry::flush_log;

/// Ends the process at the first signal, unless files are appearing at that moment.
pub(super) struct Interrupt {
    /// Whether the files are there; locked while they appear.
    written: Arc<Mutex<bool>>,
}

impl Interrupt {
    /// Watches from now on.
    ///
    /// * `tidy`: puts the terminal in order before the line
    /// * `line`: what is said then
    ///
    /// # Errors
    /// If the system gives no handler or no thread.
    pub(super) fn watch(tidy: impl FnOnce() + Send + 'static, line: &'static str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let written = Arc::new(Mutex::new(false));
        let lock = written.clone();
        thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            let signal = runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                }
            });
            // What is being written is finished first; then the process ends by itself.
            let written = lock.lock().unwrap_or_else(PoisonError::into_inner);
            if !*written {
                tidy();
                complain(line);
                end(128 + signal.as_raw_value());
            }
        })?;
        Ok(Self { written })
    }

    /// Signals wait while the guard lives. What it guards is to be set once the files are there: then they come too late.
    pub(super) fn hold(&self) -> MutexGuard<'_, bool> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the process where it stands, once its log is written or given up. `process::exit` would run the destructors of ONNX Runtime while another thread is
/// inside it, and crash more often than not.
pub(super) fn end(code: i32) -> ! {
    flush_log();
    // SAFETY: it takes a number and does not return; what is open is closed by the system, and nothing else is promised.
    unsafe { libc::_exit(code) }
}
