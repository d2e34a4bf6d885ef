//! The integration tests: one binary, one file a behaviour.

mod batching;
mod grpc_classify;
mod grpc_health;
mod grpc_stream;
mod http_bad_requests;
mod http_classify;
mod http_models;
mod preprocess_parity;
mod server_life;
mod support;
