//! One replica in simulated time: who waits, and which session runs whom. It decides as the server does; whoever drives it has the clock, draws
//! the times of runs, and says when they end.

use std::{collections::VecDeque, time::Duration};

use super::times::RunTimes;
use crate::batching::policy::{Decision, Policy, decide};

/// A replica, and the images that it has. An image is whatever the driver wants to know of it.
#[derive(Clone, Debug)]
pub struct SimulatedReplica<I> {
    waiting: VecDeque<(Duration, I)>,
    /// What each session runs; nothing where it is idle.
    sessions: Vec<Vec<I>>,
    busy: usize,
}

/// What a replica does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// This session runs so many images from now on.
    Run {
        /// Which session.
        session: usize,
        /// Of so many images.
        images: usize,
    },
    /// It looks again after so long, or when another image comes.
    WaitFor(Duration),
    /// All sessions are busy, or nobody waits.
    Nothing,
}

impl<I> SimulatedReplica<I> {
    /// An idle one.
    pub fn new(sessions: usize) -> Self {
        Self { waiting: VecDeque::new(), sessions: (0..sessions.max(1)).map(|_| Vec::new()).collect(), busy: 0 }
    }

    /// An image comes; a full queue gives it back.
    ///
    /// # Errors
    /// The image, where `queue_capacity` wait already.
    pub fn arrive(&mut self, policy: &Policy, now: Duration, image: I) -> Result<(), I> {
        if self.waiting.len() >= policy.queue_capacity {
            return Err(image);
        }
        self.waiting.push_back((now, image));
        Ok(())
    }

    /// What it does now; to be asked after everything that happens, until it does nothing.
    ///
    /// * `times`: a run is kept as small as they say that it gains by
    pub fn next(&mut self, policy: &Policy, times: &RunTimes, now: Duration) -> NextStep {
        let (Some((oldest, _)), idle) = (self.waiting.front(), self.sessions.len() - self.busy) else {
            return NextStep::Nothing;
        };
        let Some(session) = self.sessions.iter().position(Vec::is_empty) else { return NextStep::Nothing };
        match decide(policy, self.waiting.len(), now.saturating_sub(*oldest), idle) {
            Decision::Take(count) => {
                let images = times.worthwhile(policy, count);
                self.busy += 1;
                self.sessions[session].extend(self.waiting.drain(..images).map(|(_, image)| image));
                NextStep::Run { session, images }
            }
            Decision::WaitFor(time) => NextStep::WaitFor(time),
            Decision::Sleep => NextStep::Nothing,
        }
    }

    /// A session's run is over; gives its images.
    pub fn end(&mut self, session: usize) -> std::vec::Drain<'_, I> {
        self.busy -= usize::from(!self.sessions[session].is_empty());
        self.sessions[session].drain(..)
    }

    /// Sessions that run.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// All its sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Images that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::times::Scatter;

    const POLICY: Policy = Policy { max_batch_size: 4, max_queue_delay: Duration::ZERO, queue_capacity: 6 };

    /// A run takes about as long whatever its size.
    fn times() -> RunTimes {
        let ms = Duration::from_millis;
        RunTimes::new(&[(1, ms(50)), (4, ms(60))], Scatter::Even).expect("two sizes")
    }

    #[test]
    fn a_session_that_falls_idle_takes_what_came_meanwhile() {
        let mut replica = SimulatedReplica::new(1);
        replica.arrive(&POLICY, Duration::ZERO, 0).expect("a place");
        assert_eq!(replica.next(&POLICY, &times(), Duration::ZERO), NextStep::Run { session: 0, images: 1 });
        (1..=6).for_each(|image| replica.arrive(&POLICY, Duration::ZERO, image).expect("a place"));
        assert_eq!(replica.arrive(&POLICY, Duration::ZERO, 7), Err(7));
        assert_eq!(replica.next(&POLICY, &times(), Duration::ZERO), NextStep::Nothing);
        assert_eq!((replica.busy(), replica.waiting(), replica.sessions()), (1, 6, 1));

        assert_eq!(replica.end(0).collect::<Vec<_>>(), [0]);
        assert_eq!(replica.next(&POLICY, &times(), Duration::ZERO), NextStep::Run { session: 0, images: 4 });
        assert_eq!(replica.end(0).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(replica.next(&POLICY, &times(), Duration::ZERO), NextStep::Run { session: 0, images: 2 });
        replica.end(0).for_each(drop);
        assert_eq!(replica.next(&POLICY, &times(), Duration::ZERO), NextStep::Nothing);
        assert_eq!(replica.busy(), 0);
    }

    #[test]
    fn a_delay_is_waited_for_from_the_first_image_on() {
        let policy = Policy { max_queue_delay: Duration::from_millis(5), ..POLICY };
        let ms = Duration::from_millis;
        let mut replica = SimulatedReplica::new(2);
        replica.arrive(&policy, ms(1), ()).expect("a place");
        assert_eq!(replica.next(&policy, &times(), ms(3)), NextStep::WaitFor(ms(3)));
        assert_eq!(replica.next(&policy, &times(), ms(6)), NextStep::Run { session: 0, images: 1 });
    }
}
