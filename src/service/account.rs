//! The memory that requests take: one account for all doors, charged as bytes arrive and as copies are made.
//!
//! What a client only announces costs nothing. Whoever finds the account full is refused, wherever it stands; what it had
//! charged is free again at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{Error, ErrorKind, error::SHORTEST_RETRY};

/// What a request takes beside its bytes: its tasks, heads and buffers. It also bounds how many there can be.
const REQUEST_BYTES: usize = 32 << 10;

/// How much may be taken, and how much is.
#[derive(Debug)]
pub(super) struct Account {
    limit: usize,
    used: AtomicUsize,
}

impl Account {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// The bytes that are charged now.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A charge for a request that has no bytes yet.
    pub(super) fn open(self: &Arc<Self>) -> Result<Charge, Error> {
        self.charge(REQUEST_BYTES)
    }

    /// A charge of `bytes`.
    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, Error> {
        let charge = Charge { account: self.clone(), bytes: AtomicUsize::new(0) };
        charge.add(bytes)?;
        Ok(charge)
    }
}

/// What one request, or one step of it, takes; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: AtomicUsize,
}

impl Charge {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where that is more than there is; nothing was taken.
    pub fn add(&self, bytes: usize) -> Result<(), Error> {
        let Account { limit, used } = &*self.account;
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| sum <= limit)
        });
        match taken {
            Ok(_) => {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => {
                let message = format!(
                    "the requests in work take {used} bytes and this one needs {bytes} more, the limit is {limit}; try again \
                     later, or raise [limits] max_in_flight_bytes"
                );
                Err(Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY))
            }
        }
    }

    /// Gives back all but `bytes`.
    pub fn keep(&self, bytes: usize) {
        let given = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(held.min(bytes)));
        let held = given.unwrap_or_default();
        self.account.used.fetch_sub(held.saturating_sub(bytes), Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.used.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_was_taken_comes_back() {
        let account = Arc::new(Account::new(100));
        let first = account.charge(60).expect("there is room");
        let refused = account.charge(41).expect_err("one byte too many");
        assert_eq!(refused.kind, ErrorKind::Overloaded);
        assert!(refused.message.contains("60") && refused.message.contains("41") && refused.message.contains("100"));
        first.add(40).expect("all of it");
        assert!(first.add(1).is_err());
        first.keep(10);
        assert_eq!(account.used(), 10);
        drop(first);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn sums_do_not_overflow() {
        let account = Arc::new(Account::new(usize::MAX));
        let _all = account.charge(usize::MAX).expect("there is room");
        assert!(account.charge(1).is_err());
    }
}
