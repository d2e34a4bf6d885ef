//! When requests are due in an open loop: a rate, and how the moments lie. Pure: the same seed gives the same moments.

use std::{str::FromStr, time::Duration};

use serde::Serialize;

use crate::chance::SplitMix;

/// How the moments of an open loop lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// As users who know nothing of each other come: the gaps are exponentially distributed.
    #[default]
    Poisson,
    /// Every gap is the same.
    Even,
}

impl FromStr for Arrivals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "poisson" => Ok(Self::Poisson),
            "even" => Ok(Self::Even),
            _ => Err(format!("`{text}` is no kind of arrivals: use poisson or even")),
        }
    }
}

/// The moments, from the start of the run on, without end.
#[derive(Clone, Debug)]
pub(super) struct ArrivalTimes {
    arrivals: Arrivals,
    rate: f64,
    random: SplitMix,
    last: f64,
}

impl ArrivalTimes {
    /// * `rate`: requests a second, above 0
    pub(super) fn new(arrivals: Arrivals, rate: f64, seed: u64) -> Self {
        Self { arrivals, rate, random: SplitMix::new(seed), last: 0.0 }
    }
}

impl Iterator for ArrivalTimes {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let gap = match self.arrivals {
            Arrivals::Even => 1.0,
            Arrivals::Poisson => self.random.exponential(),
        };
        self.last += gap / self.rate;
        Duration::try_from_secs_f64(self.last).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(arrivals: Arrivals, rate: f64, seed: u64, count: usize) -> Vec<f64> {
        let moments: Vec<f64> =
            ArrivalTimes::new(arrivals, rate, seed).take(count).map(|at| at.as_secs_f64()).collect();
        let before = std::iter::once(0.0).chain(moments.iter().copied());
        moments.iter().zip(before).map(|(at, before)| at - before).collect()
    }

    #[test]
    fn a_seed_gives_the_same_moments_and_another_one_others() {
        assert_eq!(gaps(Arrivals::Poisson, 50.0, 7, 100), gaps(Arrivals::Poisson, 50.0, 7, 100));
        assert_ne!(gaps(Arrivals::Poisson, 50.0, 7, 100), gaps(Arrivals::Poisson, 50.0, 8, 100));
    }

    #[test]
    fn poisson_gaps_have_the_mean_of_the_rate_and_are_exponential() {
        for (rate, seed) in [(20.0, 1), (5000.0, 2), (0.5, 3)] {
            let gaps = gaps(Arrivals::Poisson, rate, seed, 20_000);
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            assert!((mean * rate - 1.0).abs() < 0.03, "mean {mean} at {rate}");
            // Of an exponential distribution exp(-k) lie above k means.
            for k in [0.1, 0.5, 1.0, 2.0, 3.0] {
                let above = gaps.iter().filter(|gap| **gap * rate > k).count() as f64 / gaps.len() as f64;
                assert!((above - (-k).exp()).abs() < 0.02, "{above} above {k}");
            }
        }
    }

    #[test]
    fn even_gaps_are_all_the_same() {
        for gap in gaps(Arrivals::Even, 250.0, 1, 1000) {
            assert!((gap - 0.004).abs() < 1e-6, "{gap}");
        }
    }

    #[test]
    fn what_is_no_kind_of_arrivals_is_refused_with_those_there_are() {
        assert_eq!("even".parse(), Ok(Arrivals::Even));
        let error = "uniform".parse::<Arrivals>().expect_err("unknown");
        assert!(error.contains("`uniform`") && error.contains("poisson or even"), "{error}");
    }
}
