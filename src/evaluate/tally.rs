//! From answers to figures: errors as the paper reports them, each class, what is taken for what, and calibration. Pure.

use std::collections::BTreeMap;

use super::{
    calibration::{Calibration, CalibrationBin},
    verdict::Verdict,
};

/// How a network did on a set of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// How many images.
    pub images: usize,
    /// Of these, with the right class first.
    pub right: usize,
    /// Of these, with the right class among the first five.
    pub among_five: usize,
    /// Images that the network gave no numbers for; they count as wrong.
    pub without_answer: usize,
    /// The expected calibration error, 0 to 1.
    pub ece: f64,
    /// What it is made of.
    pub bins: Vec<CalibrationBin>,
    /// Each class of the model, in its order.
    pub classes: Vec<ClassTally>,
    /// How often an image of the first class was taken for one of the second, where that happened.
    pub confusion: BTreeMap<(usize, usize), usize>,
}

/// How a network did on one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassTally {
    /// Images of the class.
    pub images: usize,
    /// Of these, with the class first.
    pub right: usize,
    /// Of these, with the class among the first five.
    pub among_five: usize,
    /// Images of any class that were taken for this one.
    pub taken_for: usize,
}

/// `part` of `whole`; 0 where there is nothing.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Tally {
    /// Counts answers of a network with `classes` classes.
    pub fn of<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>, classes: usize) -> Self {
        let mut tally = Self {
            images: 0,
            right: 0,
            among_five: 0,
            without_answer: 0,
            ece: 0.0,
            bins: Vec::new(),
            classes: vec![ClassTally::default(); classes],
            confusion: BTreeMap::new(),
        };
        let mut calibration = Calibration::default();
        for verdict in verdicts {
            tally.add(verdict);
            calibration.add(verdict.confidence(), verdict.is_right());
        }
        Self { ece: calibration.error(), bins: calibration.bins(), ..tally }
    }

    fn add(&mut self, verdict: &Verdict) {
        let (right, among_five) = (usize::from(verdict.is_right()), usize::from(verdict.is_among_five()));
        self.images += 1;
        self.right += right;
        self.among_five += among_five;
        if let Some(class) = self.classes.get_mut(verdict.class) {
            class.images += 1;
            class.right += right;
            class.among_five += among_five;
        }
        let Some(first) = verdict.first() else {
            self.without_answer += 1;
            return;
        };
        *self.confusion.entry((verdict.class, first)).or_default() += 1;
        if let Some(class) = self.classes.get_mut(first) {
            class.taken_for += 1;
        }
    }

    /// The share of images whose first class is wrong.
    pub fn top1_error(&self) -> f64 {
        share(self.images - self.right, self.images)
    }

    /// The share of images whose first five classes are all wrong.
    pub fn top5_error(&self) -> f64 {
        share(self.images - self.among_five, self.images)
    }

    /// The classes that have images, those with the largest error first; of equal ones, those with more images.
    pub fn worst_classes(&self) -> Vec<(usize, ClassTally)> {
        let mut classes: Vec<_> =
            self.classes.iter().copied().enumerate().filter(|(_, class)| class.images > 0).collect();
        classes.sort_by(|(_, a), (_, b)| b.error().total_cmp(&a.error()).then(b.images.cmp(&a.images)));
        classes
    }

    /// Classes that were taken for others, and how often: the most frequent first.
    pub fn most_confused(&self) -> Vec<((usize, usize), usize)> {
        let mut pairs: Vec<_> = self.confusion.iter().map(|(&pair, &count)| (pair, count)).collect();
        pairs.retain(|((class, taken_for), _)| class != taken_for);
        pairs.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        pairs
    }
}

impl ClassTally {
    /// The share of its images whose first class is another one.
    pub fn error(&self) -> f64 {
        share(self.images - self.right, self.images)
    }

    /// The share of its images without it among the first five.
    pub fn top5_error(&self) -> f64 {
        share(self.images - self.among_five, self.images)
    }

    /// Of the images that were taken for it, the share that is of it; `None` where there are none.
    pub fn precision(&self) -> Option<f64> {
        (self.taken_for > 0).then(|| share(self.right, self.taken_for))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(class: usize, top: &[(usize, f32)]) -> Verdict {
        Verdict { class, top: top.to_vec() }
    }

    /// Seven classes, five images: one right, two among five, one not among five, one without an answer.
    fn tally() -> Tally {
        let verdicts = [
            verdict(0, &[(0, 0.9), (1, 0.1)]),
            verdict(0, &[(1, 0.6), (0, 0.4)]),
            verdict(1, &[(2, 0.3), (3, 0.2), (4, 0.2), (5, 0.1), (1, 0.1)]),
            verdict(6, &[(2, 0.3), (3, 0.2), (4, 0.2), (5, 0.1), (1, 0.1)]),
            verdict(6, &[]),
        ];
        Tally::of(&verdicts, 7)
    }

    #[test]
    fn errors_are_shares_of_the_images() {
        let tally = tally();
        assert_eq!((tally.images, tally.right, tally.among_five, tally.without_answer), (5, 1, 3, 1));
        assert_eq!((tally.top1_error(), tally.top5_error()), (0.8, 0.4));
        assert_eq!(Tally::of(&[], 3).top1_error(), 0.0);
    }

    #[test]
    fn each_class_and_each_confusion_is_counted() {
        let tally = tally();
        assert_eq!(tally.classes[0], ClassTally { images: 2, right: 1, among_five: 2, taken_for: 1 });
        assert_eq!(tally.classes[6], ClassTally { images: 2, right: 0, among_five: 0, taken_for: 0 });
        assert_eq!((tally.classes[0].error(), tally.classes[0].precision()), (0.5, Some(1.0)));
        assert_eq!((tally.classes[2].precision(), tally.classes[6].precision()), (Some(0.0), None));
        assert_eq!(tally.confusion, BTreeMap::from([((0, 0), 1), ((0, 1), 1), ((1, 2), 1), ((6, 2), 1)]));
        assert_eq!(tally.most_confused().len(), 3);
        let worst: Vec<_> = tally.worst_classes().iter().map(|&(class, _)| class).collect();
        assert_eq!(worst, [6, 1, 0]);
    }
}
