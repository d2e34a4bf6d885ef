//! The way of a line from whoever logs to stderr: a bounded queue and one thread that writes.
//!
//! Whoever logs is in the middle of answering a request, so nothing here fails, panics or waits for a reader. A line that
//! cannot be written (the disk is full, the pipe is closed), or that finds the queue full because nobody reads, is dropped
//! and counted. What waits is written before the process ends, if it can be written: see [`Lines::flush`].

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

/// What may wait to be written: some thousands of lines, which outlasts a reader that is busy for a moment.
const CAPACITY_BYTES: usize = 1 << 20;

/// What a waiting line takes beside its text, so that very short ones are bounded as well.
const LINE_OVERHEAD_BYTES: usize = 64;

/// The wait before another try where stderr is set not to block, which another process that shares it may have done.
const RETRY: Duration = Duration::from_millis(10);

/// Losses are told of in the log itself at most so often.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// While lines get written, flushing goes on for so many times its patience.
const SLOW_READER: u32 = 8;

/// The queue. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    came: Condvar,
    /// A line was written or given up.
    went: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    /// Of the waiting lines and of the one that is being written.
    bytes: usize,
    /// A line is being written.
    writing: bool,
    /// The thread sleeps and has to be woken.
    idle: bool,
    /// Lines that were written or given up.
    done: u64,
    /// The one thread that may still log; every thread where there is none.
    last_speaker: Option<ThreadId>,
}

impl Lines {
    /// Puts a line, with its line break, behind those that wait; drops and counts it where they are too many.
    pub(super) fn push(&self, line: &[u8]) {
        let taken = line.len() + LINE_OVERHEAD_BYTES;
        let mut state = self.state();
        if state.last_speaker.is_some_and(|speaker| speaker != thread::current().id()) {
            return;
        }
        if state.bytes + taken > CAPACITY_BYTES {
            drop(state);
            self.lose();
            return;
        }
        state.bytes += taken;
        state.waiting.push_back(line.to_vec());
        // A system call, so only where it is needed.
        if std::mem::take(&mut state.idle) {
            self.0.came.notify_one();
        }
    }

    /// From now on only the calling thread's lines are taken: the process ends, and what other threads say of work that is
    /// left behind is nothing that anybody has to read.
    pub(super) fn leave_to_this_thread(&self) {
        self.state().last_speaker = Some(thread::current().id());
    }

    /// Lines that were never written, so far.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything is written. Gives up where nothing moves for `patience`: nobody reads.
    pub(super) fn flush(&self, patience: Duration) {
        let begun = Instant::now();
        let mut moved = begun;
        let mut state = self.state();
        let mut done = state.done;
        while !state.waiting.is_empty() || state.writing {
            if moved.elapsed() >= patience || begun.elapsed() >= patience * SLOW_READER {
                return;
            }
            state = self.0.went.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            if state.done != done {
                (done, moved) = (state.done, Instant::now());
            }
        }
    }

