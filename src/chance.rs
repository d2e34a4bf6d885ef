//! Numbers that look random and are the same in every run: Steele, Lea and Flood's SplitMix64, and what is drawn from it.
//!
//! A leaf. Good enough for gaps between requests and for times of runs; nothing that somebody must not guess may be made of them.

/// The generator. A seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// Any seed is as good as another.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 up to, but not, 1.
    pub fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed with a mean of 1, as gaps between independent users are.
    pub fn exponential(&mut self) -> f64 {
        // The inverse of the distribution function; 1 - u is never 0.
        -(1.0 - self.fraction()).ln()
    }

    /// Normally distributed with a mean of 0 and a deviation of 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.fraction()).cos()
    }

    /// One of `count`, from 0 on; 0 where there are none.
    pub fn below(&mut self, count: usize) -> usize {
        (self.fraction() * count as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published first values of SplitMix64 from the seed 1234567.
    #[test]
    fn the_random_numbers_are_those_of_the_paper() {
        let mut random = SplitMix::new(1_234_567);
        for expected in [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423] {
            assert_eq!(random.fraction(), (expected >> 11) as f64 / (1u64 << 53) as f64);
        }
    }

    #[test]
    fn what_is_drawn_has_the_moments_of_its_distribution() {
        let mut random = SplitMix::new(7);
        let count = 100_000;
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64)
        };
        let normal: Vec<f64> = (0..count).map(|_| random.normal()).collect();
        let (mean, variance) = moments(&normal);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        // 99 of 100 lie below 2.326.
        let below = normal.iter().filter(|value| **value < 2.326_348).count() as f64 / f64::from(count);
        assert!((below - 0.99).abs() < 0.002, "{below}");
        let gaps: Vec<f64> = (0..count).map(|_| random.exponential()).collect();
        let (mean, variance) = moments(&gaps);
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut seen = [0; 5];
        (0..count).for_each(|_| seen[random.below(5)] += 1);
        assert!(seen.iter().all(|times| (f64::from(*times) / f64::from(count) - 0.2).abs() < 0.01), "{seen:?}");
    }
}
