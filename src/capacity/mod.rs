//! What a machine bears, and how many of them a rate needs: from measured times of runs to images a second, replicas and a price.
//!
//! ```text
//! times of runs ─ times ─▶ replica (in simulated time) ─ estimate ─▶ latency at a rate ─ plan ─▶ replicas, load to scale on, cost
//! ```
//!
//! Pure: no clock, no disk, and the same question has the same answer on every machine. A replica is simulated rather than reckoned by a formula, because
//! there is none for what it does: a worker that falls idle takes what waits, so the time of a run depends on how many came during the one
//! before. Its decisions are those of [`policy`](crate::batching::policy), the server's own. Where a formula is known (one image a run), the
//! simulation has to give what it says: the tests hold it to Erlang's and to Pollaczek's and Khinchine's.
//!
//! Knows the policy of batches. Must not know how times were measured, nor models, nor how anything is shown.

mod estimate;
mod plan;
mod replica;
mod times;

pub use estimate::{ReplicaEstimate, ReplicaModel};
pub use plan::{CapacityError, FleetPlan, FleetQuestion, ReplicaLimit, ReplicaShare, cost_of_a_million};
pub use replica::{NextStep, SimulatedReplica};
pub use times::{RunTimes, Scatter};

pub use crate::batching::Policy;
