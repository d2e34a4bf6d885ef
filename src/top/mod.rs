//! The live numbers of servers, for a terminal.
//!
//! `ask` (sockets) ─▶ [`ServerLook`] ─▶ `watched` (a look against an earlier one, pure) ─▶ [`ServerView`] ─▶ `frame` (the
//! screen) or `plain` (lines). Servers are asked by their public routes only. Must not know keys, signals or the clock:
//! the command line has them.

mod ask;
mod cells;
mod frame;
mod plain;
mod reading;
mod watched;

pub use ask::ServerWatch;
pub use cells::{ModelColumn, ModelTable};
pub use frame::{TopKey, TopScreen};
pub use plain::lines;
pub use reading::{
    BatchReading, EngineReading, ListReading, ListedReading, MemoryReading, ModelReading, PHASES, QueueReading,
    ServerLook, StatsReading, ThreadsReading, ThroughputReading,
};
pub use watched::{ModelNumbersView, ModelView, ServerView, WatchedServer, phase_names};
