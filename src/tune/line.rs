//! Executors at work, as the server gives them work: other threads prepare the images meanwhile, and take their share
//! of the same cores.
//!
//! An engine that is timed alone has all cores to itself. In the server, other threads take some of them, and a run
//! that is shared by many threads suffers most, because it ends only when its slowest thread does. So it is measured
//! here which number of sessions and threads serves best.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    runtime::{Executor, RunError, caught},
    tensor::{Batch, Logits},
};

/// Prepares one image, as a request's: decodes it, resizes, crops and normalizes.
pub type Prepare = Arc<dyn Fn() + Send + Sync>;

/// The runs of one thread in milliseconds, and how long it was at it.
type Runs = (Vec<f64>, Duration);

/// What runs beside the executors.
#[derive(Clone)]
pub struct PreparationLoad {
    /// What an image costs before it is run.
    pub prepare: Prepare,
    /// How many are prepared side by side.
    pub threads: usize,
}

/// What was seen of executors at work.
pub(super) struct Slice {
    /// Of all of them together.
    pub(super) images_per_second: f64,
    /// Every run, in milliseconds.
    pub(super) run_ms: Vec<f64>,
}

/// All executors side by side, each at it for `length` and at least once; nothing else runs.
pub(super) fn alone<E: Executor>(executors: &mut [E], batch: &Batch, length: Duration) -> Result<Slice, RunError> {
    work(executors, batch, length, None)
}

/// The same, while `beside` prepares an image for each that is run.
///
/// Each executor starts with two prepared batches and one to be prepared. The images then go round: what was run comes
/// back to be prepared, so that there are always enough to keep the executors busy.
pub(super) fn served<E: Executor>(
    executors: &mut [E],
    batch: &Batch,
    length: Duration,
    beside: &PreparationLoad,
) -> Result<Slice, RunError> {
    let one_each = batch.len() * executors.len();
    let stock = Stock::new(one_each, 2 * one_each);
    std::thread::scope(|scope| {
        for _ in 0..beside.threads {
            scope.spawn(|| prepare(beside, &stock));
        }
        // Also when this ends by a panic: the scope waits for the threads that prepare, and they for images.
        let _closing = CloseWhenDropped(&stock);
        work(executors, batch, length, Some(&stock))
    })
}

/// Prepares an image for each that was run, until the executors are done. A panic closes the stock, so that nobody waits
/// for the image that does not come.
fn prepare(beside: &PreparationLoad, stock: &Stock) {
    while stock.take_raw() {
        if let Err(reason) = caught(|| (beside.prepare)()) {
            return stock.give_up(&reason);
        }
        stock.put_ready();
    }
}

fn work<E: Executor>(
    executors: &mut [E],
    batch: &Batch,
    length: Duration,
    stock: Option<&Stock>,
) -> Result<Slice, RunError> {
    let work = |executor: &mut E| {
        let (begun, mut logits, mut runs) = (Instant::now(), Logits::default(), Vec::new());
        loop {
            if let Some(stock) = stock {
                stock.take_ready(batch.len())?;
            }
            let started = Instant::now();
            executor.run(batch, &mut logits)?;
            runs.push(started.elapsed().as_secs_f64() * 1e3);
            if let Some(stock) = stock {
                stock.put_raw(batch.len());
            }
            if begun.elapsed() >= length {
                return Ok((runs, begun.elapsed()));
            }
        }
    };
    let guarded = |executor: &mut E| caught(|| work(executor)).unwrap_or_else(|reason| Err(panicked(&reason)));
    let all: Vec<Runs> = match executors {
        [only] => vec![guarded(only)?],
        several => std::thread::scope(|scope| {
            let threads: Vec<_> = several.iter_mut().map(|executor| scope.spawn(|| guarded(executor))).collect();
            let lost = |_| Err(panicked("a thread that ran it is gone"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect::<Result<_, _>>()
        })?,
    };
    let of_one = |(runs, took): &Runs| (runs.len() * batch.len()) as f64 / took.as_secs_f64().max(1e-9);
    Ok(Slice {
        images_per_second: all.iter().map(of_one).sum(),
        run_ms: all.into_iter().flat_map(|(runs, _)| runs).collect(),
    })
}

fn panicked(reason: &str) -> RunError {
    RunError::Engine(format!("it panicked: {reason}"))
}

/// The images that go round between the threads that prepare and the executors that run.
struct Stock {
    counts: Mutex<Counts>,
    changed: Condvar,
}

struct Counts {
    raw: usize,
    ready: usize,
    closed: bool,
    /// Why no image will be ready any more.
    given_up: Option<String>,
}

struct CloseWhenDropped<'a>(&'a Stock);

impl Drop for CloseWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.change(|counts| counts.closed = true);
    }
}

