//! The integration tests: one binary, one file a behaviour.

mod damaged_weights;
mod import;
mod pull;
