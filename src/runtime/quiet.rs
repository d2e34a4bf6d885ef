//! Who has the cores when several want them: work that gives way to live traffic, and models with a smaller share, on threads
//! that stand further back.
//!
//! A leaf. The system's scheduler does it, by the niceness of threads: what nobody else wants everybody may have, and no thread
//! waits for another's end. On threads of their own, because a thread that has stepped back cannot step forward again without a
//! privilege, and because threads that it starts stand as far back as it does.

use std::{io, panic::resume_unwind, thread};

/// The furthest back.
const LAST: i32 = 19;

/// How far back what is loaded beside traffic stands: it gets a 28th of a core that traffic uses up, and a whole one where there is no traffic. It is not
/// alone there: measuring has two threads a core, which take 0.07 of each so. At nice 10 they took 0.18, all that traffic at 0.8 of the capacity has to spare.
/// Some share has to be left, or a server in trouble could never be given a lighter model.
pub(super) const BEHIND_TRAFFIC: i32 = 15;

/// Each step back takes a fifth of a thread's weight.
const STEP: f64 = 1.25;

/// Runs `work` behind everything that is not so run, and waits for it. It must not start a thread that is to stay: a session's own
/// threads, made here, would serve from behind for ever; [`sessions_behind_traffic`](super::sessions_behind_traffic) is for those.
///
/// # Errors
/// If the system gives no thread. A panic of `work` is the caller's.
pub fn behind_traffic<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    apart(name, step_back, work)
}

/// Runs `work` in the gaps that everything else leaves, and waits for it: for what nobody waits for in earnest. A thread that wakes up has its core at once,
/// and is put on that core as if it were idle; where no core is ever idle, it takes as long as it takes. What holds a lock that others want must not run so.
///
/// # Errors
/// As of [`behind_traffic`].
pub fn in_gaps<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    apart(name, give_everything_way, work)
}

/// Runs `work`, which starts a model's threads, so that they have `share` of the weight of others when all want the cores, and waits
/// for it.
///
/// * `share`: more than 0, at most 1; the nearest that the system knows is taken, 1, 0.8, 0.64 and so on
///
/// # Errors
/// As of [`behind_traffic`].
pub fn with_share<T: Send>(share: f64, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    match steps_of(share) {
        0 => Ok(work()),
        steps => apart("start a model", || stand_at(niceness() + steps), work),
    }
}

/// Lets this thread, and those that it starts, give way from now on. Elsewhere than on Linux it goes on as before.
pub fn step_back() {
    stand_at(BEHIND_TRAFFIC);
}

/// Runs `work` on a thread of its own, after `first`, and waits for it.
fn apart<T: Send>(name: &str, first: impl FnOnce() + Send, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            first();
            work()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// How many steps back leave `share` of the weight.
fn steps_of(share: f64) -> i32 {
    (share.recip().log(STEP).round() as i32).clamp(0, LAST)
}

/// Whoever runs the server may have put a thread further back, and a privileged one would step forward.
#[cfg(target_os = "linux")]
fn stand_at(wanted: i32) {
    let wanted = wanted.min(LAST);
    if niceness() < wanted {
        // SAFETY: `setpriority` takes three numbers and touches no memory of ours. On Linux 0 means the calling thread, not its process.
        // Stepping back needs no privilege; should it be refused all the same, the work is done as before.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, wanted) };
    }
}

/// How far back this thread is.
#[cfg(target_os = "linux")]
pub(super) fn niceness() -> i32 {
    // SAFETY: `getpriority` takes two numbers and only reads; of the calling thread it cannot fail.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Leaves this thread what is left over. What a sandbox does not let it do is done by niceness.
#[cfg(target_os = "linux")]
fn give_everything_way() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `sched_setscheduler` reads the parameters, which live until it returns, and changes the policy of the calling thread (0), which needs no
    // privilege in this direction.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } != 0 {
        stand_at(LAST);
    }
}

/// Elsewhere niceness is a process's, not a thread's.
#[cfg(not(target_os = "linux"))]
fn stand_at(_wanted: i32) {}

#[cfg(not(target_os = "linux"))]
fn give_everything_way() {}

#[cfg(not(target_os = "linux"))]
pub(super) fn niceness() -> i32 {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_gives_way_does_so_alone_and_its_panic_is_the_callers() {
        let here = niceness();
        assert_eq!(behind_traffic("quiet", niceness).unwrap(), BEHIND_TRAFFIC.max(here));
        assert_eq!(niceness(), here);
        let panics = super::super::caught(|| behind_traffic("quiet", || panic!("no such layer")).map(|()| 0).ok());
        assert_eq!(panics, Err("no such layer".to_owned()));
    }

    #[test]
    fn what_runs_in_the_gaps_leaves_its_caller_where_it_is() {
        // SAFETY: `sched_getscheduler` takes a number, 0 for the calling thread, and only reads.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let here = policy();
        assert_eq!(in_gaps("gaps", policy).unwrap(), libc::SCHED_IDLE);
        assert_eq!(policy(), here);
    }

    #[test]
    fn a_share_is_the_nearest_weight_of_the_scheduler_and_threads_inherit_it() {
        assert_eq!([1.0, 0.95, 0.8, 0.5, 0.1, 0.02, 1e-9].map(steps_of), [0, 0, 1, 3, 10, 18, LAST]);
        let here = niceness();
        let of_a_thread = || thread::spawn(niceness).join().unwrap();
        assert_eq!(with_share(0.5, of_a_thread).unwrap(), (here + 3).min(LAST));
        assert_eq!(with_share(1.0, of_a_thread).unwrap(), here);
        assert_eq!(niceness(), here);
    }
}
