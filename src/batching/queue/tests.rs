//! What the queue does at one moment after the other: who is taken, who is refused, in which order.

use tokio::sync::oneshot;

use super::*;
use crate::{
    batching::{ClientId, Inside, Priority, Reply},
    tensor::{InputShape, Layout, NumberType},
};

const POLICY: Policy = Policy { max_batch_size: 8, max_queue_delay: Duration::ZERO, queue_capacity: 64 };

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One worker that needs 10 ms an image.
fn queue(now: Instant) -> Queue {
    let queue = Queue::new(POLICY, 1, false);
    let _answer = wait(&queue, now, Terms::default(), Some(promised(&queue, now)));
    let mut batch = Vec::new();
    queue.lock().collect(1, now, &mut batch);
    queue.note_run(0, &batch, ms(10), now);
    queue.lock().runs = 0;
    queue
}

type Answer = oneshot::Receiver<Result<Reply, JobError>>;

fn arrived(at: Instant) -> (Arrived, Answer) {
    let shape = InputShape { layout: Layout::Nchw, channels: 1, height: 1, width: 1 };
    let input = shape.tensor(vec![0; 4].into(), NumberType::Float32).expect("it fits");
    let (reply, answer) = oneshot::channel();
    (Arrived { input, inside: Inside::Nothing, reply, at }, answer)
}

fn wait(queue: &Queue, at: Instant, terms: Terms, announced: Option<Announced>) -> Answer {
    let (arrived, answer) = arrived(at);
    queue.push(arrived, &terms, announced).expect("there is room");
    answer
}

fn promised(queue: &Queue, now: Instant) -> Announced {
    queue.coming.announce(&Terms::default(), false, now)
}

fn by(deadline: Instant) -> Terms {
    Terms { deadline: Some(deadline), ..Terms::default() }
}

/// Jobs with such deadlines wait; the size of the batch that is taken now.
fn taken(now: Instant, deadlines: &[Option<Duration>]) -> (usize, Vec<Answer>) {
    let queue = queue(now);
    let wait = |deadline: &Option<Duration>| {
        let terms = Terms { deadline: deadline.map(|deadline| now + deadline), ..Terms::default() };
        // They were promised something once; how it is now is seen when they are taken.
        wait(&queue, now, terms, Some(promised(&queue, now)))
    };
    let answers = deadlines.iter().map(wait).collect();
    let mut batch = Vec::new();
    queue.lock().collect(8, now, &mut batch);
    (batch.len(), answers)
}

#[test]
fn a_batch_is_as_large_as_its_deadlines_allow() {
    let now = Instant::now();
    assert_eq!(taken(now, &[None; 9]).0, 8);
    assert_eq!(taken(now, &[Some(ms(1_000)); 9]).0, 8);
    assert_eq!(taken(now, &[Some(ms(35)); 9]).0, 3);
    assert_eq!(taken(now, &[Some(ms(10)), None, None]).0, 1);
    assert_eq!(taken(now, &[None, Some(ms(25)), None]).0, 2);
    assert_eq!(
        taken(now, &[None, None, Some(ms(25)), None]).0,
        2,
        "the third would be late, and waits for the next run"
    );
}

#[test]
fn what_cannot_be_answered_in_time_is_told_at_once_and_not_run() {
    let now = Instant::now();
    let (size, mut answers) = taken(now, &[Some(ms(5)), Some(ms(40)), None]);
    assert_eq!(size, 2);
    assert_eq!(answers[0].try_recv().expect("an answer").map(|_| ()), Err(JobError::Expired));
    assert!(answers[1].try_recv().is_err());
}

#[test]
fn what_is_less_urgent_waits_but_not_for_ever() {
    let now = Instant::now();
    let queue = queue(now);
    let push = |priority, waited| {
        wait(&queue, now - ms(waited), Terms { priority: Priority(priority), ..Terms::default() }, None)
    };
    let _bulk = [push(200, 90), push(200, 80)];
    let mut order = Vec::new();
    for _ in 0..17 {
        let _urgent = push(100, 1);
        let mut batch = Vec::new();
        queue.lock().collect(1, now, &mut batch);
        order.extend(batch.into_iter().map(|job| job.standing.0.0));
    }
    let bulk: Vec<_> = (0..17).filter(|run| order[*run] == 200).collect();
    assert_eq!(bulk, [7, 15], "{order:?}");
}

#[test]
fn the_run_under_way_what_waits_and_what_is_announced_count_before_an_image_is_taken() {
    let now = Instant::now();
    let queue = queue(now);
    let announced = queue.announce(&by(now + ms(15)), now).expect("the worker is idle");
    assert!(matches!(queue.announce(&by(now + ms(15)), now), Err(SubmitError::Hopeless { .. })), "one is coming");
    drop(announced);
    assert!(queue.announce(&by(now + ms(15)), now).is_ok());

    queue.lock().turn(0, Lane::Running { since: now, images: 4 });
    let refused = queue.announce(&by(now + ms(45)), now).expect_err("a run of 40 ms is under way");
    assert_eq!(refused, SubmitError::Hopeless { wait: ms(40) });
    assert!(queue.announce(&by(now + ms(55)), now).is_ok());
    assert!(queue.announce(&by(now + ms(25)), now + ms(20)).is_err());
}

