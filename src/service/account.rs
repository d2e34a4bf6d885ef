//! The memory that requests take: one account for all doors, charged as bytes arrive and as copies are made.
//!
//! What a client only announces costs nothing. Whoever finds the account full is refused, wherever it stands; what it had
//! charged is free again at once.
//!
//! Nobody is refused for the sake of calls that only wait: where there is too little, those whose clients are slow, to send or
//! to read, give theirs back first (`scarcity` says who). A call that is still there a while later does not listen, because its client
//! opens no window for the end of its answer: its connection is cut. There is no fixed part for a connection. A load balancer sends everything over a few of
//! them and may take all there is, as long as it goes on; 32,000 calls that never do would keep everybody else out otherwise.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    Error, ErrorKind,
    error::SHORTEST_RETRY,
    held::{Held, PACE_BYTES, REQUEST_BYTES},
    scarcity::{Slow, who_gives_back},
};

/// Those that are slow give back this part of the account at a time, so that not every newcomer has to look for them.
const STOCK_PART: usize = 16;

/// A call that was given up and is still there after so long is not coming to its end.
const CUT_AFTER: Duration = Duration::from_secs(2);

/// For so long it is not looked for again, after it was in vain.
const VAIN: Duration = Duration::from_millis(10);

/// How much may be taken, and how much is.
#[derive(Debug)]
pub(super) struct Account {
    limit: usize,
    used: AtomicUsize,
    /// The charges that have waited for their client, by their addresses.
    waited: Mutex<HashMap<usize, Weak<Charge>>>,
    /// When nobody was found that could give anything back.
    in_vain: Mutex<Option<Instant>>,
}

impl Account {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), waited: Mutex::default(), in_vain: Mutex::default() }
    }

    /// The bytes that are charged now.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Somebody new who sends requests.
    ///
    /// * `cut`: ends the connection, and with it whatever still belongs to its calls
    pub(super) fn payer(self: &Arc<Self>, cut: CancellationToken) -> Payer {
        Payer(Arc::new(Connection { account: self.clone(), cut }))
    }

    /// A charge of `bytes` for what does not wait for a client.
    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, Error> {
        let charge = Charge { account: self.clone(), payer: None, held: Mutex::default() };
        charge.add(bytes)?;
        Ok(charge)
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        let taken =
            self.try_take(bytes).or_else(|used| if self.make_room(bytes) { self.try_take(bytes) } else { Err(used) });
        taken.map_err(|used| {
            let limit = self.limit;
            let message = format!(
                "the requests in work take {used} bytes and this one needs {bytes} more, the limit is {limit}; try again \
                 later, or raise [limits] max_in_flight_bytes"
            );
            Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY)
        })
    }

    /// How much is taken, where `bytes` more do not fit.
    fn try_take(&self, bytes: usize) -> Result<(), usize> {
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map(drop)
    }

    /// Whether others gave back what is missing. One at a time looks, the others wait: it takes a millisecond for 30,000 calls.
    fn make_room(&self, bytes: usize) -> bool {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        if in_vain.is_some_and(|at| at.elapsed() < VAIN) {
            return false;
        }
        let now = Instant::now();
        let is_enough = self.take_from_the_slow(bytes, now);
        *in_vain = (!is_enough).then_some(now);
        is_enough
    }

    fn take_from_the_slow(&self, bytes: usize, now: Instant) -> bool {
        let needed = self.used().saturating_add(bytes).saturating_sub(self.limit);
        if needed == 0 {
            return true;
        }
        // Kept until the end: the last one to let go of a charge takes it off this list.
        let waited: Vec<_> = self.waited().values().filter_map(Weak::upgrade).collect();
        waited.iter().for_each(|charge| charge.cut_if_it_does_not_listen(now));
        let slow = waited.iter().filter_map(|charge| charge.is_slow(now)).collect();
        let givers = who_gives_back(slow, needed, self.limit / STOCK_PART);
        givers.into_iter().map(|charge| charge.give_up(now)).sum::<usize>() >= needed
    }

    fn waited(&self) -> MutexGuard<'_, HashMap<usize, Weak<Charge>>> {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who a charge is on: one connection, mostly. Clones are the same.
#[derive(Clone, Debug)]
pub struct Payer(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    account: Arc<Account>,
    cut: CancellationToken,
}

impl Payer {
    /// A charge for a request that just came and has no bytes yet.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where the requests in work leave no room.
    pub fn open_charge(&self) -> Result<Arc<Charge>, Error> {
        let charge = self.empty();
        charge.add(REQUEST_BYTES)?;
        Ok(Arc::new(charge))
    }

    /// The same for what is answered in any case, be there room or not.
    pub fn open_charge_in_any_case(&self) -> Arc<Charge> {
        let mut charge = self.empty();
        if charge.add(REQUEST_BYTES).is_err() {
            charge.account.used.fetch_add(REQUEST_BYTES, Ordering::Relaxed);
            charge.held.get_mut().unwrap_or_else(PoisonError::into_inner).bytes = REQUEST_BYTES;
        }
        Arc::new(charge)
    }

