//! Which version a request gets that names none: shares of the line of all numbers, and a place on it for each request. Pure.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// The golden ratio's part behind the point, of 2^64: its multiples fill a circle more evenly than those of any other number.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One more than the last place.
const ALL: u128 = 1 << 64;

/// Who has which places, `0..2^64`. What nobody has is the default version's.
///
/// The first one's places grow from the start and the last one's from the end, so that where there are one or two, a larger share of
/// one takes places from the default version alone. For three there is no way to arrange that: each two would have to grow towards
/// each other.
#[derive(Debug)]
pub(in crate::service) struct Shares(Vec<(u128, u128)>);

impl Shares {
    /// * `percents`: 100 together at most
    pub(in crate::service) fn new(percents: &[f64]) -> Self {
        let places = |percent: &f64| (percent / 100.0 * ALL as f64) as u128;
        let mut places: Vec<_> = percents.iter().map(places).collect();
        let last = if places.len() > 1 { places.pop() } else { None };
        let mut from = 0;
        let mut shares: Vec<_> = places
            .into_iter()
            .map(|places| {
                let share = (from, (from + places).min(ALL));
                from = share.1;
                share
            })
            .collect();
        shares.extend(last.map(|places| (ALL.saturating_sub(places), ALL)));
        Self(shares)
    }

    /// Whose a place is; `None` for the default version.
    pub(in crate::service) fn at(&self, place: u64) -> Option<usize> {
        self.0.iter().position(|(from, to)| (*from..*to).contains(&u128::from(place)))
    }
}

/// Places for requests that have nothing that would give them one: of any number of them in a row, each share has its part, give or
/// take a few.
#[derive(Debug, Default)]
pub(in crate::service) struct Even(AtomicU64);

impl Even {
    pub(in crate::service) fn next(&self) -> u64 {
        // From the second on: the first one is 0, and every server would begin with its canary.
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        number.wrapping_add(1).wrapping_mul(GOLDEN)
    }
}

/// The place of everything that has this key, the same in every process of every version: the first eight bytes, the highest first, of
/// SHA-256 over the model's name, a zero byte, and the key. The name is in it so that it is not the same users who get the new version
/// of every model.
pub(in crate::service) fn place_of(model: &str, key: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::new().chain_update(model).chain_update([0]).chain_update(key).finalize().into();
    digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> impl Iterator<Item = u64> {
        (0..20_000).map(|user| place_of("resnet50", format!("user-{user}").as_bytes()))
    }

    #[test]
    fn shares_without_a_key_are_exact_at_every_moment() {
        let (shares, even) = (Shares::new(&[5.0, 0.5, 20.0]), Even::default());
        let mut counts = [0_u32; 4];
        for asked in 1..=100_000_u32 {
            counts[shares.at(even.next()).unwrap_or(3)] += 1;
            for (count, percent) in counts.iter().zip([5.0, 0.5, 20.0, 74.5]) {
                let off = f64::from(*count) - f64::from(asked) * percent / 100.0;
                assert!(off.abs() < 6.0, "{counts:?} of {asked}");
            }
        }
    }

    #[test]
    fn what_goes_by_in_a_rhythm_is_shared_out_all_the_same() {
        let (shares, even) = (Shares::new(&[10.0]), Even::default());
        let places: Vec<_> = (0..60_000).map(|_| even.next()).collect();
        for rhythm in [2, 3, 10, 20] {
            let hits = places.iter().step_by(rhythm).filter(|place| shares.at(**place).is_some()).count();
            let off = hits as f64 - 6_000.0 / rhythm as f64;
            assert!(off.abs() < 8.0, "every {rhythm}th: {hits}");
        }
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        let (none, all) = (Shares::new(&[0.0]), Shares::new(&[100.0]));
        let (both, no_split) = (Shares::new(&[60.0, 40.0]), Shares::new(&[]));
        for place in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX].into_iter().chain(users().take(1_000)) {
            assert_eq!((none.at(place), all.at(place), no_split.at(place)), (None, Some(0), None));
            assert!(both.at(place).is_some());
        }
    }

    #[test]
    fn a_larger_share_moves_users_from_the_default_version_and_no_others() {
        let placed = |percents: &[f64]| users().map(|place| Shares::new(percents).at(place)).collect::<Vec<_>>();
        // Of one version, of the first of two, of the second.
        for (before, after, who) in
            [(vec![5.0], vec![20.0], 0), (vec![5.0, 30.0], vec![40.0, 30.0], 0), (vec![5.0, 30.0], vec![5.0, 95.0], 1)]
        {
            let (before, after) = (placed(&before), placed(&after));
            let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            assert!(moved.len() > 2_000 && moved.iter().all(|moved| *moved == (&None, &Some(who))));
        }
    }

    #[test]
    fn users_are_shared_out_as_asked() {
        let shares = Shares::new(&[5.0]);
        let hits = users().filter(|place| shares.at(*place).is_some()).count();
        // Three standard deviations of so many throws.
        assert!((907..=1093).contains(&hits), "{hits} of 20000");
    }

    /// `int.from_bytes(hashlib.sha256(b"resnet50\0" + key).digest()[:8], "big")` of Python.
    #[test]
    fn a_key_has_the_place_that_the_documentation_gives_it() {
        assert_eq!(place_of("resnet50", b"alice"), PYTHON[0]);
        assert_eq!(place_of("resnet50", b"bob"), PYTHON[1]);
        assert_eq!(place_of("pets", b"alice"), PYTHON[2]);
    }

    const PYTHON: [u64; 3] = [5234066668307549502, 12837240929920305865, 12928395541076520082];
}
