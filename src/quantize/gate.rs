//! Whether an 8-bit network may take the place of the fp32 one: both see the same images, and the answers are compared.

use std::collections::BTreeSet;

use super::{
    QuantizeError,
    images::{ImagePreparation, Progress, Sample},
};
use crate::{
    postprocess::{Activation, top_k},
    runtime::{Executor, OrtExecutor},
    tensor::Logits,
};

/// The least share of images, in percent, whose top class must stay.
pub(super) const MIN_AGREEMENT: f64 = 98.5;
/// The most that a probability may move on average.
pub(super) const MAX_MEAN_DRIFT: f64 = 0.005;
/// The most that top-1 may fall, in points, unless the user says otherwise.
pub const MAX_TOP1_DROP: f64 = 0.5;

/// The classes of an image whose probabilities count: those that users see. Averaged over all of a thousand classes,
/// the movement would be near zero whatever happened.
const TOP_K: usize = 5;

/// How the answers of two networks compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Comparison {
    /// Images that both saw.
    pub images: usize,
    /// Of these, images whose class is known.
    pub labelled: usize,
    /// Right top classes of fp32, in percent of the labelled images.
    pub top1_fp32_percent: Option<f64>,
    /// The same of int8.
    pub top1_int8_percent: Option<f64>,
    /// Different top classes that fp32 gives. With a single one, agreement proves nothing.
    pub top_classes: usize,
    /// Images with the same top class, in percent.
    pub agreement_percent: f64,
    /// How far the probabilities of fp32's five top classes moved, on average.
    pub mean_drift: f64,
    /// How far the probabilities of all classes moved, on average.
    pub mean_drift_all_classes: f64,
}

/// Runs `samples` through both networks.
///
/// # Errors
/// [`QuantizeError`] from the runtime and the files.
pub(super) fn compare(
    fp32: &mut OrtExecutor,
    int8: &mut OrtExecutor,
    activation: Option<Activation>,
    images: &ImagePreparation,
    (samples, batch_size): (&[Sample], usize),
    progress: &dyn Progress,
) -> Result<Comparison, QuantizeError> {
    let mut tally = Tally::default();
    let (mut exact, mut quick) = (Logits::default(), Logits::default());
    progress.begin("comparing", samples.len());
    images.batches(samples, batch_size, |batch, chunk| {
        fp32.run(batch, &mut exact)?;
        int8.run(batch, &mut quick)?;
        for ((exact, quick), sample) in exact.rows().zip(quick.rows()).zip(chunk) {
            let activation = activation.unwrap_or_else(|| Activation::of_row(exact));
            let probabilities = |row: &[f32]| {
                let mut row = row.to_vec();
                activation.apply(&mut row);
                row
            };
            tally.add(&probabilities(exact), &probabilities(quick), sample.class);
        }
        progress.advance(chunk.len());
        Ok::<_, QuantizeError>(())
    })?;
    progress.end();
    Ok(tally.comparison())
}

#[derive(Default)]
struct Tally {
    images: usize,
    labelled: usize,
    right_fp32: usize,
    right_int8: usize,
    agreeing: usize,
    top_classes: BTreeSet<usize>,
    drift: f64,
    drift_all: f64,
}

impl Tally {
    /// Counts one image: its probabilities in fp32 and in int8, and its class.
    fn add(&mut self, exact: &[f32], quick: &[f32], class: Option<usize>) {
        let moved = |class: usize| f64::from((exact[class] - quick[class]).abs());
        let best = top_k(exact, TOP_K, f32::NEG_INFINITY);
        let top = |best: &[(usize, f32)]| best.first().map(|&(class, _)| class);
        let (top_fp32, top_int8) = (top(&best), top(&top_k(quick, 1, f32::NEG_INFINITY)));
        self.images += 1;
        self.top_classes.extend(top_fp32);
        self.agreeing += usize::from(top_fp32.is_some() && top_fp32 == top_int8);
        self.drift += best.iter().map(|&(class, _)| moved(class)).sum::<f64>() / best.len().max(1) as f64;
        self.drift_all += (0..exact.len()).map(moved).sum::<f64>() / exact.len().max(1) as f64;
        if class.is_some() {
            self.labelled += 1;
            self.right_fp32 += usize::from(top_fp32 == class);
            self.right_int8 += usize::from(top_int8 == class);
        }
    }

