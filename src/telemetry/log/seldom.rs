//! Lines that a stranger can cause: so many in a while and no more, and how many were left out.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So long is a while.
const WHILE: Duration = Duration::from_secs(10);

/// One kind of line.
#[derive(Debug)]
pub struct Seldom {
    most: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    written: u64,
    left_out: u64,
}

impl Seldom {
    /// * `most`: the lines in ten seconds
    pub const fn new(most: u64) -> Self {
        Self { most, state: Mutex::new(State { since: None, written: 0, left_out: 0 }) }
    }

    /// Whether there may be one more: how many were left out since the last one.
    pub fn turn(&self) -> Option<u64> {
        self.turn_at(Instant::now())
    }

    fn turn_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= WHILE) {
            (state.since, state.written) = (Some(now), 0);
        }
        if state.written >= self.most {
            state.left_out += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_in_a_while_and_the_next_one_says_how_many_were_left_out() {
        let (seldom, start) = (Seldom::new(2), Instant::now());
        let at = |seconds| seldom.turn_at(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(0), at(1), at(9), at(9)], [Some(0), Some(0), None, None, None]);
        assert_eq!([at(10), at(11), at(12)], [Some(3), Some(0), None]);
        assert_eq!(at(100), Some(1));
    }
}
