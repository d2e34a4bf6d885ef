//! Dynamic batching: what a client is promised of the queue, whatever the network does.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use resnetd::{
    batching::{Batcher, Executors, Inside, JobError, Pending, Policy, Priority, Submission, SubmitError, Workers},
    runtime::{Executor, RunError, scripted::ScriptedExecutor},
    tensor::{Batch, ColorOrder, Input, InputShape, Layout, Logits, Normalizer, NumberType},
};
use tokio::sync::Semaphore;

use crate::support::server::ReleaseWhenDropped;

const SHAPE: InputShape = InputShape { layout: Layout::Nchw, channels: 3, height: 1, width: 1 };

const LOGITS: [f32; 3] = [0.25, -1.0, 4.0];

fn policy(max_batch_size: usize, queue_capacity: usize) -> Policy {
    Policy { max_batch_size, queue_capacity, max_queue_delay: Duration::ZERO }
}

/// A batcher whose networks are released before it is dropped, so that a test that fails does not hang.
struct Line {
    _release: Vec<ReleaseWhenDropped>,
    batcher: Batcher,
    workers: Workers,
}

impl Deref for Line {
    type Target = Batcher;

    fn deref(&self) -> &Batcher {
        &self.batcher
    }
}

fn start(policy: Policy, executors: impl Into<Executors<ScriptedExecutor>>) -> Line {
    let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
    let executors = executors.into();
    let all = executors.side_by_side.iter().chain(&executors.alone);
    let _release = all.cloned().map(ReleaseWhenDropped).collect();
    let (batcher, workers) = Batcher::start("scripted", policy, normalizer, SHAPE, executors).unwrap();
    Line { _release, batcher, workers }
}

/// An image of these numbers.
fn image(shape: InputShape, numbers: &[f32]) -> Input {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    shape.tensor(bytes.into(), NumberType::Float32).unwrap()
}

fn submission(deadline: Option<Instant>) -> Submission {
    Submission {
        input: image(SHAPE, &[0.0; 3]),
        announced: None,
        deadline,
        priority: Priority::DEFAULT,
        client: None,
        inside: Inside::Nothing,
        place: None,
    }
}

fn submit(batcher: &Line) -> Pending {
    batcher.submit(submission(None)).unwrap()
}

#[test]
fn what_waits_while_a_batch_runs_becomes_the_next_batch() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    let first = submit(&batcher);
    network.wait_for_batches(1);
    let waiting: Vec<Pending> = (0..5).map(|_| submit(&batcher)).collect();

    network.release();

    assert_eq!(first.wait().unwrap().batch_size, 1);
    for answer in waiting {
        let reply = answer.wait().unwrap();
        assert_eq!((reply.batch_size, &reply.logits[..]), (5, &LOGITS[..]));
    }
    assert_eq!(network.batch_sizes(), [1, 5]);
}

#[test]
fn an_image_that_is_alone_has_a_session_of_its_own_and_what_comes_meanwhile_the_others() {
    const ALONE: [f32; 3] = [9.0, 8.0, 7.0];
    let (alone, side_by_side) = (ScriptedExecutor::answering(&ALONE), ScriptedExecutor::blocked(&LOGITS));
    let executors = Executors { side_by_side: vec![side_by_side.clone()], alone: Some(alone.clone()) };
    let batcher = start(policy(8, 64), executors);
    for _ in 0..100 {
        assert_eq!(submit(&batcher).wait().unwrap().logits[..], ALONE);
    }
    alone.block();
    let first = submit(&batcher);
    alone.wait_for_batches(101);
    let second = submit(&batcher);
    side_by_side.wait_for_batches(1);
    let waiting = [submit(&batcher), submit(&batcher)];

    side_by_side.release();

    assert_eq!(second.wait().unwrap().logits[..], LOGITS);
    for answer in waiting {
        let reply = answer.wait().unwrap();
        assert_eq!((reply.batch_size, &reply.logits[..]), (2, &LOGITS[..]));
    }
    alone.release();
    assert_eq!(first.wait().unwrap().logits[..], ALONE);
    assert_eq!(submit(&batcher).wait().unwrap().logits[..], ALONE);
}

#[test]
fn images_by_the_thousand_are_all_answered_whoever_is_called_for_them() {
    let (alone, side_by_side) = (ScriptedExecutor::answering(&LOGITS), ScriptedExecutor::answering(&LOGITS));
    let executors = Executors { side_by_side: vec![side_by_side; 2], alone: Some(alone) };
    let line = start(policy(4, 64), executors);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..1_000).for_each(|_| drop(submit(&line).wait().unwrap())));
        }
    });
    let Line { batcher, workers, .. } = line;
    workers.close();
    assert_eq!(batcher.submit(submission(None)).map(|_| ()), Err(SubmitError::Closed));
}

#[test]
fn no_batch_exceeds_the_limit() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(4, 64), vec![network.clone()]);
    let first = submit(&batcher);
    network.wait_for_batches(1);
    let waiting: Vec<Pending> = (0..10).map(|_| submit(&batcher)).collect();

    network.release();

    first.wait().unwrap();
    waiting.into_iter().for_each(|answer| drop(answer.wait().unwrap()));
    assert_eq!(network.batch_sizes(), [1, 4, 4, 2]);
}

