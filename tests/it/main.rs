//! The integration tests: one binary, one file a behaviour.

mod batching;
mod preprocess_bad_input;
mod preprocess_parity;
