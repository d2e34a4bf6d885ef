//! How the values of a tensor are distributed, over any number of images, in constant memory. Pure.
//!
//! The bins cover `-reach..reach`. A value beyond them doubles the reach and merges bins in pairs, so that one pass over
//! the images is enough: nobody has to know the largest value beforehand.

/// A power of two. The reach is less than twice the largest value, so that even a ReLU's output, which is never
/// negative, falls into a quarter of the bins at least.
const BINS: usize = 8192;

/// The distribution of a tensor's values.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    reach: f32,
    counts: Vec<u64>,
    min: f32,
    max: f32,
    /// Values that are no number, or infinite.
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { reach: 0.0, counts: vec![0; BINS], min: f32::INFINITY, max: f32::NEG_INFINITY, not_finite: 0 }
    }
}

impl Histogram {
    /// Counts `values`.
    pub(super) fn add(&mut self, values: &[f32]) {
        let mut largest = 0.0f32;
        for &value in values {
            if value.is_finite() {
                self.min = self.min.min(value);
                self.max = self.max.max(value);
                largest = largest.max(value.abs());
            }
        }
        self.grow(largest);
        let bins_per_unit = if self.reach > 0.0 { (BINS / 2) as f32 / self.reach } else { 0.0 };
        for &value in values {
            if value.is_finite() {
                let bin = (value * bins_per_unit + (BINS / 2) as f32) as usize;
                self.counts[bin.min(BINS - 1)] += 1;
            } else {
                self.not_finite += 1;
            }
        }
    }

    /// Makes room for values up to `largest`.
    fn grow(&mut self, largest: f32) {
        if largest <= self.reach {
            return;
        }
        if self.reach == 0.0 {
            // All values so far were zeros, and lie in the middle bin whatever the reach.
            self.reach = largest;
        }
        while self.reach < largest {
            let mut merged = vec![0; BINS];
            for (bin, count) in self.counts.iter().enumerate() {
                merged[BINS / 4 + bin / 2] += count;
            }
            self.counts = merged;
            self.reach *= 2.0;
        }
    }

    /// The smallest and the largest value; `None` before the first.
    pub(super) fn extremes(&self) -> Option<(f32, f32)> {
        (self.min <= self.max).then_some((self.min, self.max))
    }

    /// How many values are infinite or no number.
    pub(super) fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// The value that a share of `q` (0 to 1) of the values lie below, to within a bin.
    pub(super) fn quantile(&self, q: f64) -> f32 {
        let Some((min, max)) = self.extremes() else { return 0.0 };
        let total: u64 = self.counts.iter().sum();
        let rank = q * total as f64;
        let mut below = 0.0;
        for (left, right, count) in self.bins() {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                let inside = ((rank - below) / count).clamp(0.0, 1.0);
                let value = f64::from(left) + inside * f64::from(right - left);
                return (value as f32).clamp(min, max);
            }
            below += count;
        }
        max
    }

    /// The bins in ascending order: left edge, right edge, number of values.
    pub(super) fn bins(&self) -> impl Iterator<Item = (f32, f32, u64)> {
        let width = self.reach / (BINS / 2) as f32;
        let edge = move |bin: usize| (bin as f32 - (BINS / 2) as f32) * width;
        self.counts.iter().enumerate().map(move |(bin, &count)| (edge(bin), edge(bin + 1), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_reach_keep_the_counts_of_those_before() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.0; 10]);
        histogram.add(&[0.5, -0.5]);
        histogram.add(&[100.0]);
        assert_eq!(histogram.extremes(), Some((-0.5, 100.0)));
        let bin = 128.0 / (BINS / 2) as f32;
        assert!((histogram.quantile(0.5)).abs() <= bin);
        assert_eq!(histogram.bins().map(|(.., count)| count).sum::<u64>(), 13);
        let near = |x: f32| histogram.bins().find(|(left, right, _)| (*left..*right).contains(&x)).map(|bin| bin.2);
        assert_eq!((near(-0.5), near(100.0)), (Some(1), Some(1)));
    }

    #[test]
    fn quantiles_of_a_uniform_distribution() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0).collect();
        let mut histogram = Histogram::default();
        values.chunks(7).for_each(|chunk| histogram.add(chunk));
        for q in [0.1, 0.5, 0.9, 0.999] {
            assert!((f64::from(histogram.quantile(q)) - q).abs() < 1e-3, "{q}: {}", histogram.quantile(q));
        }
    }

    #[test]
    fn what_is_no_number_is_counted_apart() {
        let mut histogram = Histogram::default();
        histogram.add(&[f32::NAN, f32::INFINITY, 1.0]);
        assert_eq!((histogram.not_finite(), histogram.extremes()), (2, Some((1.0, 1.0))));
    }
}
