//! How long a simulated run takes: what was measured of each size, and how much one run differs from the next.

use std::time::Duration;

use crate::{
    batching::{Policy, ServiceTimes},
    chance::SplitMix,
};

/// Of a normal distribution, 99 of 100 lie below so many deviations.
const NORMAL_P99: f64 = 2.326_348;

/// A server believes what runs of a size take after some of them; what was measured is believed at once.
const SEEN: usize = 4;

/// How runs of one size differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scatter {
    /// All take as long.
    Even,
    /// The logarithm of their time is normally distributed with this deviation: most are alike, a few take much longer.
    LogNormal(f64),
    /// As textbooks have it; no network runs so unevenly.
    Exponential,
}

impl Scatter {
    /// Of runs of which half take no longer than `p50`, and 99 of 100 no longer than `p99`.
    pub fn between(p50: f64, p99: f64) -> Self {
        let ratio = p99 / p50;
        if ratio.is_finite() && ratio > 1.0 { Self::LogNormal(ratio.ln() / NORMAL_P99) } else { Self::Even }
    }
}

/// The times of one network's runs on one machine, while all its sessions are busy.
#[derive(Clone, Debug)]
pub struct RunTimes {
    means: ServiceTimes,
    scatter: Scatter,
}

impl RunTimes {
    /// * `measured`: images of a run, and the mean time of such a run; sizes between lie on the line, beyond them time is proportional
    ///
    /// `None` where there is no size of at least one image with a time above 0.
    pub fn new(measured: &[(usize, Duration)], scatter: Scatter) -> Option<Self> {
        let usable = || measured.iter().filter(|(images, time)| *images > 0 && !time.is_zero());
        let mut means = ServiceTimes::new(usable().map(|(images, _)| *images).max()?);
        (0..SEEN).for_each(|_| usable().for_each(|(images, time)| means.note(*images, *time)));
        Some(Self { means, scatter })
    }

    /// The mean of a run of `images`.
    pub fn mean(&self, images: usize) -> Duration {
        self.means.of(images).unwrap_or_default()
    }

    /// How many of `count` images a run takes: fewer where more gain nothing.
    pub fn worthwhile(&self, policy: &Policy, count: usize) -> usize {
        if policy.keeps_runs_small() { self.means.worthwhile(count) } else { count }
    }

    /// One run of `images`.
    pub fn draw(&self, images: usize, chance: &mut SplitMix) -> Duration {
        let mean = self.mean(images);
        match self.scatter {
            Scatter::Even => mean,
            // Its mean is exp(deviation^2 / 2) times its median.
            Scatter::LogNormal(deviation) => {
                mean.mul_f64((deviation * chance.normal() - deviation * deviation / 2.0).exp())
            }
            Scatter::Exponential => mean.mul_f64(chance.exponential()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn times_of_sizes_that_were_not_measured_lie_between_those_that_were() {
        let times =
            RunTimes::new(&[(8, ms(200)), (0, ms(9)), (1, ms(60)), (4, ms(0))], Scatter::Even).expect("two sizes");
        assert_eq!([1, 2, 8].map(|images| times.mean(images)), [ms(60), ms(80), ms(200)]);
        assert!(RunTimes::new(&[(0, ms(5)), (1, ms(0))], Scatter::Even).is_none());
    }

    #[test]
    fn a_run_takes_no_more_than_it_gains_by_unless_it_is_to_wait_for_others() {
        let policy = Policy { max_batch_size: 8, max_queue_delay: Duration::ZERO, queue_capacity: 64 };
        let processor = RunTimes::new(&[(1, ms(50)), (8, ms(400))], Scatter::Even).expect("two sizes");
        assert_eq!(processor.worthwhile(&policy, 8), 1);
        assert_eq!(processor.worthwhile(&Policy { max_queue_delay: ms(1), ..policy }, 8), 8);
        let accelerator = RunTimes::new(&[(1, ms(50)), (8, ms(60))], Scatter::Even).expect("two sizes");
        assert_eq!(accelerator.worthwhile(&policy, 8), 8);
    }

    #[test]
    fn drawn_times_have_the_mean_and_the_percentile_that_were_measured() {
        let scatter = Scatter::between(10.0, 15.0);
        let times = RunTimes::new(&[(1, ms(100))], scatter).expect("a size");
        let mut chance = SplitMix::new(3);
        let mut drawn: Vec<f64> = (0..100_000).map(|_| times.draw(1, &mut chance).as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        assert!((mean / 0.1 - 1.0).abs() < 0.01, "{mean}");
        let ratio = drawn[99_000] / drawn[50_000];
        assert!((ratio / 1.5 - 1.0).abs() < 0.02, "{ratio}");
        assert_eq!(Scatter::between(10.0, 10.0), Scatter::Even);
        assert_eq!(Scatter::between(0.0, 10.0), Scatter::Even);
    }
}
