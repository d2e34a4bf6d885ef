//! Whether probabilities can be believed: of the images that a network is 80 % sure of, 80 % should be right. Pure.
//!
//! The expected calibration error of Guo et al. (2017, arXiv 1706.04599, equation 3): 15 equal bins of the first class's
//! probability, the distance between probability and accuracy in each, weighted by its images.

use serde::Serialize;

/// As in the paper.
pub const CALIBRATION_BINS: usize = 15;

/// Images whose first class has a probability above `from` and up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Lower edge, not inside.
    pub from: f64,
    /// Upper edge, inside.
    pub to: f64,
    /// How many.
    pub images: usize,
    /// Their mean probability; 0 without images.
    pub confidence: f64,
    /// The share that is right; 0 without images.
    pub accuracy: f64,
}

/// Sums in each bin.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibration([Sums; CALIBRATION_BINS]);

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    images: usize,
    right: usize,
    confidence: f64,
}

impl Calibration {
    pub(super) fn add(&mut self, confidence: f32, right: bool) {
        // Half-open to the left: a probability on an edge belongs to the lower bin. What a graph gives without an activation
        // may lie anywhere, and goes to the ends.
        let confidence = f64::from(confidence);
        let place = (confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let bin = &mut self.0[place.clamp(1, CALIBRATION_BINS) - 1];
        bin.images += 1;
        bin.right += usize::from(right);
        bin.confidence += confidence;
    }

    pub(super) fn bins(&self) -> Vec<CalibrationBin> {
        let edge = |index: usize| index as f64 / CALIBRATION_BINS as f64;
        let bin = |(index, sums): (usize, &Sums)| {
            let count = sums.images.max(1) as f64;
            CalibrationBin {
                from: edge(index),
                to: edge(index + 1),
                images: sums.images,
                confidence: sums.confidence / count,
                accuracy: sums.right as f64 / count,
            }
        };
        self.0.iter().enumerate().map(bin).collect()
    }

    /// The expected calibration error, 0 to 1.
    pub(super) fn error(&self) -> f64 {
        let images: usize = self.0.iter().map(|sums| sums.images).sum();
        // |accuracy - confidence| times the bin's images: the counts cancel.
        let gaps: f64 = self.0.iter().map(|sums| (sums.right as f64 - sums.confidence).abs()).sum();
        gaps / images.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_numpys() {
        // confidence = numpy.random.default_rng(7).uniform(0.1, 1, 12).astype("float32").round(3), right = [1,0,1,1,0,1,0,1,1,0,1,1];
        // bins by numpy.digitize(confidence, numpy.linspace(0, 1, 16), right=True), and the sum over bins of
        // images / 12 * abs(right.mean() - confidence.mean()).
        let confidence = [0.663, 0.907, 0.798, 0.303, 0.37, 0.886, 0.105, 0.839, 0.817, 0.521, 0.373, 0.351];
        let right = [1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1];
        let mut calibration = Calibration::default();
        confidence.into_iter().zip(right).for_each(|(confidence, right)| calibration.add(confidence, right == 1));
        assert!((calibration.error() - 0.325_416_672_353_943_1).abs() < 1e-7, "{}", calibration.error());
    }

    #[test]
    fn who_is_always_right_and_always_sure_is_calibrated() {
        let mut calibration = Calibration::default();
        (0..4).for_each(|_| calibration.add(1.0, true));
        assert_eq!(calibration.error(), 0.0);
        let last = calibration.bins()[14];
        assert_eq!((last.images, last.confidence, last.accuracy, last.to), (4, 1.0, 1.0, 1.0));
        // Two thirds sure, and never right: 4 of 8 images are off by 2/3.
        (0..4).for_each(|_| calibration.add(2.0 / 3.0, false));
        assert!((calibration.error() - 1.0 / 3.0).abs() < 1e-7);
    }

    #[test]
    fn what_is_no_probability_goes_to_the_ends() {
        let mut calibration = Calibration::default();
        for score in [0.0, -3.0, 0.5, 7.0] {
            calibration.add(score, true);
        }
        let images: Vec<_> = calibration.bins().iter().map(|bin| bin.images).collect();
        assert_eq!(images, [2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
    }
}