#[test]
fn an_image_beyond_the_queue_is_refused_and_the_others_are_answered() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 2), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    let waiting = [submit(&batcher), submit(&batcher)];

    let refused = batcher.submit(submission(None));

    assert!(matches!(refused.err(), Some(SubmitError::Full { capacity: 2, .. })));
    network.release();
    for answer in waiting.into_iter().chain([running]) {
        assert_eq!(&answer.wait().unwrap().logits[..], LOGITS);
    }
}

#[test]
fn a_client_that_left_costs_no_session_time() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    drop(submit(&batcher));
    let stays = submit(&batcher);

    network.release();

    running.wait().unwrap();
    assert_eq!(stays.wait().unwrap().batch_size, 1);
}

#[test]
fn an_image_whose_deadline_passed_in_the_queue_is_not_run() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    let deadline = Instant::now() + Duration::from_millis(50);
    let late = batcher.submit(submission(Some(deadline))).unwrap();
    while Instant::now() < deadline {
        std::thread::yield_now();
    }

    network.release();

    running.wait().unwrap();
    assert_eq!(late.wait().unwrap_err(), JobError::Expired);
    assert_eq!(network.batch_sizes(), [1]);
}

#[test]
fn an_image_that_comes_after_its_deadline_is_not_queued() {
    let batcher = start(policy(8, 64), vec![ScriptedExecutor::answering(&LOGITS)]);
    let refused = batcher.submit(submission(Some(Instant::now())));
    assert_eq!(refused.err(), Some(SubmitError::Expired));
}

#[test]
fn a_failed_batch_answers_everybody_and_the_next_one_runs() {
    let network = ScriptedExecutor::answering(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    network.fail("out of memory");

    let error = submit(&batcher).wait().unwrap_err();
    assert!(error.to_string().contains("out of memory"), "{error}");

    network.recover();
    submit(&batcher).wait().unwrap();
}

#[test]
fn a_panic_in_the_engine_costs_its_batch_and_not_the_worker() {
    let network = ScriptedExecutor::answering(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    network.panic();

    let error = submit(&batcher).wait().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");

    network.recover();
    submit(&batcher).wait().unwrap();
}

#[test]
fn two_sessions_run_side_by_side() {
    let (one, other) = (ScriptedExecutor::blocked(&LOGITS), ScriptedExecutor::blocked(&LOGITS));
    let batcher = start(policy(1, 64), vec![one.clone(), other.clone()]);
    let answers = [submit(&batcher), submit(&batcher)];

    one.wait_for_batches(1);
    other.wait_for_batches(1);

    one.release();
    other.release();
    answers.into_iter().for_each(|answer| drop(answer.wait().unwrap()));
}

#[test]
fn closing_answers_what_waits_and_takes_no_more() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(2, 64), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    let waiting: Vec<Pending> = (0..3).map(|_| submit(&batcher)).collect();
    network.release();

    let Line { _release, batcher, workers } = batcher;
    workers.close();

    for answer in waiting.into_iter().chain([running]) {
        answer.wait().unwrap();
    }
    assert_eq!(batcher.submit(submission(None)).err(), Some(SubmitError::Closed));
}

/// A network that notes the first value of every image it sees.
struct Noting(ScriptedExecutor, Arc<Mutex<Vec<f32>>>);

impl Executor for Noting {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        self.1.lock().unwrap().extend(batch.data().chunks(batch.image_len()).map(|image| image[0]));
        self.0.run(batch, logits)
    }
}

/// A network that notes how the thread is scheduled that runs it.
#[cfg(target_os = "linux")]
struct Scheduled(ScriptedExecutor, Arc<Mutex<Vec<libc::c_int>>>);

#[cfg(target_os = "linux")]
impl Executor for Scheduled {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        self.1.lock().unwrap().push(scheduling());
        self.0.run(batch, logits)
    }
}

/// Of this thread.
#[cfg(target_os = "linux")]
fn scheduling() -> libc::c_int {
    // SAFETY: it takes a number, 0 for the calling thread, and only reads.
    unsafe { libc::sched_getscheduler(0) }
}

#[test]
#[cfg(target_os = "linux")]
fn what_only_mirrors_is_run_in_the_gaps_that_others_leave_and_never_holds_back_who_runs_next() {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
    let network = Scheduled(ScriptedExecutor::answering(&LOGITS), noted.clone());
    let (batcher, _workers) = Batcher::start("scheduled", policy(8, 64), normalizer, SHAPE, vec![network]).unwrap();
    let run = |priority| {
        let pending = batcher.submit(Submission { priority, ..submission(None) }).unwrap();
        assert_eq!(*pending.wait().unwrap().logits, LOGITS);
    };
    for priority in [Priority::DEFAULT, Priority::SHADOW, Priority::LAST] {
        run(priority);
    }
    assert_eq!(*noted.lock().unwrap(), [scheduling(), libc::SCHED_IDLE, scheduling()]);
}

