//! On which terms an image waits.

use std::time::{Duration, Instant};

use super::{policy::Priority, turns::ClientId};

/// On which terms an image waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// When whoever asked stops waiting.
    pub deadline: Option<Instant>,
    /// Whom it may overtake.
    pub priority: Priority,
    /// Whose it is, where clients take turns.
    pub client: Option<ClientId>,
    /// One that would wait longer in the queue is refused, and its run is kept as short as that asks for. `None`: the queue's capacity alone decides.
    pub longest_wait: Option<Duration>,
}
