//! Ctrl-C and SIGTERM for a command that makes files: one line, the exit code that shells expect, nothing half-written.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use super::output::complain;
use crate::telemetry::flush_log;

/// What a signal ends with, as long as the files are not there.
pub(super) const NOTHING_WRITTEN: &str = "error: interrupted; nothing was written";

/// The same, where a journal has what is done.
pub(super) const KEPT: &str = "error: interrupted; what is done is kept, and the same command goes on from there";

/// A thread waits for a signal and ends the process, but never while the command's files are being published. Dropped, it ends;
/// the guard of [`Interrupt::hold`] has to be gone by then.
pub(super) struct Interrupt {
    /// Whether the files are published. The command holds the lock while it publishes them.
    written: Arc<Mutex<bool>>,
    over: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.over.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of it changes nothing any more.
            let _ = thread.join();
        }
    }
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
        let (written, over) = (Arc::new(Mutex::new(false)), Arc::new(Notify::new()));
        let (lock, is_over) = (written.clone(), over.clone());
        let thread = thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            let signal = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => Some(SignalKind::interrupt()),
                    _ = terminate.recv() => Some(SignalKind::terminate()),
                    () = is_over.notified() => None,
                }
            });
            let Some(signal) = signal else { return };
            // Waits until a publication in progress is over. If it was, the command is done, and ends the process
            // itself.
            let written = lock.lock().unwrap_or_else(PoisonError::into_inner);
            if !*written {
                tidy();
                complain(line);
                end(128 + signal.as_raw_value());
            }
        })?;
        Ok(Self { written, over, thread: Some(thread) })
    }

    /// The command holds the guard while it publishes, and a signal waits that long. The command sets the guarded value
    /// to `true` when its files are published; then a signal changes nothing any more.
    pub(super) fn hold(&self) -> MutexGuard<'_, bool> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the process at once, when its log is written or given up. No destructors: `process::exit` would run those of ONNX
/// Runtime while another thread computes with it, which crashes more often than not.
pub(super) fn end(code: i32) -> ! {
    flush_log();
    // SAFETY: `_exit` takes a number, touches no memory of ours and does not return; the system closes what is open.
    unsafe { libc::_exit(code) }
}