    fn comparison(&self) -> Comparison {
        let images = self.images.max(1) as f64;
        let percent = |right: usize| (self.labelled > 0).then(|| 100.0 * right as f64 / self.labelled as f64);
        Comparison {
            images: self.images,
            labelled: self.labelled,
            top1_fp32_percent: percent(self.right_fp32),
            top1_int8_percent: percent(self.right_int8),
            top_classes: self.top_classes.len(),
            agreement_percent: 100.0 * self.agreeing as f64 / images,
            mean_drift: self.drift / images,
            mean_drift_all_classes: self.drift_all / images,
        }
    }
}

impl Comparison {
    /// Why the 8-bit network must not take the fp32 one's place; `None` if it may. Where classes are known, top-1
    /// decides, otherwise likeness to fp32.
    pub fn objection(&self, max_drop: f64) -> Option<String> {
        if let (Some(fp32), Some(int8)) = (self.top1_fp32_percent, self.top1_int8_percent) {
            let drop = fp32 - int8;
            return (drop > max_drop).then(|| {
                format!(
                    "top-1 falls from {fp32:.2} % to {int8:.2} %, by {drop:.2} points; at most {max_drop} are allowed"
                )
            });
        }
        // A share or a drift that is no number (logits that overflow) is an objection too.
        if self.agreement_percent.is_nan() || self.agreement_percent < MIN_AGREEMENT {
            let agreement = self.agreement_percent;
            return Some(format!(
                "the top class stays for {agreement:.2} % of the images, at least {MIN_AGREEMENT} % are needed"
            ));
        }
        if self.mean_drift.is_nan() || self.mean_drift > MAX_MEAN_DRIFT {
            return Some(format!(
                "the probabilities of the five top classes move by {:.4} on average, at most {MAX_MEAN_DRIFT} are allowed",
                self.mean_drift
            ));
        }
        None
    }

    /// Whether the answers are nearer to fp32's than `other`'s.
    pub fn is_nearer_than(&self, other: &Self) -> bool {
        (self.agreement_percent, -self.mean_drift) > (other.agreement_percent, -other.mean_drift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let mut tally = Tally::default();
        tally.add(&[0.75, 0.25], &[0.5, 0.5], Some(0));
        tally.add(&[0.25, 0.75], &[0.75, 0.25], Some(1));
        tally.add(&[1.0, 0.0], &[1.0, 0.0], None);
        let comparison = tally.comparison();
        assert_eq!((comparison.images, comparison.labelled, comparison.top_classes), (3, 2, 2));
        assert_eq!(comparison.top1_fp32_percent, Some(100.0));
        assert_eq!(comparison.top1_int8_percent, Some(50.0));
        assert!((comparison.agreement_percent - 200.0 / 3.0).abs() < 1e-9);
        assert!((comparison.mean_drift - 0.25).abs() < 1e-9);
    }

    #[test]
    fn top_1_decides_where_classes_are_known_and_likeness_where_not() {
        let labelled = Comparison {
            images: 10_000,
            labelled: 10_000,
            top1_fp32_percent: Some(87.41),
            top1_int8_percent: Some(87.0),
            top_classes: 10,
            agreement_percent: 90.0,
            mean_drift: 0.1,
            mean_drift_all_classes: 0.1,
        };
        assert_eq!(labelled.objection(0.5), None);
        assert!(labelled.objection(0.25).unwrap().contains("0.41 points"));
        let alike = |agreement_percent, mean_drift| Comparison {
            top1_fp32_percent: None,
            top1_int8_percent: None,
            agreement_percent,
            mean_drift,
            ..labelled
        };
        assert_eq!(alike(98.5, 0.005).objection(0.5), None);
        assert!(alike(98.4, 0.0).objection(0.5).unwrap().contains("98.40 %"));
        assert!(alike(100.0, 0.006).objection(0.5).unwrap().contains("0.0060"));
        assert!(alike(f64::NAN, 0.0).objection(0.5).is_some());
    }
}
