//! McNemar's test: whether two classifiers that saw the same images differ by more than chance. Pure.
//!
//! Images that both get right, or both wrong, say nothing. Of the others, if the classifiers were equally good, each would get
//! half. For few of them the binomial distribution says exactly how likely such a split is; for many, the chi-square
//! distribution with one degree of freedom and Edwards' continuity correction (Psychometrika 13, 1948) is near enough.

use serde::Serialize;

/// From so many images on that one classifier gets right and the other wrong, the approximation is taken: the usual threshold.
const MANY: u64 = 25;

/// The outcome of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// How it was computed.
    pub method: McNemarMethod,
    /// Exact: the smaller of the two counts. Chi-square: the statistic.
    pub statistic: f64,
    /// How likely a split as uneven as this one is, if the two are equally good.
    pub p: f64,
}

/// How p is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum McNemarMethod {
    /// From the binomial distribution.
    ExactBinomial,
    /// From the chi-square distribution, with continuity correction.
    ChiSquareCorrected,
}

impl McNemar {
    /// * `only_first`, `only_second`: images that only this one gets right
    pub fn of(only_first: u64, only_second: u64) -> Self {
        let (few, all) = (only_first.min(only_second), only_first + only_second);
        if all < MANY {
            return Self { method: McNemarMethod::ExactBinomial, statistic: few as f64, p: two_sided(few, all) };
        }
        let difference = only_first.abs_diff(only_second) as f64;
        let statistic = (difference - 1.0).max(0.0).powi(2) / all as f64;
        Self { method: McNemarMethod::ChiSquareCorrected, statistic, p: erfc((statistic / 2.0).sqrt()) }
    }
}

/// Twice the probability of at most `few` heads in `all` throws of a coin.
fn two_sided(few: u64, all: u64) -> f64 {
    // Below 25 throws every number here is a small integer, so the sum is exact.
    let (mut ways, mut tail) = (1.0, 0.0);
    for heads in 0..=few {
        tail += ways;
        ways = ways * (all - heads) as f64 / (heads + 1) as f64;
    }
    (2.0 * tail / 2f64.powi(all as i32)).min(1.0)
}

/// The complementary error function of `x >= 0`.
fn erfc(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        // erf(x) = 2/sqrt(pi) exp(-x²) (x + 2x³/3 + 4x⁵/15 + …): all terms are positive.
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > 1e-17 * sum {
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        return 1.0 - 2.0 * scale * sum;
    }
    // Laplace's continued fraction x + (1/2)/(x + (2/2)/(x + (3/2)/…)), from its end: 200 steps are enough from 2 on.
    scale / (1..=200).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) -> bool {
        (got - want).abs() <= 1e-10 * want.abs()
    }

    // Wanted values are scipy 1.17's: `binomtest(b, b + c, 0.5).pvalue`, and `chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1)`.

    #[test]
    fn few_images_are_judged_exactly() {
        for (b, c, p) in [
            (0, 0, 1.0),
            (0, 1, 1.0),
            (0, 6, 0.031_25),
            (3, 9, 0.145_996_093_75),
            (9, 3, 0.145_996_093_75),
            (4, 20, 0.001_543_879_508_972_168),
            (12, 12, 1.0),
        ] {
            let test = McNemar::of(b, c);
            assert_eq!((test.method, test.statistic), (McNemarMethod::ExactBinomial, b.min(c) as f64));
            assert!(close(test.p, p), "{b} and {c}: {} instead of {p}", test.p);
        }
    }

    #[test]
    fn many_images_are_judged_by_chi_square() {
        for (b, c, statistic, p) in [
            (12, 13, 0.0, 1.0),
            (20, 20, 0.0, 1.0),
            (86, 150, 16.817_796_610_169_49, 4.114_562_281_345_944e-5),
            (59, 6, 41.6, 1.119_932_714_954_246_9e-10),
            (400, 100, 178.802, 8.851_095_882_059_483e-41),
        ] {
            let test = McNemar::of(b, c);
            assert_eq!(test.method, McNemarMethod::ChiSquareCorrected);
            assert!((test.statistic - statistic).abs() < 1e-9, "{b} and {c}: {}", test.statistic);
            assert!(close(test.p, p), "{b} and {c}: {} instead of {p}", test.p);
        }
    }

    #[test]
    fn both_ways_to_compute_erfc_agree_with_scipy_where_they_meet() {
        // scipy.special.erfc
        for (x, want) in [
            (0.5, 0.479_500_122_186_953_5),
            (1.999, 0.004_698_443_348_629_486_5),
            (2.0, 0.004_677_734_981_047_266),
            (6.0, 2.151_973_671_249_891_3e-17),
        ] {
            assert!(close(erfc(x), want), "{x}: {}", erfc(x));
        }
        assert_eq!(erfc(0.0), 1.0);
    }
}
