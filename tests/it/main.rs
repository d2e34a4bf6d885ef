//! The integration tests: one binary, one file a behaviour.

mod preprocess_parity;
