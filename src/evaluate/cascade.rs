//! From which probability on a smaller model's answer is good enough, seen on images whose class is known. Pure.
//!
//! The images are put in the order of the smaller model's confidence. Whichever threshold there is, it answers those before it and the
//! other model those behind it; so every threshold's accuracy is a sum from either end, and all of them are looked at.

use super::verdict::Verdict;

/// How good a cascade has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WantedAccuracy {
    /// So much worse than the larger model at most, a fraction.
    Drop(f64),
    /// So much of the images right, a fraction.
    Least(f64),
}

/// A threshold and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CascadeThreshold {
    /// The least probability of the smaller model's first class.
    pub threshold: f32,
    /// The fraction of images that the cascade gets right.
    pub accuracy: f64,
    /// The fraction of images that the larger model has to answer.
    pub escalated: f64,
}

/// What two models' answers to the same images say of a cascade.
#[derive(Clone, Debug, PartialEq)]
pub struct CascadeStudy {
    /// Images that both saw.
    pub images: usize,
    /// The fraction that the smaller model gets right.
    pub first_accuracy: f64,
    /// The same of the larger model.
    pub last_accuracy: f64,
    /// The accuracy that is asked for.
    pub wanted: f64,
    /// The lowest threshold that gives it; `None` where none does.
    pub chosen: Option<CascadeThreshold>,
    /// What comes of choosing so on either half of the images, counted on the other one: the threshold is that of all images.
    pub checked: Option<CascadeThreshold>,
}

/// One image: how sure the smaller model is, whether it is right, whether the larger one is.
#[derive(Clone, Copy)]
struct Pair {
    confidence: f32,
    first_right: bool,
    last_right: bool,
}

impl CascadeStudy {
    /// * `first`, `last`: the smaller and the larger model's answers to the same images, in the same order; `None` where an image could
    ///   not be read
    pub fn of(first: &[Option<Verdict>], last: &[Option<Verdict>], wanted: WantedAccuracy) -> Self {
        let pair = |(first, last): (&Option<Verdict>, &Option<Verdict>)| {
            let (first, last) = (first.as_ref()?, last.as_ref()?);
            let confidence = first.confidence();
            Some(Pair { confidence, first_right: first.is_right(), last_right: last.is_right() })
        };
        let pairs: Vec<Pair> = first.iter().zip(last).filter_map(pair).collect();
        let chosen = choose(&pairs, wanted);
        Self {
            images: pairs.len(),
            first_accuracy: fraction(&pairs, |pair| pair.first_right),
            last_accuracy: fraction(&pairs, |pair| pair.last_right),
            wanted: least(&pairs, wanted),
            checked: chosen.and_then(|chosen| checked(&pairs, wanted, chosen.threshold)),
            chosen,
        }
    }
}

fn fraction(pairs: &[Pair], is_it: impl Fn(&Pair) -> bool) -> f64 {
    pairs.iter().filter(|pair| is_it(pair)).count() as f64 / pairs.len().max(1) as f64
}

fn least(pairs: &[Pair], wanted: WantedAccuracy) -> f64 {
    match wanted {
        WantedAccuracy::Least(least) => least,
        WantedAccuracy::Drop(drop) => fraction(pairs, |pair| pair.last_right) - drop,
    }
}

/// The lowest threshold that is good enough: whatever is lower escalates less.
fn choose(pairs: &[Pair], wanted: WantedAccuracy) -> Option<CascadeThreshold> {
    // A sum of rounded parts may miss a bound by its last digit.
    const ROUNDING: f64 = 1e-9;
    let wanted = least(pairs, wanted);
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut right = pairs.iter().filter(|pair| pair.last_right).count();
    let mut best = None;
    for (place, pair) in pairs.iter().enumerate() {
        right = right + usize::from(pair.first_right) - usize::from(pair.last_right);
        let next = pairs.get(place + 1).map(|next| next.confidence);
        // No threshold is between two that are equally sure.
        if next == Some(pair.confidence) || (right as f64 / pairs.len() as f64) < wanted - ROUNDING {
            continue;
        }
        best = Some(between(next, pair.confidence));
    }
    best.map(|threshold| at(&pairs, threshold))
}

/// What comes of a threshold.
fn at(pairs: &[Pair], threshold: f32) -> CascadeThreshold {
    let is_sure = |pair: &Pair| pair.confidence >= threshold;
    CascadeThreshold {
        threshold,
        accuracy: fraction(pairs, |pair| if is_sure(pair) { pair.first_right } else { pair.last_right }),
        escalated: fraction(pairs, |pair| !is_sure(pair)),
    }
}

/// Chosen on the images of even places and counted on the others, and the other way round.
fn checked(pairs: &[Pair], wanted: WantedAccuracy, threshold: f32) -> Option<CascadeThreshold> {
    let half = |of: usize| pairs.iter().copied().skip(of).step_by(2).collect::<Vec<_>>();
    let (even, odd) = (half(0), half(1));
    // Where a half finds none, all of the other one escalates.
    let one = |chosen_on: &[Pair], counted_on: &[Pair]| {
        let threshold = choose(chosen_on, wanted).map_or(f32::INFINITY, |chosen| chosen.threshold);
        let CascadeThreshold { accuracy, escalated, .. } = at(counted_on, threshold);
        [accuracy, escalated].map(|part| part * counted_on.len() as f64)
    };
    if even.is_empty() || odd.is_empty() {
        return None;
    }
    let ([right, escalated], [more, others]) = (one(&even, &odd), one(&odd, &even));
    let all = pairs.len() as f64;
    Some(CascadeThreshold { threshold, accuracy: (right + more) / all, escalated: (escalated + others) / all })
}

