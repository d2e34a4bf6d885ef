//! Dynamic batching: what a client is promised of the queue, whatever the network does.

use std::time::{Duration, Instant};

use resnetd::{
    batching::{Batcher, JobError, Policy, Reply, SubmitError},
    runtime::scripted::ScriptedExecutor,
    tensor::{ColorOrder, Input, Layout, Normalizer},
};
use tokio::sync::oneshot::Receiver;

type Answer = Receiver<Result<Reply, JobError>>;

const LOGITS: [f32; 3] = [0.25, -1.0, 4.0];

fn policy(max_batch_size: usize, queue_capacity: usize) -> Policy {
    Policy { max_batch_size, queue_capacity, max_queue_delay: Duration::ZERO }
}

fn start(policy: Policy, executors: Vec<ScriptedExecutor>) -> Batcher {
    let normalizer = Normalizer::new(1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb, Layout::Nchw);
    Batcher::start("scripted", policy, normalizer, (1, 1), executors).unwrap()
}

fn submit(batcher: &Batcher) -> Answer {
    batcher.submit(Input::Tensor(vec![0.0; 3]), None).unwrap()
}

#[test]
fn what_waits_while_a_batch_runs_becomes_the_next_batch() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    let first = submit(&batcher);
    network.wait_for_batches(1);
    let waiting: Vec<Answer> = (0..5).map(|_| submit(&batcher)).collect();

    network.release();

    assert_eq!(first.blocking_recv().unwrap().unwrap().batch_size, 1);
    for answer in waiting {
        let reply = answer.blocking_recv().unwrap().unwrap();
        assert_eq!((reply.batch_size, &reply.logits[..]), (5, &LOGITS[..]));
    }
    assert_eq!(network.batch_sizes(), [1, 5]);
}

#[test]
fn no_batch_exceeds_the_limit() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(4, 64), vec![network.clone()]);
    let first = submit(&batcher);
    network.wait_for_batches(1);
    let waiting: Vec<Answer> = (0..10).map(|_| submit(&batcher)).collect();

    network.release();

    first.blocking_recv().unwrap().unwrap();
    waiting.into_iter().for_each(|answer| drop(answer.blocking_recv().unwrap().unwrap()));
    assert_eq!(network.batch_sizes(), [1, 4, 4, 2]);
}

#[test]
fn an_image_beyond_the_queue_is_refused_and_the_others_are_answered() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 2), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    let waiting = [submit(&batcher), submit(&batcher)];

    let refused = batcher.submit(Input::Tensor(vec![0.0; 3]), None);

    assert!(matches!(refused, Err(SubmitError::Full { capacity: 2, .. })), "{refused:?}");
    network.release();
    for answer in waiting.into_iter().chain([running]) {
        assert_eq!(&answer.blocking_recv().unwrap().unwrap().logits[..], LOGITS);
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

    running.blocking_recv().unwrap().unwrap();
    assert_eq!(stays.blocking_recv().unwrap().unwrap().batch_size, 1);
}

#[test]
fn an_image_whose_deadline_passed_in_the_queue_is_not_run() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    let late = batcher.submit(Input::Tensor(vec![0.0; 3]), Some(Instant::now())).unwrap();

    network.release();

    running.blocking_recv().unwrap().unwrap();
    assert_eq!(late.blocking_recv().unwrap().unwrap_err(), JobError::Expired);
    assert_eq!(network.batch_sizes(), [1]);
}

#[test]
fn a_failed_batch_answers_everybody_and_the_next_one_runs() {
    let network = ScriptedExecutor::answering(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    network.fail("out of memory");

    let error = submit(&batcher).blocking_recv().unwrap().unwrap_err();
    assert!(error.to_string().contains("out of memory"), "{error}");

    network.recover();
    submit(&batcher).blocking_recv().unwrap().unwrap();
}

#[test]
fn a_panic_in_the_engine_costs_its_batch_and_not_the_worker() {
    let network = ScriptedExecutor::answering(&LOGITS);
    let batcher = start(policy(8, 64), vec![network.clone()]);
    network.panic();

    let error = submit(&batcher).blocking_recv().unwrap().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");

    network.recover();
    submit(&batcher).blocking_recv().unwrap().unwrap();
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
    answers.into_iter().for_each(|answer| drop(answer.blocking_recv().unwrap().unwrap()));
}

#[test]
fn closing_answers_what_waits_and_takes_no_more() {
    let network = ScriptedExecutor::blocked(&LOGITS);
    let batcher = start(policy(2, 64), vec![network.clone()]);
    let running = submit(&batcher);
    network.wait_for_batches(1);
    let waiting: Vec<Answer> = (0..3).map(|_| submit(&batcher)).collect();
    network.release();

    batcher.close();

    for answer in waiting.into_iter().chain([running]) {
        answer.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(batcher.submit(Input::Tensor(vec![0.0; 3]), None).unwrap_err(), SubmitError::Closed);
}