    /// Starts the thread that writes to `out`.
    ///
    /// * `notice`: called from that thread when a line could be written again after others were lost, with their number
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn write_to(
        &self,
        out: impl Write + Send + 'static,
        notice: impl Fn(u64) + Send + 'static,
    ) -> io::Result<()> {
        let lines = self.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || lines.write(out, notice)).map(drop)
    }

    fn write(&self, mut out: impl Write, notice: impl Fn(u64)) {
        let (mut torn, mut told, mut told_at) = (false, 0, None::<Instant>);
        loop {
            let line = self.next();
            let outcome = write_line(&mut out, &line, &mut torn);
            if outcome.is_err() {
                self.lose();
            }
            self.concluded(line.len());
            let lost = self.lost();
            let may_tell = told_at.is_none_or(|at| at.elapsed() >= NOTICE_INTERVAL);
            if outcome.is_ok() && lost > told && may_tell {
                (told, told_at) = (lost, Some(Instant::now()));
                notice(lost);
            }
        }
    }

    /// The next line, as soon as there is one.
    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some(line) = state.waiting.pop_front() {
                state.writing = true;
                return line;
            }
            state.idle = true;
            state = self.0.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn concluded(&self, len: usize) {
        let mut state = self.state();
        state.bytes -= len + LINE_OVERHEAD_BYTES;
        state.writing = false;
        state.done += 1;
        drop(state);
        // Somebody waits only at the end of the process: then it is worth a system call, and else it is none.
        self.0.went.notify_all();
    }

    fn lose(&self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a formatter writes a whole line to.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line whole, or says why not.
///
/// * `torn`: whether the last line broke off in the middle, so that this one has to begin on a new line
fn write_line(out: &mut impl Write, line: &[u8], torn: &mut bool) -> io::Result<()> {
    if *torn {
        write_all(out, b"\n").1?;
        *torn = false;
    }
    let (written, outcome) = write_all(out, line);
    *torn = outcome.is_err() && written > 0;
    outcome
}

/// Writes `bytes`, and says how many were written.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, pipe},
        sync::mpsc,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A disk that is full while the number is 0 and else takes so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Disk {
        fn make_room(&self, bytes: usize) {
            self.0.lock().unwrap().0 = bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, file) = &mut *self.0.lock().unwrap();
            let count = bytes.len().min(*room);
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            *room -= count;
            file.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_whole_and_in_order_before_the_end() {
        let lines = Lines::default();
        let disk = Disk::default();
        disk.make_room(usize::MAX);
        lines.write_to(disk.clone(), |_| {}).unwrap();
        let expected: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        expected.split_inclusive('\n').for_each(|line| lines.push(line.as_bytes()));
        lines.flush(PATIENCE);
        assert_eq!(disk.text(), expected);
        assert_eq!(lines.lost(), 0);
    }

    #[test]
    fn the_last_words_are_the_last() {
        let lines = Lines::default();
        let disk = Disk::default();
        disk.make_room(usize::MAX);
        lines.write_to(disk.clone(), |_| {}).unwrap();
        let other = lines.clone();
        let (go, gone) = mpsc::channel();
        let loader = thread::spawn(move || {
            other.push(b"loading\n");
            gone.recv().unwrap();
            other.push(b"still loading\n");
        });
        lines.flush(PATIENCE);
        while disk.text().is_empty() {
            thread::yield_now();
        }
        lines.leave_to_this_thread();
        lines.push(b"stopped\n");
        go.send(()).unwrap();
        loader.join().unwrap();
        lines.flush(PATIENCE);
        assert_eq!(disk.text(), "loading\nstopped\n");
        assert_eq!(lines.lost(), 0, "nobody would read it: it is no loss");
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_told_of_when_there_is_room() {
        let lines = Lines::default();
        let disk = Disk::default();
        let (told, notices) = mpsc::channel();
        lines.write_to(disk.clone(), move |lost| told.send(lost).unwrap()).unwrap();
        lines.push(b"lost\n");
        lines.flush(PATIENCE);
        disk.make_room(4);
        lines.push(b"torn off\n");
        lines.flush(PATIENCE);
        assert_eq!(lines.lost(), 2);
        disk.make_room(100);
        lines.push(b"whole\n");
        assert_eq!(notices.recv_timeout(PATIENCE), Ok(2));
        assert_eq!(disk.text(), "torn\nwhole\n");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let lines = Lines::default();
        let (mut reader, writer) = pipe().unwrap();
        lines.write_to(writer, |_| {}).unwrap();
        let line = [b'x'; 1024];
        // More than the pipe and the queue take together.
        for _ in 0..4096 {
            lines.push(&line);
        }
        let lost = lines.lost();
        assert!(lost > 0 && lost < 4096, "{lost}");
        lines.flush(Duration::from_millis(1));

        let mut rest = vec![0; (4096 - lost as usize) * line.len()];
        reader.read_exact(&mut rest).unwrap();
        lines.flush(PATIENCE);
        assert_eq!(lines.lost(), lost, "what waited is written when somebody reads");
    }

    #[test]
    fn a_reader_that_left_ends_nothing() {
        let lines = Lines::default();
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        lines.write_to(writer, |_| {}).unwrap();
        for _ in 0..10 {
            lines.push(b"line\n");
        }
        lines.flush(PATIENCE);
        assert_eq!(lines.lost(), 10);
    }
}