/// A network whose features are the first number of each image, and which notes in which batches somebody wanted them.
struct Featured(ScriptedExecutor, Arc<Mutex<Vec<bool>>>);

impl Executor for Featured {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        self.1.lock().unwrap().push(false);
        self.0.run(batch, logits)
    }

    fn run_with_features(&mut self, batch: &Batch, logits: &mut Logits, features: &mut Logits) -> Result<(), RunError> {
        self.1.lock().unwrap().push(true);
        let first: Vec<f32> = batch.data().chunks(batch.image_len()).map(|image| image[0]).collect();
        features.fill(1, &first);
        self.0.run(batch, logits)
    }
}

#[test]
fn a_batch_in_which_one_image_wants_features_is_run_with_them_and_only_that_image_gets_its_own() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let _release = ReleaseWhenDropped(network.clone());
    let noted = Arc::new(Mutex::new(Vec::new()));
    let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
    let featured = vec![Featured(network.clone(), noted.clone())];
    let (batcher, _workers) = Batcher::start("featured", policy(8, 64), normalizer, SHAPE, featured).unwrap();
    let submit = |number: f32, inside| {
        let input = image(SHAPE, &[number; 3]);
        batcher.submit(Submission { input, inside, ..submission(None) }).unwrap()
    };
    let (nothing, features) = (Inside::Nothing, Inside::Features);
    let alone = submit(0.0, nothing);
    network.wait_for_batches(1);
    let together: Vec<_> = [(1.0, nothing), (2.0, features), (3.0, nothing), (4.0, features)]
        .map(|(it, wanted)| submit(it, wanted))
        .into();
    network.release();
    assert_eq!(alone.wait().unwrap().features, None);
    let got: Vec<_> = together.into_iter().map(|image| image.wait().unwrap()).collect();
    assert!(got.iter().all(|reply| *reply.logits == LOGITS));
    let features: Vec<_> = got.into_iter().map(|reply| reply.features.map(Vec::from)).collect();
    assert_eq!(features, [None, Some(vec![2.0]), None, Some(vec![4.0])]);
    let after = submit(5.0, nothing);
    assert_eq!(after.wait().unwrap().features, None, "those of an earlier batch are nobody's");
    assert_eq!(*noted.lock().unwrap(), [false, true, false]);
}

#[test]
fn a_network_without_features_fails_the_batch_that_asks_and_no_other() {
    let line = start(policy(1, 8), vec![ScriptedExecutor::answering(&LOGITS)]);
    let asking = line.submit(Submission { inside: Inside::Features, ..submission(None) }).unwrap();
    assert!(matches!(asking.wait(), Err(JobError::Failed(reason)) if reason.contains("no features")));
    assert_eq!(*submit(&line).wait().unwrap().logits, LOGITS);
}

#[test]
fn an_urgent_image_overtakes_those_that_wait_and_equals_keep_their_order() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let _release = ReleaseWhenDropped(network.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
    let noting = vec![Noting(network.clone(), seen.clone())];
    let (batcher, _workers) = Batcher::start("noting", policy(1, 64), normalizer, SHAPE, noting).unwrap();
    let submit = |number: f32, priority| {
        let input = image(SHAPE, &[number; 3]);
        batcher.submit(Submission { input, priority, ..submission(None) }).unwrap()
    };
    let running = submit(0.0, Priority::DEFAULT);
    network.wait_for_batches(1);
    let waiting = [(1.0, 100), (2.0, 100), (3.0, 1), (4.0, 200), (5.0, 1)];
    let waiting = waiting.map(|(number, priority)| submit(number, Priority(priority)));

    network.release();

    running.wait().unwrap();
    waiting.into_iter().for_each(|pending| drop(pending.wait().unwrap()));
    assert_eq!(*seen.lock().unwrap(), [0.0, 3.0, 5.0, 1.0, 2.0, 4.0]);
}

#[test]
fn the_place_of_an_image_whose_client_left_is_free_at_once() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 2), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    let places = Arc::new(Semaphore::new(2));
    let placed = || Submission { place: places.clone().try_acquire_owned().ok(), ..submission(None) };
    let left = [batcher.submit(placed()).unwrap(), batcher.submit(placed()).unwrap()];
    assert_eq!((places.available_permits(), batcher.depth()), (0, 2));

    drop(left);

    assert_eq!((places.available_permits(), batcher.depth()), (2, 0));
    network.release();
    running.wait().unwrap();
}

#[test]
fn an_image_made_for_another_network_is_refused_and_costs_nobody_anything() {
    let batcher = start(policy(8, 64), vec![ScriptedExecutor::answering(&LOGITS)]);
    let other = InputShape { height: 3, ..SHAPE };
    let stranger = Submission { input: image(other, &[0.0; 9]), ..submission(None) };
    let refused = batcher.submit(stranger).err();
    assert_eq!(refused, Some(SubmitError::Misfit { wanted: [3, 1, 1], got: [3, 3, 1] }));
    submit(&batcher).wait().unwrap();
}
