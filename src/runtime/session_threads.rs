//! The threads of sessions that are made behind live traffic and are to serve in front.
//!
//! A thread stands as far back as the one that starts it, and cannot step forward. So ONNX Runtime, which makes a session on a thread that
//! gives way, has the session's threads started by another one, which stands where they are to stand.

use std::{
    cell::RefCell,
    io,
    panic::resume_unwind,
    sync::mpsc::{Receiver, SendError, Sender, SyncSender, channel, sync_channel},
    thread::{self, JoinHandle},
};

use ort::environment::ThreadManager;

use super::quiet::step_back;

/// Makes sessions behind everything that is not so made; their threads stand where the caller stands, and serve from there.
///
/// The caller starts them, on the word of the thread of `make`, which waits for each; the caller waits for the end of `make`.
///
/// # Errors
/// If the system gives no thread. A panic of `make` is the caller's.
pub fn sessions_behind_traffic<T: Send>(name: &str, make: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (sender, inbox) = channel();
    thread::scope(|scope| {
        let ended = Ended(sender.clone());
        let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            let _ended = ended;
            step_back();
            STARTER.with_borrow_mut(|starter| *starter = Some(ThreadStarter(sender)));
            make()
        })?;
        start_as_told(&inbox);
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

thread_local! {
    /// Who starts the threads of sessions that are made on this thread; `None`: whoever makes them.
    static STARTER: RefCell<Option<ThreadStarter>> = const { RefCell::new(None) };
}

/// Starts threads on a thread that stands further to the front than the one that needs them.
#[derive(Clone)]
pub(super) struct ThreadStarter(Sender<Word>);

/// What [`sessions_behind_traffic`] is told by the thread that works.
enum Word {
    /// A thread with this work is to be started; whoever asked waits for the answer.
    Start(Box<dyn FnOnce() + Send>, SyncSender<io::Result<JoinHandle<()>>>),
    /// The work has ended, also by a panic.
    Ended,
}

struct Ended(Sender<Word>);

impl Drop for Ended {
    fn drop(&mut self) {
        // The caller waits for it, so somebody is there.
        let _ = self.0.send(Word::Ended);
    }
}

impl ThreadStarter {
    /// Who starts the threads of a session that is made on this thread; `None`: the engine itself.
    pub(super) fn of_this_thread() -> Option<Self> {
        STARTER.with_borrow(Clone::clone)
    }

    /// Starts a thread. An engine that asks once the session is made gets it from the thread that asks.
    ///
    /// # Errors
    /// If the system gives none.
    pub(super) fn start(&self, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let (answer, answered) = sync_channel(1);
        let work: Box<dyn FnOnce() + Send> = Box::new(work);
        if let Err(SendError(Word::Start(work, _))) = self.0.send(Word::Start(work, answer)) {
            return start_thread(work);
        }
        answered.recv().unwrap_or_else(|_| Err(io::Error::other("nobody starts threads any more")))
    }
}

/// Starts what it is told to until the work has ended.
fn start_as_told(inbox: &Receiver<Word>) {
    while let Ok(Word::Start(work, answer)) = inbox.recv() {
        // Whoever asked waits for it.
        let _ = answer.send(start_thread(work));
    }
}

/// A thread of a session, with the stack that an engine's own thread would have.
fn start_thread(work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("session".to_owned()).stack_size(SESSION_STACK_BYTES).spawn(work)
}

/// What Linux gives to the threads of programs in C++.
const SESSION_STACK_BYTES: usize = 8 << 20;

/// What ONNX Runtime asks when a session needs threads.
impl ThreadManager for ThreadStarter {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<Self::Thread> {
        self.start(work).map_err(ort::Error::wrap)
    }

    fn join(thread: Self::Thread) -> ort::Result<()> {
        thread.join().map_err(|_| ort::Error::new("a thread of a session has panicked"))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::runtime::{
        caught,
        quiet::{BEHIND_TRAFFIC, niceness},
    };

    #[test]
    fn threads_of_what_is_made_behind_traffic_stand_where_the_caller_stands() {
        let here = niceness();
        let (back, inside, late) = sessions_behind_traffic("quiet", || {
            let starter = ThreadStarter::of_this_thread().unwrap();
            let (tell, told) = channel();
            starter.start(move || tell.send(niceness()).unwrap()).unwrap().join().unwrap();
            (niceness(), told.recv().unwrap(), starter)
        })
        .unwrap();
        assert_eq!((back, inside), (BEHIND_TRAFFIC.max(here), here));
        assert!(ThreadStarter::of_this_thread().is_none());
        // The session lives on, and what it starts now is started where it is.
        let (tell, told) = channel();
        late.start(move || tell.send(niceness()).unwrap()).unwrap().join().unwrap();
        assert_eq!(told.recv().unwrap(), here);
        let panics = caught(|| sessions_behind_traffic("quiet", || panic!("no such layer")).map(|()| 0).ok());
        assert_eq!(panics, Err("no such layer".to_owned()));
    }
}