#[test]
fn the_time_that_decoding_takes_counts_where_no_wait_covers_it() {
    let now = Instant::now();
    let queue = queue(now);
    let announced = queue.announce(&by(now + ms(15)), now).expect("the worker is idle");
    drop(wait(&queue, now + ms(8), Terms::default(), Some(announced)));
    queue.lock().collect(8, now, &mut Vec::new());

    assert!(queue.announce(&by(now + ms(15)), now).is_err(), "8 ms and a run of 10 ms");
    assert!(queue.announce(&by(now + ms(20)), now).is_ok());
    queue.lock().turn(0, Lane::Running { since: now, images: 1 });
    assert!(queue.announce(&by(now + ms(25)), now).is_ok(), "it is decoded during the run under way");
}

#[test]
fn an_image_that_would_wait_longer_than_the_target_is_refused() {
    let now = Instant::now();
    let queue = queue(now);
    let terms = Terms { longest_wait: Some(ms(30)), ..Terms::default() };
    queue.lock().turn(0, Lane::Running { since: now, images: 3 });
    assert!(queue.announce(&terms, now).is_ok(), "30 ms are allowed");
    queue.lock().turn(0, Lane::Running { since: now, images: 4 });
    let refused = queue.announce(&terms, now).expect_err("40 ms are not");
    assert_eq!(refused, SubmitError::Congested { wait: ms(40), target: ms(30) });
}

#[test]
fn nothing_is_refused_for_its_deadline_before_the_first_run() {
    let now = Instant::now();
    let queue = Queue::new(POLICY, 1, false);
    assert!(queue.announce(&by(now + ms(1)), now).is_ok());
    assert!(matches!(queue.announce(&by(now), now), Err(SubmitError::Expired)));
}

#[test]
fn one_of_many_refusals_is_taken_and_tells_whether_they_are_right() {
    let now = Instant::now();
    let queue = queue(now);
    queue.lock().turn(0, Lane::Running { since: now, images: 8 });
    let hopeless = by(now + ms(20));
    let samples = || (0..64).filter_map(|_| queue.announce(&hopeless, now).ok()).collect::<Vec<_>>();
    assert_eq!(samples().len(), 0, "the worker has others to answer, and has answered none");
    (0..100).for_each(|_| queue.lock().judgement.ended(Timeliness::InTime, false));
    let samples = samples();
    assert_eq!(samples.len(), 1);
    let _answer = wait(&queue, now, hopeless, samples.into_iter().next());
    let mut batch = Vec::new();
    queue.lock().collect(8, now + ms(15), &mut batch);
    assert_eq!(batch.len(), 1, "it runs although it looks hopeless");
    queue.note_run(0, &batch, ms(4), now + ms(19));
    let (missed, in_vain) = queue.judgement();
    assert!(missed == 0 && in_vain > 0.0, "{missed}, {in_vain}");
}

/// An image of a client, which can be told by when it came.
fn send(queue: &Queue, client: u64, now: Instant) -> Answer {
    let terms = Terms { client: Some(ClientId(client)), ..Terms::default() };
    wait(queue, now - ms(client), terms, None)
}

/// The clients of the next batch.
fn run(queue: &Queue, now: Instant) -> Vec<u64> {
    let mut batch = Vec::new();
    queue.lock().collect(8, now, &mut batch);
    batch.iter().map(|job| now.duration_since(job.enqueued).as_millis() as u64).collect()
}

#[test]
fn one_client_that_floods_does_not_hold_up_nine_others() {
    let now = Instant::now();
    let queue = queue(now);
    let _flood: Vec<_> = (0..40).map(|_| send(&queue, 0, now)).collect();
    let _others: Vec<_> = (1..10).map(|client| send(&queue, client, now)).collect();
    assert_eq!(run(&queue, now), [0, 1, 2, 3, 4, 5, 6, 7]);
    let _again: Vec<_> = (1..8).map(|client| send(&queue, client, now)).collect();
    // A run of the second images, too, would take longer, and whoever comes meanwhile would wait for its end.
    assert_eq!(run(&queue, now), [8, 9]);
    assert_eq!(run(&queue, now), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(run(&queue, now), [0], "one at a time, as long as the others may come back");
}

#[test]
fn a_forecast_knows_whose_turn_comes_before_the_end_of_the_queue() {
    let now = Instant::now();
    let queue = queue(now);
    let _flood: Vec<_> = (0..20).map(|_| send(&queue, 0, now)).collect();
    let soon = |client| Terms { client: Some(ClientId(client)), ..by(now + ms(60)) };
    assert!(matches!(queue.announce(&soon(0), now), Err(SubmitError::Hopeless { .. })), "20 are before it");
    let one = queue.announce(&soon(1), now).expect("one image is before it");
    let flooding: Vec<_> = (0..8)
        .map(|_| queue.coming.announce(&Terms { client: soon(0).client, ..Terms::default() }, false, now))
        .collect();
    assert!(queue.announce(&soon(2), now).is_ok(), "what the flood still decodes is not before it either");
    drop((one, flooding));
    let longest = Terms { longest_wait: Some(ms(50)), deadline: None, ..soon(0) };
    assert!(matches!(queue.announce(&longest, now), Err(SubmitError::Congested { .. })));
    assert!(queue.announce(&Terms { client: soon(1).client, ..longest }, now).is_ok());
}
