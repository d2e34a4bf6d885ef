//! How many replicas a rate needs, what their load is then, and what a million images cost.

use std::time::Duration;

use super::estimate::{ReplicaEstimate, ReplicaModel};

/// More replicas are a mistake of units.
const MOST_REPLICAS: f64 = 1e6;

/// What keeps a replica from being given more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaLimit {
    /// 99 of 100 answers would no longer be in time.
    P99,
    /// The part that stays free for what is not foreseen.
    Headroom,
}

/// How much one replica is to be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplicaShare {
    /// At most.
    pub limit: ReplicaLimit,
    /// What it does then. Its load ratio is the one to scale on: above it more replicas are needed.
    pub estimate: ReplicaEstimate,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum CapacityError {
    /// A machine is too slow, however many there are.
    #[error(
        "a p99 of {wanted_ms} ms cannot be kept at any rate: of images that come alone, 99 of 100 take up to {alone_ms:.1} ms; give the model more threads a run \
         (`resnetd tune --goal p99={wanted_ms}` says what that does), quantize it, or allow more"
    )]
    TooSlow {
        /// What was asked for.
        wanted_ms: f64,
        /// What an idle replica does.
        alone_ms: f64,
    },
    /// A mistake of units.
    #[error(
        "{rate} images a second would take {replicas:.0} replicas of {each:.1} each: is the rate in images a second?"
    )]
    TooMany {
        /// What was asked for.
        rate: f64,
        /// What it would take.
        replicas: f64,
        /// What one may be given.
        each: f64,
    },
}

impl ReplicaShare {
    /// What `model` may be given.
    ///
    /// * `p99`: 99 of 100 are to be answered within it
    /// * `headroom`: the part of its throughput that stays free, from 0 up to, but not, 1
    ///
    /// # Errors
    /// [`CapacityError::TooSlow`].
    pub fn of(model: &ReplicaModel, p99: Option<Duration>, headroom: f64) -> Result<Self, CapacityError> {
        let most = model.most_images_per_second() * (1.0 - headroom);
        let rate = match p99 {
            Some(p99) => model.rate_within(p99, most).ok_or_else(|| CapacityError::TooSlow {
                wanted_ms: p99.as_secs_f64() * 1e3,
                alone_ms: model.at(most * 1e-3).p99_ms,
            })?,
            None => most,
        };
        let limit = if rate < most { ReplicaLimit::P99 } else { ReplicaLimit::Headroom };
        Ok(Self { limit, estimate: model.at(rate) })
    }
}

/// What is wanted of a fleet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetQuestion {
    /// Images a second, when the most come.
    pub rate: f64,
    /// So many replicas may be gone, and the others still keep what is asked of them.
    pub spare: usize,
}

/// Replicas for a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetPlan {
    /// All of them.
    pub replicas: usize,
    /// What each does while all are there.
    pub with_all: ReplicaEstimate,
    /// The same while the spare ones are gone.
    pub without_spare: ReplicaEstimate,
}

impl FleetPlan {
    /// As many as are needed when each request goes to any of them by chance. A balancer that looks at who has less in work does better:
    /// it only comes to less than this.
    ///
    /// # Errors
    /// [`CapacityError::TooMany`].
    pub fn of(model: &ReplicaModel, share: &ReplicaShare, question: FleetQuestion) -> Result<Self, CapacityError> {
        let FleetQuestion { rate, spare } = question;
        let each = share.estimate.images_per_second;
        // Rounding must not cost a replica where the rate is a multiple.
        let needed = (rate / each * (1.0 - 1e-9)).ceil().max(1.0);
        if needed > MOST_REPLICAS {
            return Err(CapacityError::TooMany { rate, replicas: needed, each });
        }
        let needed = needed as usize;
        let of = |replicas: usize| model.at(rate / replicas as f64);
        Ok(Self { replicas: needed + spare, with_all: of(needed + spare), without_spare: of(needed) })
    }
}

/// What a million images cost.
///
/// * `cores`: that are paid for, of all replicas
/// * `core_hour`: the price of one of them for an hour
/// * `images_per_second`: that all of them answer
pub fn cost_of_a_million(cores: usize, core_hour: f64, images_per_second: f64) -> f64 {
    cores as f64 * core_hour * 1e6 / (images_per_second * 3600.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batching::Policy,
        capacity::times::{RunTimes, Scatter},
    };

    /// Two sessions, an image a run of 100 ms: 20 images/s at most.
    fn model() -> ReplicaModel {
        ReplicaModel {
            policy: Policy { max_batch_size: 1, max_queue_delay: Duration::ZERO, queue_capacity: 256 },
            sessions: 2,
            times: RunTimes::new(&[(1, Duration::from_millis(100))], Scatter::Even).expect("a size"),
            preparation: Duration::ZERO,
        }
    }

    #[test]
    fn without_a_time_to_keep_a_replica_gets_all_but_the_headroom() {
        let share = ReplicaShare::of(&model(), None, 0.25).expect("a share");
        assert_eq!(share.limit, ReplicaLimit::Headroom);
        assert!((share.estimate.images_per_second - 15.0).abs() < 1e-9, "{share:?}");
        assert!((share.estimate.load_ratio - 0.75).abs() < 0.01, "{share:?}");
    }

    #[test]
    fn a_time_to_keep_gives_it_less_and_one_that_nobody_can_keep_is_said() {
        let share = ReplicaShare::of(&model(), Some(Duration::from_millis(200)), 0.1).expect("a share");
        assert_eq!(share.limit, ReplicaLimit::P99);
        assert!(share.estimate.p99_ms <= 200.0 && share.estimate.images_per_second < 18.0, "{share:?}");
        let error = ReplicaShare::of(&model(), Some(Duration::from_millis(90)), 0.1).expect_err("a run takes 100 ms");
        assert!(error.to_string().contains("90 ms") && error.to_string().contains("100.0 ms"), "{error}");
    }

    #[test]
    fn a_rate_gets_its_replicas_and_the_spare_ones() {
        let share = ReplicaShare::of(&model(), None, 0.25).expect("a share");
        let plan = |rate, spare| FleetPlan::of(&model(), &share, FleetQuestion { rate, spare });
        assert_eq!(plan(150.0, 0).map(|plan| plan.replicas), Ok(10));
        assert_eq!(plan(150.1, 1).map(|plan| plan.replicas), Ok(12));
        assert_eq!(plan(0.01, 1).map(|plan| plan.replicas), Ok(2));
        let found = plan(150.0, 1).expect("a plan");
        assert!((found.without_spare.images_per_second - 15.0).abs() < 1e-9);
        assert!((found.with_all.images_per_second - 150.0 / 11.0).abs() < 1e-9);
        assert!(found.with_all.p99_ms <= found.without_spare.p99_ms);
        assert!(plan(1e9, 0).is_err_and(|error| error.to_string().contains("images a second")));
    }

    #[test]
    fn a_million_images_cost_the_hours_of_the_cores_that_they_take() {
        // A million at 1,000/s take 1,000 s; 36 cores are ten core hours in that time.
        assert!((cost_of_a_million(36, 0.04, 1000.0) - 0.4).abs() < 1e-12);
    }
}
