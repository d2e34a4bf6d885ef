//! When pictures come: independent users at a rate that is steady, comes in bursts, or changes over the day.

use std::time::Duration;

use resnetd::chance::SplitMix;

/// How the rate changes. Its mean is what is asked for, but for [`Shape::Step`] and [`Shape::Morning`], where that is the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Poisson.
    Steady,
    /// Poisson with a rate that changes between 0.85 for 10 s and 1.3 for 5 s in the mean, each for a random time.
    Bursts,
    /// A third, and all of it at once after a quarter of the time.
    Step,
    /// From a quarter to all of it in the first half of the time, then as it is.
    Morning,
}

pub(crate) struct Traffic {
    shape: Shape,
    rate: f64,
    length: f64,
    chance: SplitMix,
    now: f64,
    is_burst: bool,
    changes: f64,
}

const CALM: (f64, f64) = (0.85, 10.0);
const BURST: (f64, f64) = (1.3, 5.0);

impl Traffic {
    pub(crate) fn new(shape: Shape, rate: f64, length: Duration, seed: u64) -> Self {
        let mut chance = SplitMix::new(seed);
        let changes = chance.exponential() * CALM.1;
        Self { shape, rate, length: length.as_secs_f64(), chance, now: 0.0, is_burst: false, changes }
    }

    /// The rate at a moment; of bursts, at this one.
    pub(crate) fn rate_at(&self, seconds: f64) -> f64 {
        let part = seconds / self.length;
        let factor = match self.shape {
            Shape::Steady => 1.0,
            Shape::Bursts if self.is_burst => BURST.0,
            Shape::Bursts => CALM.0,
            Shape::Step if part < 0.25 => 1.0 / 3.0,
            Shape::Morning => (0.25 + 1.5 * part).min(1.0),
            Shape::Step => 1.0,
        };
        factor * self.rate
    }

    /// The next picture.
    pub(crate) fn next(&mut self) -> Duration {
        let highest = self.rate * if self.shape == Shape::Bursts { BURST.0 } else { 1.0 };
        // Thinning (Lewis and Shedler, 1979): at the highest rate, of which as many are taken as are due.
        loop {
            self.now += self.chance.exponential() / highest;
            while self.shape == Shape::Bursts && self.changes < self.now {
                self.is_burst = !self.is_burst;
                self.changes += self.chance.exponential() * if self.is_burst { BURST.1 } else { CALM.1 };
            }
            if self.chance.fraction() * highest < self.rate_at(self.now) {
                return Duration::from_secs_f64(self.now);
            }
        }
    }
}
