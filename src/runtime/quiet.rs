//! Work that gives way to live traffic, on a thread of its own.
//!
//! A leaf. On a thread of its own, because a thread that has stepped back cannot step forward again without a privilege, and because
//! threads that it starts stand as far back as it does: a session's own threads, made here, would serve from behind for ever.

use std::{io, panic::resume_unwind, thread};

/// How far back: with a tenth of the weight of a thread at 0, what is loaded gets a tenth of a core that traffic uses up, and a
/// whole one where there is no traffic.
#[cfg(target_os = "linux")]
const NICE: libc::c_int = 10;

/// Runs `work` behind everything that is not so run, and waits for it. It must not start a thread that is to stay.
///
/// # Errors
/// If the system gives no thread. A panic of `work` is the caller's.
pub fn behind_traffic<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            step_back();
            work()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Lets this thread, and those that it starts, give way from now on. Elsewhere than on Linux it goes on as before.
#[cfg(target_os = "linux")]
pub fn step_back() {
    let now = nice();
    // Whoever runs the server may have put it further back, and a privileged thread would step forward.
    if now < NICE {
        // SAFETY: `setpriority` takes three numbers and touches no memory of ours. On Linux 0 means the calling thread, not its process.
        // Stepping back needs no privilege; should it be refused all the same, the work is done as before.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    }
}

/// How far back this thread is.
#[cfg(target_os = "linux")]
fn nice() -> libc::c_int {
    // SAFETY: `getpriority` takes two numbers and only reads; of the calling thread it cannot fail.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Lets this thread, and those that it starts, give way from now on. Elsewhere than on Linux it goes on as before.
#[cfg(not(target_os = "linux"))]
pub fn step_back() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_gives_way_does_so_alone_and_its_panic_is_the_callers() {
        let here = nice();
        assert_eq!(behind_traffic("quiet", nice).unwrap(), NICE.max(here));
        assert_eq!(nice(), here);
        let panics = super::super::caught(|| behind_traffic("quiet", || panic!("no such layer")).map(|()| 0).ok());
        assert_eq!(panics, Err("no such layer".to_owned()));
    }
}
