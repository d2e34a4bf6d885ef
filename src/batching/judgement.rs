//! Whether forecasts come true: how many deadlines were missed, how many images were refused in vain, and the factor that
//! corrects what is foreseen. Pure: no clock, no lock.

/// Of so many images that a forecast refuses, one is taken all the same, to see whether it was right. Also the way out when a run
/// that took very long by chance lets the forecast refuse everything.
const REFUSALS_A_SAMPLE: u32 = 32;

/// Samples mostly run in vain: while others wait, each has to be worth so many images that were answered in time.
const ANSWERS_A_SAMPLE: u32 = 100;

/// What a missed deadline adds to the factor, and what each one that is kept takes off again above 1: in balance where one in a
/// hundred is missed.
const STEP_UP: f64 = 0.02;
const STEP_DOWN: f64 = STEP_UP / 100.0;

/// What a refusal in vain takes off.
const STEP_IN_VAIN: f64 = 0.04;

/// How far the factor may go from what was measured.
const FACTORS: std::ops::RangeInclusive<f64> = 0.7..=2.0;

/// What a sample weighs in the share of refusals that were in vain.
const WEIGHT: f64 = 0.1;

/// How an image with a deadline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeliness {
    InTime,
    Missed,
}

#[derive(Debug)]
pub(super) struct Judgement {
    factor: f64,
    /// Refused and answered in time since the last sample.
    refusals: u32,
    answers: u32,
    missed: u64,
    in_vain: f64,
}

impl Judgement {
    pub(super) fn new() -> Self {
        Self { factor: 1.0, refusals: 0, answers: 0, missed: 0, in_vain: 0.0 }
    }

    /// What expected times are to be multiplied by.
    pub(super) fn factor(&self) -> f64 {
        self.factor
    }

    /// Images that were taken and not answered before their deadline.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// The share of the refused images that would have been answered in time, of late, by sampling.
    pub(super) fn in_vain(&self) -> f64 {
        self.in_vain
    }

    /// An image is to be refused because its deadline cannot be met. `true`: this one is taken as a sample.
    ///
    /// * `is_idle`: nobody would wait behind it
    pub(super) fn refuses(&mut self, is_idle: bool) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        let is_sample = self.refusals >= REFUSALS_A_SAMPLE && (is_idle || self.answers >= ANSWERS_A_SAMPLE);
        if is_sample {
            (self.refusals, self.answers) = (0, 0);
        }
        is_sample
    }

    /// An image with a deadline has ended.
    ///
    /// * `is_sample`: it was one that the forecast had refused
    pub(super) fn ended(&mut self, ending: Timeliness, is_sample: bool) {
        let change = match (ending, is_sample) {
            (Timeliness::InTime, false) => {
                self.answers = self.answers.saturating_add(1);
                -(self.factor - 1.0).clamp(0.0, STEP_DOWN)
            }
            (Timeliness::Missed, false) => {
                self.missed += 1;
                STEP_UP
            }
            (ending, true) => {
                let in_vain = f64::from(u8::from(ending == Timeliness::InTime));
                self.in_vain += (in_vain - self.in_vain) * WEIGHT;
                -STEP_IN_VAIN * in_vain
            }
        };
        self.factor = (self.factor + change).clamp(*FACTORS.start(), *FACTORS.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_refused_is_taken_to_see_whether_that_was_right() {
        let mut judgement = Judgement::new();
        let mut samples = |is_idle, refusals| (0..refusals).filter(|_| judgement.refuses(is_idle)).count();
        assert_eq!(samples(true, 10 * REFUSALS_A_SAMPLE), 10);
        assert_eq!(samples(false, 10 * REFUSALS_A_SAMPLE), 0, "others wait, and none was answered");
        (0..ANSWERS_A_SAMPLE).for_each(|_| judgement.ended(Timeliness::InTime, false));
        let mut samples = |is_idle, refusals| (0..refusals).filter(|_| judgement.refuses(is_idle)).count();
        assert_eq!(samples(false, 10 * REFUSALS_A_SAMPLE), 1);
    }

    #[test]
    fn missed_deadlines_make_it_careful_and_kept_ones_confident_again() {
        let mut judgement = Judgement::new();
        (0..10).for_each(|_| judgement.ended(Timeliness::Missed, false));
        assert!((judgement.factor() - 1.2).abs() < 1e-9, "{}", judgement.factor());
        assert_eq!(judgement.missed(), 10);
        (0..10_000).for_each(|_| judgement.ended(Timeliness::InTime, false));
        assert_eq!(judgement.factor(), 1.0, "never below what was measured");
        (0..1_000).for_each(|_| judgement.ended(Timeliness::Missed, false));
        assert_eq!(judgement.factor(), *FACTORS.end());
    }

    #[test]
    fn refusals_in_vain_make_it_bolder_and_are_no_missed_deadlines() {
        let mut judgement = Judgement::new();
        (0..5).for_each(|_| judgement.ended(Timeliness::InTime, true));
        assert!((judgement.factor() - 0.8).abs() < 1e-9, "{}", judgement.factor());
        assert!(judgement.in_vain() > 0.4);
        (0..50).for_each(|_| judgement.ended(Timeliness::Missed, true));
        assert!((judgement.factor() - 0.8).abs() < 1e-9, "a refusal that was right changes nothing");
        assert!(judgement.in_vain() < 0.01);
        assert_eq!(judgement.missed(), 0);
    }
}