/// The shortest decimal above `below`, where there is one, and up to `most`.
fn between(below: Option<f32>, most: f32) -> f32 {
    let fits = |candidate: f32| candidate <= most && below.is_none_or(|below| candidate > below);
    let shortened = |digits: i32| {
        let scale = 10f64.powi(digits);
        ((f64::from(most) * scale).floor() / scale) as f32
    };
    (0..9).map(shortened).find(|candidate| fits(*candidate)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Confidence, and who is right: `f`irst, `l`ast, `b`oth, `n`obody.
    fn verdicts(images: &[(f32, char)]) -> (Vec<Option<Verdict>>, Vec<Option<Verdict>>) {
        let verdict =
            |right: bool, confidence| Some(Verdict { class: usize::from(!right), top: vec![(0, confidence)] });
        let first = images.iter().map(|(confidence, who)| verdict(matches!(who, 'f' | 'b'), *confidence));
        let last = images.iter().map(|(_, who)| verdict(matches!(who, 'l' | 'b'), 1.0));
        (first.collect(), last.collect())
    }

    fn study(images: &[(f32, char)], wanted: WantedAccuracy) -> CascadeStudy {
        let (first, last) = verdicts(images);
        CascadeStudy::of(&first, &last, wanted)
    }

    #[test]
    fn the_lowest_threshold_that_is_good_enough_is_chosen() {
        let images =
            [(0.99, 'b'), (0.95, 'b'), (0.913, 'b'), (0.902, 'l'), (0.8, 'b'), (0.3, 'l'), (0.2, 'n'), (0.1, 'l')];
        let all = study(&images, WantedAccuracy::Drop(0.0));
        assert_eq!((all.images, all.first_accuracy, all.last_accuracy), (8, 0.5, 0.875));
        // Down to 0.913 nothing is lost; 0.902 loses one of eight.
        let chosen = all.chosen.unwrap();
        assert_eq!(chosen, CascadeThreshold { threshold: 0.91, accuracy: 0.875, escalated: 0.625 });
        let one_less = study(&images, WantedAccuracy::Drop(0.125)).chosen.unwrap();
        assert_eq!(one_less, CascadeThreshold { threshold: 0.8, accuracy: 0.75, escalated: 0.375 });
        let least = study(&images, WantedAccuracy::Least(0.5)).chosen.unwrap();
        assert_eq!(least, CascadeThreshold { threshold: 0.0, accuracy: 0.5, escalated: 0.0 });
        assert_eq!(study(&images, WantedAccuracy::Least(0.9)).chosen, None);
    }

    #[test]
    fn a_first_model_that_corrects_the_other_makes_up_for_what_it_loses() {
        let images = [(0.9, 'l'), (0.8, 'f'), (0.7, 'f'), (0.2, 'l')];
        let chosen = study(&images, WantedAccuracy::Drop(0.0)).chosen.unwrap();
        assert_eq!(chosen, CascadeThreshold { threshold: 0.0, accuracy: 0.5, escalated: 0.0 });
        let chosen = study(&images, WantedAccuracy::Drop(-0.25)).chosen.unwrap();
        assert_eq!(chosen, CascadeThreshold { threshold: 0.6, accuracy: 0.75, escalated: 0.25 });
    }

    #[test]
    fn images_that_are_equally_sure_are_not_told_apart() {
        let images = [(0.9, 'b'), (0.9, 'l'), (0.5, 'b')];
        assert_eq!(study(&images, WantedAccuracy::Drop(0.0)).chosen, None);
    }

    #[test]
    fn a_choice_is_checked_on_the_images_that_it_was_not_made_on() {
        // Places 0 and 2 say that any threshold will do, which is wrong for one of the others; those say that it takes more than 0.8.
        let images = [(0.6, 'b'), (0.8, 'l'), (0.7, 'b'), (0.9, 'b')];
        let checked = study(&images, WantedAccuracy::Drop(0.0)).checked.unwrap();
        assert_eq!((checked.accuracy, checked.escalated), (0.75, 0.5));
        let (first, last) = verdicts(&images);
        let unread = vec![None; 4];
        assert_eq!(CascadeStudy::of(&unread, &last, WantedAccuracy::Drop(0.0)).images, 0);
        assert_eq!(CascadeStudy::of(&first, &unread, WantedAccuracy::Drop(0.0)).chosen, None);
    }

    #[test]
    fn a_threshold_is_the_shortest_number_in_between() {
        assert_eq!(between(Some(0.902), 0.913), 0.91);
        assert_eq!(between(None, 0.2), 0.0);
        assert_eq!(between(Some(0.99999), 1.0), 1.0);
        let (below, most) = (0.987_654_3_f32, 0.987_654_4_f32);
        assert!(between(Some(below), most) > below && between(Some(below), most) <= most);
    }
}
