//! In which order the clients of one priority take turns: start-time fair queueing. Pure: no clock, no lock.
//!
//! Each image gets a turn when it is announced: one later than its client's last, but not before the turn that is reached. Images
//! are run by turn, so that a client that sends ten times as much waits for its own images, and whoever sends one waits for one of
//! each other client at most. The turn that is reached moves on as those of WF2Q+ (Bennett and Zhang, 1996): with each image by the
//! part of a turn that its client has, and never behind what runs. Without that part, clients that send once and never again
//! would always come before one that sends its second image. It is that of one among all who sent of late, not only among those
//! who have images at this moment: whoever sends as much as nine others finds few of them there each time, and would come to half
//! of the places before them.
//!
//! Images of nobody in particular all have the same turn: they keep the order in which they come.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::policy::Priority;

/// Whom an image is for, where clients take turns: a number that tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub u64);

/// When an image is run among those of its priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FairTurn(u64);

/// From one turn to the next: fine enough for the part of one that each of a million clients has.
const ONE: u64 = 1 << 20;

impl FairTurn {
    /// Whether an image of this turn is run before anybody's second one after `first`.
    pub(super) fn is_of_round(self, first: Self) -> bool {
        self.0 < first.0.saturating_add(ONE)
    }
}

/// So many images back it is seen who sends.
const OF_LATE: usize = 64;

/// So many lanes without an image may be remembered, so that it is not forgotten whenever nobody waits.
const LANES: usize = 4;

/// So many clients without an image may be remembered, beside as many as have some. Whoever is forgotten comes a turn early, once.
const REMEMBERED: usize = 1024;

/// The turns of all priorities; of most of those that nobody waits with, nothing is kept.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lanes: BTreeMap<Priority, Turning>,
}

/// The turns of one priority.
#[derive(Debug, Default)]
struct Turning {
    /// What is reached.
    now: u64,
    /// Clients that have images.
    active: usize,
    /// Whose the last images were, in their order, and how many clients these are.
    last: VecDeque<ClientId>,
    of_late: usize,
    clients: HashMap<ClientId, Client>,
}

#[derive(Debug, Default)]
struct Client {
    next: u64,
    images: usize,
    /// Of the last ones.
    of_late: usize,
}

impl Turns {
    /// The turn that the next image of a client would get.
    pub(super) fn peek(&self, priority: Priority, client: Option<ClientId>) -> FairTurn {
        let Some((client, turning)) = client.zip(self.lanes.get(&priority)) else { return FairTurn(0) };
        FairTurn(turning.clients.get(&client).map_or(turning.now, |client| client.next.max(turning.now)))
    }

    /// Gives an image its turn. It ends with [`Turns::end`].
    pub(super) fn draw(&mut self, priority: Priority, client: Option<ClientId>) -> FairTurn {
        let turn = self.peek(priority, client);
        let Some(id) = client else { return turn };
        let turning = self.lanes.entry(priority).or_default();
        if turning.clients.len() > REMEMBERED && turning.clients.len() > 2 * turning.active {
            turning.clients.retain(|_, client| client.images > 0 || client.of_late > 0);
        }
        turning.see(id);
        let client = turning.clients.entry(id).or_default();
        turning.active += usize::from(client.images == 0);
        client.images += 1;
        client.next = turn.0 + ONE;
        turn
    }

    /// Whether more than one client sent of late.
    pub(super) fn are_shared(&self, priority: Priority) -> bool {
        self.lanes.get(&priority).is_some_and(|turning| turning.of_late > 1)
    }

    /// An image is run.
    pub(super) fn reach(&mut self, priority: Priority, turn: FairTurn) {
        if let Some(turning) = self.lanes.get_mut(&priority) {
            let clients = turning.of_late.max(turning.active).max(1);
            turning.now = (turning.now + ONE / clients as u64).max(turn.0);
        }
    }

    /// An image waits no more, whether or not it was run.
    pub(super) fn end(&mut self, priority: Priority, client: ClientId) {
        let Some(turning) = self.lanes.get_mut(&priority) else { return };
        let Some(client) = turning.clients.get_mut(&client) else { return };
        client.images = client.images.saturating_sub(1);
        if client.images > 0 {
            return;
        }
        // What was taken back is not held against it.
        client.next = client.next.min(turning.now + ONE);
        turning.active = turning.active.saturating_sub(1);
        if turning.active == 0 && self.lanes.len() > LANES {
            self.lanes.remove(&priority);
        }
    }
}

