//! Images from their announcement until a worker has them: whoever comes after them waits behind them, decoded or not.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    policy::Priority,
    terms::Terms,
    turns::{ClientId, FairTurn, Turns},
};

/// Where an image stands among those that wait: what is smaller comes first, and of what is equal that which came first.
pub(super) type Rank = (Priority, FairTurn);

/// The images that were announced and are not here yet, and the turns of all clients. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Coming(Arc<Mutex<Crowd>>);

#[derive(Debug, Default)]
struct Crowd {
    /// In no order; there are as many as a model has places.
    coming: Vec<Rank>,
    turns: Turns,
}

/// An image that was considered and will come. Dropped, it was run or does not come.
#[derive(Debug)]
pub struct Announced {
    coming: Coming,
    pub(super) standing: Rank,
    client: Option<ClientId>,
    is_here: bool,
    /// By the forecast it cannot be answered in time, and was taken to see whether that is so.
    pub(super) is_sample: bool,
    /// How long it is to wait for its run at most.
    pub(super) longest_wait: Option<Duration>,
    pub(super) since: Instant,
}

impl Coming {
    /// How many are not here yet.
    pub(super) fn count(&self) -> usize {
        self.crowd().coming.len()
    }

    /// Where an image that comes now would stand, and how many before it are not here yet.
    pub(super) fn ahead(&self, priority: Priority, client: Option<ClientId>) -> (Rank, usize) {
        let crowd = self.crowd();
        let standing = (priority, crowd.turns.peek(priority, client));
        (standing, crowd.coming.iter().filter(|other| **other <= standing).count())
    }

    pub(super) fn announce(&self, terms: &Terms, is_sample: bool, since: Instant) -> Announced {
        let &Terms { priority, client, longest_wait, .. } = terms;
        let mut crowd = self.crowd();
        let standing = (priority, crowd.turns.draw(priority, client));
        crowd.coming.push(standing);
        drop(crowd);
        Announced { coming: self.clone(), standing, client, is_here: false, is_sample, longest_wait, since }
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    fn take_out(&mut self, standing: Rank) {
        if let Some(place) = self.coming.iter().position(|other| *other == standing) {
            self.coming.swap_remove(place);
        }
    }
}

impl Announced {
    /// The image is here.
    pub(super) fn arrive(&mut self) {
        if !std::mem::replace(&mut self.is_here, true) {
            self.coming.crowd().take_out(self.standing);
        }
    }

    /// Whether it takes turns with the images of other clients, those of which nothing waits at this moment among them.
    pub(super) fn shares_turns(&self) -> bool {
        self.client.is_some() && self.coming.crowd().turns.are_shared(self.standing.0)
    }

    /// A worker runs it.
    pub(super) fn run(self) {
        if self.client.is_some() {
            let (priority, turn) = self.standing;
            self.coming.crowd().turns.reach(priority, turn);
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if self.is_here && self.client.is_none() {
            return;
        }
        let mut crowd = self.coming.crowd();
        if !self.is_here {
            crowd.take_out(self.standing);
        }
        if let Some(client) = self.client {
            crowd.turns.end(self.standing.0, client);
        }
    }
}
