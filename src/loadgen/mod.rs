//! Load on a running server, and what came of it.
//!
//! `arrivals` (pure: when requests are due) → `drive` (the clock: closed and open loop) → [`Ask`] (whom) → `tally`, `summary` (pure: counts,
//! percentiles) → `report`. `payload` writes requests, `http`, `call` and `stream` send them over sockets.
//!
//! Must not know the server beyond the messages that both ends share, nor the command line.

mod arrivals;
mod call;
mod client;
mod desk;
mod distribution;
mod drive;
mod endpoint;
mod exchange;
mod form;
mod outline;
mod pacer;
mod parts;
mod payload;
mod plan;
mod reply;
pub mod report;
mod series;
mod stream;
mod summary;
mod tally;

pub use arrivals::Arrivals;
pub use client::LoadClient;
pub use desk::{OutlineError, ServerDesk};
pub use distribution::LatencyQuantiles;
pub use drive::{Ask, LoadRun};
pub use endpoint::{Endpoint, EndpointError};
pub use form::{PictureForm, WireProtocol};
pub use outline::ModelOutline;
pub use parts::RequestParts;
pub use payload::Payloads;
pub use plan::{LoadPlan, Pace};
pub use reply::{Fate, NoReply, ReplyStatus, ServerReply};
pub use series::Moment;
pub use summary::{PaceSummary, RunSummary};
