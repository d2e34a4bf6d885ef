//! Kubernetes' HorizontalPodAutoscaler on `resnetd_load_ratio`, with the waits that it has: deploy/kubernetes/base/autoscaler.yaml.

use std::{collections::VecDeque, time::Duration};

/// What is asked of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scaler {
    /// The mean load of the replicas to aim at.
    pub(crate) target: f64,
    /// From the order for a replica until it is ready: a node, an image, the model's load.
    pub(crate) start_up: Duration,
    pub(crate) least: usize,
    pub(crate) most: usize,
}

/// Prometheus asks so often, and the autoscaler looks so often.
pub(crate) const SCRAPE: Duration = Duration::from_secs(15);
pub(crate) const SYNC: Duration = Duration::from_secs(15);
/// Closer to the target nothing is done (Kubernetes' default).
const TOLERANCE: f64 = 0.1;
/// `behavior` of autoscaler.yaml.
const UP_PERIOD: Duration = Duration::from_secs(30);
const UP_PERCENT: f64 = 1.0;
const UP_PODS: usize = 2;
const DOWN_WINDOW: Duration = Duration::from_secs(300);
const DOWN_PERIOD: Duration = Duration::from_secs(60);
const DOWN_PERCENT: f64 = 0.2;

/// What it remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScalerState {
    /// Of the last five minutes: what would have been enough.
    wanted: VecDeque<(Duration, usize)>,
    /// How many there were.
    counts: VecDeque<(Duration, usize)>,
}

impl ScalerState {
    /// How many replicas there are to be.
    ///
    /// * `ready`: loads of those that are ready, as they were scraped
    /// * `starting`: those that are not yet: for more they count as idle
    pub(crate) fn look(&mut self, scaler: &Scaler, now: Duration, ready: &[f64], starting: usize) -> usize {
        let count = ready.len() + starting;
        let sum: f64 = ready.iter().sum();
        let mean = sum / ready.len().max(1) as f64;
        let all = sum / count.max(1) as f64;
        let ratio = if mean > scaler.target { all } else { mean } / scaler.target;
        let enough = if (ratio - 1.0).abs() <= TOLERANCE || (mean > scaler.target && ratio < 1.0) {
            count
        } else {
            (ratio * count as f64).ceil() as usize
        };
        let enough = enough.clamp(scaler.least, scaler.most);
        self.wanted.push_back((now, enough));
        self.counts.push_back((now, count));
        forget(&mut self.wanted, now, DOWN_WINDOW);
        forget(&mut self.counts, now, UP_PERIOD.max(DOWN_PERIOD));
        let before = |period: Duration| {
            let since = self.counts.iter().filter(|(at, _)| *at + period >= now).map(|(_, count)| *count);
            since.fold((usize::MAX, 0), |(least, most), count| (least.min(count), most.max(count)))
        };
        if enough > count {
            let (least, _) = before(UP_PERIOD);
            let most = ((least as f64 * (1.0 + UP_PERCENT)).ceil() as usize).max(least + UP_PODS);
            return enough.min(most).max(count);
        }
        let steady = self.wanted.iter().map(|(_, enough)| *enough).max().unwrap_or(enough);
        let (_, most) = before(DOWN_PERIOD);
        let least = (most as f64 * (1.0 - DOWN_PERCENT)).ceil() as usize;
        steady.max(least).min(count)
    }
}

fn forget(kept: &mut VecDeque<(Duration, usize)>, now: Duration, after: Duration) {
    while kept.front().is_some_and(|(at, _)| *at + after < now) {
        kept.pop_front();
    }
}
