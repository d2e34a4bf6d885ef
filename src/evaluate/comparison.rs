//! Two versions that saw the same images: which of them is right where, and whether that is more than chance. Pure.

use super::{mcnemar::McNemar, verdict::Verdict};

/// How two networks compare.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionComparison {
    /// Images that both saw.
    pub images: usize,
    /// Of these, right with both.
    pub both_right: usize,
    /// Right with the first only.
    pub only_first: usize,
    /// Right with the second only.
    pub only_second: usize,
    /// Wrong with both.
    pub both_wrong: usize,
    /// Whether they differ by more than chance.
    pub mcnemar: McNemar,
    /// The places of images whose first class differs, whoever is right.
    pub differing: Vec<usize>,
}

impl VersionComparison {
    /// Compares answers to the same images, in the same order; `None` where an image could not be read.
    pub fn of(first: &[Option<Verdict>], second: &[Option<Verdict>]) -> Self {
        // [right with the first][right with the second]
        let (mut counts, mut differing) = ([[0; 2]; 2], Vec::new());
        for (place, pair) in first.iter().zip(second).enumerate() {
            let (Some(a), Some(b)) = pair else { continue };
            counts[usize::from(a.is_right())][usize::from(b.is_right())] += 1;
            if a.first() != b.first() {
                differing.push(place);
            }
        }
        let [[both_wrong, only_second], [only_first, both_right]] = counts;
        Self {
            images: both_wrong + only_second + only_first + both_right,
            both_right,
            only_first,
            only_second,
            both_wrong,
            mcnemar: McNemar::of(only_first as u64, only_second as u64),
            differing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_counted_by_who_is_right_and_named_where_the_first_class_differs() {
        let says = |class: usize, first: usize| Some(Verdict { class, top: vec![(first, 0.5)] });
        let first = [says(0, 0), says(0, 0), says(0, 1), says(0, 1), says(0, 1), None];
        let second = [says(0, 0), says(0, 2), says(0, 0), says(0, 2), says(0, 1), says(0, 0)];
        let comparison = VersionComparison::of(&first, &second);
        let VersionComparison { images, both_right, only_first, only_second, both_wrong, .. } = comparison;
        assert_eq!((images, both_right, only_first, only_second, both_wrong), (5, 1, 1, 1, 2));
        assert_eq!(comparison.differing, [1, 2, 3]);
        assert_eq!(comparison.mcnemar.p, 1.0);
    }
}