    fn empty(&self) -> Charge {
        Charge { account: self.0.account.clone(), payer: Some(self.clone()), held: Mutex::default() }
    }
}

/// What one request, or one step of it, takes; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    payer: Option<Payer>,
    held: Mutex<Held>,
}

impl Charge {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where that is more than there is, and nothing was taken; or where the bytes so far were given to others.
    pub fn add(&self, bytes: usize) -> Result<(), Error> {
        if self.is_given_up() {
            return Err(given_up());
        }
        self.account.take(bytes)?;
        self.held().bytes += bytes;
        Ok(())
    }

    /// The same for bytes that came from the client: it is not waited for at the moment.
    ///
    /// # Errors
    /// As [`Charge::add`].
    pub fn came(&self, bytes: usize) -> Result<(), Error> {
        self.held().came(bytes, Instant::now());
        self.add(bytes)
    }

    /// To be asked whenever the client is waited for: ready with the refusal once the memory was needed for others. From then on
    /// nothing is charged here, and whoever holds the bytes lets go of them.
    pub fn poll_given_up(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Error> {
        let mut held = self.held();
        if held.given_up_at.is_some() {
            return Poll::Ready(given_up());
        }
        held.wait(Instant::now(), cx.waker());
        self.list(held);
        Poll::Pending
    }

    /// From now on the client is waited for to read an answer, of which nobody is told: where it never does, its connection is cut.
    pub fn wait_for_reader(self: &Arc<Self>) {
        let mut held = self.held();
        held.wait_for_reader(Instant::now());
        self.list(held);
    }

    fn list(self: &Arc<Self>, mut held: MutexGuard<'_, Held>) {
        let is_listed = std::mem::replace(&mut held.is_listed, true);
        drop(held);
        if !is_listed {
            self.account.waited().insert(self.address(), Arc::downgrade(self));
        }
    }

    /// Whether what the call takes was needed for others.
    pub fn is_given_up(&self) -> bool {
        self.held().given_up_at.is_some()
    }

    /// Gives back all but what the request takes by itself: its bytes are somebody else's from here on, and its client begins anew.
    pub fn give_back_bytes(&self) {
        let given = self.held().let_go_of_bytes();
        self.account.used.fetch_sub(given, Ordering::Relaxed);
    }

    /// Takes what an answer has, be there room or not: it is there already.
    pub fn hold_answer(&self, bytes: usize) {
        let mut held = self.held();
        if held.given_up_at.is_none() {
            held.answers += bytes;
            self.account.used.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Gives that back as it goes out.
    pub fn answer_went(&self, bytes: usize) {
        let given = self.held().answer_went(bytes);
        self.account.used.fetch_sub(given, Ordering::Relaxed);
    }

    /// What would come back if this call were given up; nothing unless its client is waited for, and slow.
    fn is_slow(self: &Arc<Self>, now: Instant) -> Option<Slow<&Self>> {
        let held = self.held();
        let since = held.slow_since(now)?;
        let payer = self.payer.as_ref().map_or(0, |Payer(connection)| Arc::as_ptr(connection).addr());
        Some(Slow { payer, since, bytes: held.total(), what: self })
    }

    /// Gives back all there is, unless the client has gone on meanwhile; how much it was.
    fn give_up(&self, now: Instant) -> usize {
        let Some((given, waiter)) = self.held().give_up(now) else { return 0 };
        self.account.used.fetch_sub(given, Ordering::Relaxed);
        waiter.wake();
        given
    }

    /// Ends the connection of a call that was given up and goes on as if it were not.
    fn cut_if_it_does_not_listen(&self, now: Instant) {
        let given_up_at = self.held().given_up_at;
        if given_up_at.is_some_and(|at| now.saturating_duration_since(at) >= CUT_AFTER)
            && let Some(Payer(connection)) = &self.payer
        {
            connection.cut.cancel();
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn given_up() -> Error {
    let message = format!(
        "the memory that this call takes was needed for others while its client was slow: send at least {PACE_BYTES} bytes a \
         second, or try again later"
    );
    Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY)
}

impl Drop for Charge {
    fn drop(&mut self) {
        let address = self.address();
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.account.used.fetch_sub(held.total(), Ordering::Relaxed);
        if held.is_listed {
            self.account.waited().remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::service::held::SLOW_AFTER;

    #[test]
    fn what_does_not_fit_is_refused_and_what_was_taken_comes_back() {
        let account = Arc::new(Account::new(100));
        let first = account.charge(60).expect("there is room");
        let refused = account.charge(41).expect_err("one byte too many");
        assert_eq!(refused.kind, ErrorKind::Overloaded);
        assert!(refused.message.contains("60") && refused.message.contains("41") && refused.message.contains("100"));
        first.add(40).expect("all of it");
        assert!(first.add(1).is_err());
        drop(first);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn sums_do_not_overflow() {
        let account = Arc::new(Account::new(usize::MAX));
        let _all = account.charge(usize::MAX).expect("there is room");
        assert!(account.charge(1).is_err());
    }

    /// A call of `payer` that waits for its client, with `bytes`.
    fn waiting(payer: &Payer, bytes: usize) -> Arc<Charge> {
        let charge = payer.open_charge().expect("there is room");
        charge.came(bytes).expect("there is room");
        assert!(charge.poll_given_up(&Context::from_waker(Waker::noop())).is_pending());
        charge
    }

    fn is_given_up(charge: &Arc<Charge>) -> bool {
        charge.poll_given_up(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn calls_that_only_wait_give_back_where_there_is_too_little_and_the_smallest_share_last() {
        let account = Arc::new(Account::new(10 * REQUEST_BYTES));
        let (many, one) = (account.payer(CancellationToken::new()), account.payer(CancellationToken::new()));
        let single = waiting(&one, 0);
        let idle: Vec<_> = (0..9).map(|_| waiting(&many, 0)).collect();
        let later = Instant::now() + SLOW_AFTER;

        assert!(account.try_take(1).is_err(), "it is full");
        assert!(account.take_from_the_slow(8 * REQUEST_BYTES, later));
        assert_eq!(idle.iter().filter(|charge| is_given_up(charge)).count(), 8);
        assert!(!is_given_up(&single));
        assert_eq!(account.used(), 2 * REQUEST_BYTES);
        assert!(idle[0].add(1).is_err_and(|refused| refused.kind == ErrorKind::Overloaded));
        drop((idle, single));
        assert_eq!(account.used(), 0);
        assert!(account.waited().is_empty());
    }

    /// However many calls a load balancer has on one connection.
    #[test]
    fn calls_that_go_on_give_nothing_back() {
        let account = Arc::new(Account::new(1000 * 2 * REQUEST_BYTES));
        let (proxy, start) = (account.payer(CancellationToken::new()), Instant::now());
        let calls: Vec<_> = (0..1000).map(|_| waiting(&proxy, REQUEST_BYTES)).collect();
        assert_eq!(account.used(), account.limit);
        assert!(!account.take_from_the_slow(1, start), "nobody has waited for long");

        let late = Instant::now() + 100 * SLOW_AFTER;
        calls[1..].iter().for_each(|charge| charge.came(0).expect("its own"));
        assert!(!account.take_from_the_slow(3 * REQUEST_BYTES, late), "those are in work, and one is not enough");
        assert!(account.take_from_the_slow(1, late));
        assert!(calls.iter().skip(1).all(|charge| !is_given_up(charge)));
        assert!(is_given_up(&calls[0]));
    }

    #[test]
    fn an_answer_is_charged_until_it_went_out_beside_the_bytes_of_the_request() {
        let account = Arc::new(Account::new(REQUEST_BYTES + 100));
        let charge = account.payer(CancellationToken::new()).open_charge().expect("there is room");
        charge.add(100).expect("there is room");
        charge.hold_answer(1000);
        assert_eq!(account.used(), REQUEST_BYTES + 1100, "beyond the limit: it is there");
        charge.give_back_bytes();
        charge.answer_went(400);
        assert_eq!(account.used(), REQUEST_BYTES + 600);
        charge.answer_went(usize::MAX);
        assert_eq!(account.used(), REQUEST_BYTES);
        charge.hold_answer(5);
        drop(charge);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn a_call_that_was_given_up_and_does_not_end_has_its_connection_cut() {
        let account = Arc::new(Account::new(2 * REQUEST_BYTES));
        let (cut, spared) = (CancellationToken::new(), CancellationToken::new());
        let unread = account.payer(cut.clone()).open_charge().expect("there is room");
        unread.wait_for_reader();
        let _read = account.payer(spared.clone()).open_charge().expect("there is room");
        let later = Instant::now() + SLOW_AFTER;
        assert!(account.take_from_the_slow(1, later));
        assert!(unread.is_given_up());

        let third = account.payer(spared.clone()).open_charge_in_any_case();
        account.take_from_the_slow(1, later);
        assert!(!cut.is_cancelled(), "it may be about to end");
        account.take_from_the_slow(1, later + CUT_AFTER);
        assert!(cut.is_cancelled() && !spared.is_cancelled());
        drop((unread, third));
        assert_eq!(account.used(), REQUEST_BYTES);
    }

    #[test]
    fn what_is_answered_in_any_case_is_charged_beyond_the_limit() {
        let account = Arc::new(Account::new(10));
        let probe = account.payer(CancellationToken::new()).open_charge_in_any_case();
        assert_eq!(account.used(), REQUEST_BYTES);
        assert!(account.charge(1).is_err());
        drop(probe);
        assert_eq!(account.used(), 0);
    }
}
