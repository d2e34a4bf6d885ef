//! The integration tests: one binary, one file a behaviour.

mod batching;
mod damaged_weights;
mod import;
mod preprocess_bad_input;
mod preprocess_parity;
mod providers;
