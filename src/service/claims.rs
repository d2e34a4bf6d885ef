//! Who has a model's places, where clients take turns: one that takes all of them would keep everybody else out at the door,
//! whatever the order behind it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Error, ErrorKind, decoders::Share, error::SHORTEST_RETRY};
use crate::batching::ClientId;

/// A client may have so many times what is left to all others. Alone it gets four fifths of the places; two that flood get four
/// ninths each; and whoever has nothing in work finds a place as long as there is one.
const TIMES_WHAT_IS_LEFT: usize = 4;

/// The places of one model by client. Only clients that have some are kept.
#[derive(Debug)]
pub(super) struct Claims {
    decode_threads: usize,
    held: Mutex<HashMap<ClientId, Held>>,
}

#[derive(Debug)]
struct Held {
    images: usize,
    decoding: Share,
}

/// The places that a client has for one request, or for an image of it.
#[derive(Debug)]
pub(super) struct Claimed {
    claims: Arc<Claims>,
    client: ClientId,
    images: usize,
    decoding: Share,
}

impl Claims {
    /// * `decode_threads`: how many images are decoded side by side
    pub(super) fn new(decode_threads: usize) -> Self {
        Self { decode_threads, held: Mutex::default() }
    }

    /// Notes that a client takes so many places.
    ///
    /// * `left`: the places that are free without them
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where the client has more than its share then.
    pub(super) fn claim(self: &Arc<Self>, client: ClientId, images: usize, left: usize) -> Result<Claimed, Error> {
        let mut held = self.held();
        let has = held.get(&client).map_or(0, |held| held.images);
        if !may_take(has, images, left) {
            let message = format!(
                "this client has {has} images in work and asks for {images} more, beside {left} free places: others need them \
                 ([limits] fair_by); wait for answers first"
            );
            return Err(Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY));
        }
        let threads = self.decode_threads;
        let of_client = held.entry(client).or_insert_with(|| Held { images: 0, decoding: Share::new(threads) });
        of_client.images += images;
        Ok(Claimed { claims: self.clone(), client, images, decoding: of_client.decoding.clone() })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ClientId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a client that `has` places gets so many more, when `left` are free afterwards.
fn may_take(has: usize, more: usize, left: usize) -> bool {
    has == 0 || has.saturating_add(more) <= left.saturating_mul(TIMES_WHAT_IS_LEFT)
}

impl Claimed {
    /// The part that one image has; `None` when nothing is left.
    pub(super) fn split_one(&mut self) -> Option<Self> {
        self.images = self.images.checked_sub(1)?;
        Some(Self { claims: self.claims.clone(), client: self.client, images: 1, decoding: self.decoding.clone() })
    }

    /// The client's part of the threads that decode.
    pub(super) fn decoding(&self) -> &Share {
        &self.decoding
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut held = self.claims.held();
        if let Some(of_client) = held.get_mut(&self.client) {
            of_client.images = of_client.images.saturating_sub(self.images);
            if of_client.images == 0 {
                held.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many places as a client can take one by one, of a model with so many, where others have some.
    fn most(capacity: usize, others: usize) -> usize {
        (0..).take_while(|has| others + has < capacity && may_take(*has, 1, capacity - others - has - 1)).count()
    }

    #[test]
    fn a_client_leaves_room_for_others_and_takes_what_it_may() {
        assert_eq!(most(256, 0), 204);
        // The second one that floods; then the first one gets no more than it has.
        assert_eq!(most(256, 204), 41);
        assert_eq!(most(8, 0), 6);
        assert_eq!(most(1, 0), 1);
    }

    #[test]
    fn whoever_has_nothing_gets_any_free_place_also_for_many_images() {
        assert!(may_take(0, 64, 0));
        assert!(!may_take(1, 1, 0));
    }

    #[test]
    fn places_are_given_back_and_the_client_is_forgotten() {
        let claims = Arc::new(Claims::new(2));
        let mut four = claims.claim(ClientId(1), 4, 10).expect("it has nothing");
        let one = four.split_one().expect("one of four");
        let refused = claims.claim(ClientId(1), 1, 1).expect_err("four and one are more than four times one");
        assert!(refused.kind == ErrorKind::Overloaded && refused.message.contains("4 images"), "{}", refused.message);
        assert!(claims.claim(ClientId(2), 1, 0).is_ok(), "another client");
        drop(four);
        assert!(claims.claim(ClientId(1), 1, 1).is_ok(), "one is left of the four");
        drop(one);
        assert!(claims.held().is_empty());
    }
}
