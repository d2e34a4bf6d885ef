//! Whether there is room for another model, and what makes some. Pure: no clock, no thread, no model.

use std::time::{Duration, Instant};

use super::wanted::VersionKey;

/// Models are loaded when somebody asks for them, and the least used ones make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDemand {
    /// The most versions that are loaded side by side; `None`: as many as there are.
    pub max_loaded: Option<usize>,
    /// The most bytes that they take together, as their sizes reckon them; `None`: as many as it takes.
    pub max_bytes: Option<u64>,
    /// How long a load waits for room while all that is loaded is in use.
    pub patience: Duration,
}

impl Default for OnDemand {
    fn default() -> Self {
        Self { max_loaded: None, max_bytes: None, patience: Duration::from_secs(2) }
    }
}

impl OnDemand {
    /// Why a model of this size could never be loaded; `None` where it could.
    pub(super) fn too_large(&self, bytes: u64) -> Option<String> {
        let limit = self.max_bytes.filter(|limit| bytes > *limit)?;
        Some(format!(
            "it takes about {:.1} MB, and [models] max_bytes is {:.1} MB for all models together: raise max_bytes, or set [batching] \
             max_batch_size or [runtime] instances lower",
            bytes as f64 / 1e6,
            limit as f64 / 1e6
        ))
    }

    /// The limits, for messages.
    pub(super) fn shown(&self) -> String {
        let bytes = self.max_bytes.map(|bytes| format!("[models] max_bytes is {:.1} MB", bytes as f64 / 1e6));
        let loaded = self.max_loaded.map(|loaded| format!("[models] max_loaded is {loaded}"));
        loaded.into_iter().chain(bytes).collect::<Vec<_>>().join(", and ")
    }
}

/// A version that is loaded.
#[derive(Clone, Debug)]
pub(super) struct Occupant {
    pub(super) key: VersionKey,
    pub(super) bytes: u64,
    pub(super) last_use: Instant,
    /// Whether it can make room: nobody uses it, and it can be loaded again.
    pub(super) may_go: bool,
}

/// What has to be done for a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It can begin.
    There,
    /// This has to go first; then ask again.
    Unload(VersionKey),
    /// Something is on its way out, or is being loaded and can go after that.
    Soon,
    /// All that is loaded is in use.
    Taken,
}

/// Whether there is room for a version more.
///
/// * `needed`: how large it is, as far as that is known
/// * `loaded`: what is served
/// * `passing`: the sizes of what is being loaded, and of what was served and is not freed yet
pub(super) fn room(limits: &OnDemand, needed: u64, loaded: &[Occupant], passing: &[u64]) -> Room {
    let fits = |more: usize, bytes: u64| {
        limits.max_loaded.is_none_or(|limit| more < limit)
            && limits.max_bytes.is_none_or(|limit| bytes.saturating_add(needed) <= limit)
    };
    let bytes = loaded.iter().fold(0, |sum: u64, occupant| sum.saturating_add(occupant.bytes));
    let passing_bytes = passing.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    if fits(loaded.len() + passing.len(), bytes.saturating_add(passing_bytes)) {
        return Room::There;
    }
    if !passing.is_empty() && fits(loaded.len(), bytes) {
        return Room::Soon;
    }
    match least_used(loaded) {
        Some(key) => Room::Unload(key),
        None if passing.is_empty() => Room::Taken,
        None => Room::Soon,
    }
}

/// What has to go because the models that are loaded are larger than was known before.
pub(super) fn beyond(limits: &OnDemand, loaded: &[Occupant]) -> Option<VersionKey> {
    let bytes = loaded.iter().fold(0, |sum: u64, occupant| sum.saturating_add(occupant.bytes));
    limits.max_bytes.filter(|limit| bytes > *limit).and_then(|_| least_used(loaded))
}

fn least_used(loaded: &[Occupant]) -> Option<VersionKey> {
    let may_go = loaded.iter().filter(|occupant| occupant.may_go);
    may_go.min_by_key(|occupant| occupant.last_use).map(|occupant| occupant.key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    type Case = (&'static [(&'static str, u64)], &'static [u64], u64, Room);

    /// Models of so many megabytes, each used a second after the one before it; those in capitals are in use.
    fn loaded(models: &[(&str, u64)]) -> Vec<Occupant> {
        let start = Instant::now();
        let occupant = |(place, (name, mb)): (usize, &(&str, u64))| Occupant {
            key: ((*name).to_owned(), 1),
            bytes: mb * MB,
            last_use: start + Duration::from_secs(place as u64),
            may_go: name.chars().all(char::is_lowercase),
        };
        models.iter().enumerate().map(occupant).collect()
    }

    #[test]
    fn the_least_used_that_nobody_uses_makes_room() {
        let limits = OnDemand { max_loaded: Some(3), max_bytes: Some(100 * MB), ..OnDemand::default() };
        let unload = |name: &str| Room::Unload((name.to_owned(), 1));
        // What is loaded, what passes, how large the next one is, what has to be done.
        let cases: [Case; 12] = [
            (&[], &[], 10, Room::There),
            (&[("a", 10), ("b", 10)], &[], 80, Room::There),
            (&[("a", 10), ("b", 10)], &[], 81, unload("a")),
            (&[("a", 10), ("b", 10), ("c", 10)], &[], 1, unload("a")),
            (&[("A", 10), ("b", 10), ("c", 10)], &[], 1, unload("b")),
            (&[("A", 10), ("B", 10), ("C", 10)], &[], 1, Room::Taken),
            // What was unloaded is being freed: nothing else goes meanwhile.
            (&[("b", 10), ("c", 10)], &[10], 1, Room::Soon),
            (&[("b", 10)], &[85], 10, Room::Soon),
            // What is being loaded takes the room that another one could make.
            (&[("a", 10), ("b", 10)], &[10, 10], 1, Room::Soon),
            (&[("A", 10), ("B", 10), ("C", 10)], &[10], 1, Room::Soon),
            (&[], &[10, 10, 10], 1, Room::Soon),
            (&[("a", 60), ("b", 40)], &[], 50, unload("a")),
        ];
        for (models, passing, needed, expected) in cases {
            let passing: Vec<_> = passing.iter().map(|mb| mb * MB).collect();
            let found = room(&limits, needed * MB, &loaded(models), &passing);
            assert_eq!(found, expected, "{models:?} {passing:?} {needed}");
        }
    }

    #[test]
    fn what_is_larger_than_was_known_makes_others_go_and_never_itself_while_it_is_used() {
        let limits = OnDemand { max_bytes: Some(100 * MB), ..OnDemand::default() };
        let key = |name: &str| Some((name.to_owned(), 1));
        assert_eq!(beyond(&limits, &loaded(&[("a", 50), ("B", 50)])), None);
        assert_eq!(beyond(&limits, &loaded(&[("a", 50), ("B", 60)])), key("a"));
        assert_eq!(beyond(&limits, &loaded(&[("A", 50), ("B", 60)])), None);
        assert_eq!(beyond(&OnDemand::default(), &loaded(&[("a", u64::MAX / MB), ("b", u64::MAX / MB)])), None);
    }

    #[test]
    fn a_model_larger_than_all_may_be_is_refused_with_both_sizes() {
        let limits = OnDemand { max_bytes: Some(100 * MB), ..OnDemand::default() };
        assert_eq!(limits.too_large(100 * MB), None);
        let refusal = limits.too_large(250 * MB).unwrap();
        for part in ["250.0 MB", "100.0 MB", "raise max_bytes"] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
        assert_eq!(OnDemand::default().too_large(u64::MAX), None);
    }
}