impl Stock {
    fn new(raw: usize, ready: usize) -> Self {
        Self { counts: Mutex::new(Counts { raw, ready, closed: false, given_up: None }), changed: Condvar::new() }
    }

    /// Waits until there is an image to prepare; `false` when the executors are done, and the thread should end.
    fn take_raw(&self) -> bool {
        let mut counts = self.wait_while(|counts| counts.raw == 0 && !counts.closed);
        let going = !counts.closed;
        counts.raw -= usize::from(going);
        going
    }

    /// Waits for a whole batch; an error when none comes any more.
    fn take_ready(&self, count: usize) -> Result<(), RunError> {
        let mut counts = self.wait_while(|counts| counts.ready < count && counts.given_up.is_none());
        if let Some(reason) = &counts.given_up {
            return Err(RunError::Engine(format!("preparing an image for it panicked: {reason}")));
        }
        counts.ready -= count;
        Ok(())
    }

    fn give_up(&self, reason: &str) {
        self.change(|counts| (counts.closed, counts.given_up) = (true, Some(reason.to_owned())));
    }

    fn put_ready(&self) {
        self.change(|counts| counts.ready += 1);
    }

    fn put_raw(&self, count: usize) {
        self.change(|counts| counts.raw += count);
    }

    fn wait_while(&self, lacking: impl Fn(&Counts) -> bool) -> MutexGuard<'_, Counts> {
        self.changed.wait_while(self.lock(), |counts| lacking(counts)).unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut Counts)) {
        how(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::{runtime::scripted::ScriptedExecutor, tensor::Layout};

    fn batch(size: usize) -> Batch {
        let mut batch = Batch::new(Layout::Nchw, 1, 1, size);
        (0..size).for_each(|_| batch.push().fill(0.0));
        batch
    }

    #[test]
    fn while_executors_run_an_image_is_prepared_for_each_that_they_take() {
        let blocked = ScriptedExecutor::blocked(&[1.0]);
        let prepared = Arc::new(AtomicUsize::new(0));
        let beside = PreparationLoad {
            prepare: Arc::new({
                let (prepared, blocked) = (prepared.clone(), blocked.clone());
                move || {
                    // The first batches are held until an image was prepared, so that the test ends only if preparation
                    // runs beside them.
                    blocked.wait_for_batches(2);
                    prepared.fetch_add(1, SeqCst);
                    blocked.release();
                }
            }),
            threads: 2,
        };
        let mut executors = [blocked.clone(), blocked.clone()];
        let slice = served(&mut executors, &batch(4), Duration::from_millis(5), &beside).unwrap();
        let taken: usize = blocked.batch_sizes().iter().sum();
        assert!(slice.images_per_second > 0.0 && slice.run_ms.len() * 4 == taken);
        // Two batches of each executor were there before.
        assert!(prepared.load(SeqCst) + 2 * 2 * 4 >= taken, "{} for {taken}", prepared.load(SeqCst));
    }

    #[test]
    fn an_executor_that_fails_ends_the_slice_with_its_reason() {
        let executor = ScriptedExecutor::answering(&[1.0]);
        executor.fail("out of memory");
        let beside = PreparationLoad { prepare: Arc::new(|| ()), threads: 1 };
        let mut executors = [executor.clone(), executor];
        let error = served(&mut executors, &batch(1), Duration::ZERO, &beside).err().expect("it fails");
        assert!(error.to_string().contains("out of memory"), "{error}");
    }
    #[test]
    fn a_panic_of_an_executor_or_of_a_preparation_is_the_failure_of_its_slice_and_nobody_waits_for_ever() {
        let panics = || -> Prepare { Arc::new(|| panic!("no such photo")) };
        for sessions in [1, 2] {
            let executor = ScriptedExecutor::answering(&[1.0]);
            let mut executors = vec![executor.clone(); sessions];
            let beside = PreparationLoad { prepare: panics(), threads: 2 };
            let error = served(&mut executors, &batch(2), Duration::from_secs(60), &beside).err().expect("it fails");
            assert!(error.to_string().contains("no such photo"), "{error}");

            executor.panic();
            let beside = PreparationLoad { prepare: Arc::new(|| ()), threads: 2 };
            let error = served(&mut executors, &batch(2), Duration::from_secs(60), &beside).err().expect("it fails");
            assert!(error.to_string().contains("the script says so"), "{error}");
        }
    }
}