impl Turning {
    /// An image of this client comes.
    fn see(&mut self, id: ClientId) {
        if self.last.len() >= OF_LATE
            && let Some(client) = self.last.pop_front().and_then(|first| self.clients.get_mut(&first))
        {
            client.of_late -= 1;
            self.of_late -= usize::from(client.of_late == 0);
        }
        self.last.push_back(id);
        let client = self.clients.entry(id).or_default();
        self.of_late += usize::from(client.of_late == 0);
        client.of_late += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Priority = Priority::DEFAULT;

    /// A queue of one lane: images by turn, then as they came.
    #[derive(Default)]
    struct Line {
        turns: Turns,
        waiting: Vec<(FairTurn, u64)>,
    }

    impl Line {
        fn send(&mut self, client: u64) {
            let turn = self.turns.draw(LANE, Some(ClientId(client)));
            let place = self.waiting.partition_point(|(other, _)| *other <= turn);
            self.waiting.insert(place, (turn, client));
        }

        /// The clients of the next batch.
        fn run(&mut self, images: usize) -> Vec<u64> {
            let batch: Vec<_> = self.waiting.drain(..images.min(self.waiting.len())).collect();
            for (turn, client) in &batch {
                self.turns.reach(LANE, *turn);
                self.turns.end(LANE, ClientId(*client));
            }
            batch.into_iter().map(|(_, client)| client).collect()
        }
    }

    fn count(served: &[u64], client: u64) -> usize {
        served.iter().filter(|other| **other == client).count()
    }

    #[test]
    fn whoever_sends_one_comes_before_the_second_image_of_whoever_sends_many() {
        let mut line = Line::default();
        (0..40).for_each(|_| line.send(0));
        (1..10).for_each(|client| line.send(client));
        assert_eq!(line.run(8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(line.run(8), [8, 9, 0, 0, 0, 0, 0, 0], "nobody else waits");
    }

    #[test]
    fn clients_that_send_again_when_they_are_answered_get_as_much_as_one_that_floods() {
        let mut line = Line::default();
        (0..40).for_each(|_| line.send(0));
        (1..10).for_each(|client| line.send(client));
        let mut served = Vec::new();
        for _ in 0..125 {
            let batch = line.run(8);
            batch.iter().for_each(|client| line.send(*client));
            served.extend(batch);
        }
        for client in 0..10 {
            let images = count(&served, client);
            assert!((90..=110).contains(&images), "client {client} got {images} of 1000");
        }
    }

    #[test]
    fn nobody_loses_turns_while_others_are_away() {
        let mut line = Line::default();
        (0..100).for_each(|_| line.send(0));
        assert_eq!(count(&line.run(50), 0), 50);
        line.send(1);
        line.send(1);
        // The one that was away has not saved up fifty turns, and the other one has not used up its own.
        assert_eq!(count(&line.run(4), 1), 2);
    }

    #[test]
    fn a_client_that_comes_back_is_not_overtaken_for_ever_by_clients_that_come_once() {
        let mut line = Line::default();
        (100..200).for_each(|stranger| line.send(stranger));
        line.send(1);
        let mut served = Vec::new();
        for next in 200..1200 {
            for client in line.run(1) {
                served.push(client);
                if client == 1 {
                    line.send(1);
                }
            }
            line.send(next);
        }
        assert!(count(&served, 1) >= 5, "{} of 1000, with a hundred others at a time", count(&served, 1));
    }

    #[test]
    fn images_that_were_taken_back_are_not_held_against_a_client() {
        let mut line = Line::default();
        line.send(0);
        (0..40).for_each(|_| line.send(1));
        line.waiting.retain(|(_, client)| *client == 0);
        (0..40).for_each(|_| line.turns.end(LANE, ClientId(1)));
        (0..40).for_each(|_| line.send(0));
        line.send(1);
        assert_eq!(line.run(3), [0, 0, 1], "it is one turn behind, not forty");
    }

    #[test]
    fn turns_are_shared_while_somebody_else_sent_of_late() {
        let mut line = Line::default();
        (0..70).for_each(|_| line.send(0));
        assert!(!line.turns.are_shared(LANE), "one client sends");
        line.send(1);
        line.run(71);
        assert!(line.turns.are_shared(LANE), "nobody waits, and two sent");
        assert!(!line.turns.are_shared(Priority::BULK));
        (0..OF_LATE).for_each(|_| line.send(0));
        assert!(!line.turns.are_shared(LANE), "the other one sent long ago");
    }

    #[test]
    fn a_round_of_turns_has_one_image_of_each_client() {
        let mut line = Line::default();
        (0..3).for_each(|_| line.send(0));
        (1..4).for_each(|client| line.send(client));
        let first = line.waiting[0].0;
        assert_eq!(line.waiting.iter().filter(|(turn, _)| turn.is_of_round(first)).count(), 4);
    }

    #[test]
    fn priorities_have_turns_of_their_own_and_nobody_in_particular_has_none() {
        let mut turns = Turns::default();
        let client = Some(ClientId(7));
        assert!(turns.draw(LANE, client) < turns.draw(LANE, client));
        assert_eq!(turns.draw(Priority::BULK, client), FairTurn(0));
        assert_eq!((turns.draw(LANE, None), turns.draw(LANE, None)), (FairTurn(0), FairTurn(0)));
    }

    #[test]
    fn clients_that_come_once_are_forgotten() {
        let mut line = Line::default();
        line.send(0);
        for client in 1..10_000 {
            line.send(client);
            line.send(client);
            line.run(2);
            let turning = line.turns.lanes.get(&LANE).expect("one waits always");
            assert!(turning.clients.len() <= REMEMBERED + OF_LATE + 2);
        }
        while !line.run(8).is_empty() {}
        for priority in 0..1000 {
            line.turns.draw(Priority(priority), Some(ClientId(0)));
            line.turns.end(Priority(priority), ClientId(0));
        }
        assert!(line.turns.lanes.len() <= LANES + 1);
    }
}
