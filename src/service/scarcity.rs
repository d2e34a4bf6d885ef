//! Who gives memory back when there is too little of it: pure.

use std::{cmp::Reverse, time::Instant};

/// What somebody holds whose client is slow.
pub(super) struct Slow<T> {
    /// Whose it is: a connection's, mostly.
    pub(super) payer: usize,
    /// Since when the client is behind.
    pub(super) since: Instant,
    pub(super) bytes: usize,
    pub(super) what: T,
}

/// Those who give back: whoever has the most, of that what has been slow the longest, until `wanted` bytes came together; nobody
/// where all of them have less than `needed`, because it would be in vain.
///
/// What each gives is what it has above a height that is the same for all: a client with one call that waits loses it only
/// when those with hundreds have come down to one.
pub(super) fn who_gives_back<T>(mut slow: Vec<Slow<T>>, needed: usize, wanted: usize) -> Vec<T> {
    if slow.iter().map(|it| it.bytes).sum::<usize>() < needed {
        return Vec::new();
    }
    // How high the last one would lie if each payer had a pile, with what has been slow the longest on top.
    slow.sort_unstable_by_key(|it| (it.payer, Reverse(it.since)));
    let (mut payer, mut height) = (None, 0);
    let mut piled: Vec<_> = slow
        .into_iter()
        .map(|it| {
            if payer.replace(it.payer) != Some(it.payer) {
                height = 0;
            }
            height += it.bytes;
            (height, it)
        })
        .collect();
    piled.sort_by_key(|(height, _)| Reverse(*height));
    let mut given = 0;
    let enough = |(_, it): &(usize, Slow<T>)| {
        let goes_on = given < needed.max(wanted);
        given += it.bytes;
        goes_on
    };
    piled.into_iter().take_while(enough).map(|(_, it)| it.what).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `(payer, seconds for which it has been slow, bytes)`, called by their numbers.
    fn slow(all: &[(usize, u64, usize)]) -> Vec<Slow<usize>> {
        let now = Instant::now() + Duration::from_secs(3600);
        let one =
            |(what, &(payer, seconds, bytes))| Slow { payer, since: now - Duration::from_secs(seconds), bytes, what };
        all.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_largest_share_gives_first_what_has_been_slow_the_longest() {
        let all = slow(&[(1, 90, 10), (2, 5, 10), (2, 7, 10), (2, 6, 10), (3, 60, 15)]);
        assert_eq!(who_gives_back(all, 25, 0), [2, 3, 4], "30 and 20 of the second's, then the third's 15");
    }

    #[test]
    fn as_much_is_given_as_is_needed_and_a_stock_beyond_it_where_there_is_one() {
        let all = || slow(&[(1, 3, 10), (1, 2, 10), (1, 1, 10)]);
        assert_eq!(who_gives_back(all(), 1, 0), [0]);
        assert_eq!(who_gives_back(all(), 1, 15), [0, 1]);
        assert_eq!(who_gives_back(all(), 1, 1000), [0, 1, 2]);
    }

    #[test]
    fn nobody_gives_in_vain() {
        assert!(who_gives_back(slow(&[(1, 3, 10), (2, 2, 10)]), 21, 0).is_empty());
        assert!(who_gives_back(slow(&[]), 1, 100).is_empty());
    }
}
