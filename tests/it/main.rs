//! The integration tests: one binary, one file a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "unwrapping fails with place and value; a skipped test says so"
)]

mod batching;
mod bench;
mod build_model;
mod damaged_weights;
mod evaluate;
mod every_door;
mod fairness;
mod features;
mod fp16;
mod graph_files;
mod graphs;
mod grpc_classify;
mod grpc_details;
mod grpc_health;
mod grpc_refusals;
mod grpc_stream;
mod grpc_web;
mod http_bad_requests;
mod http_classify;
mod http_encoding;
mod http_leaving;
mod http_models;
mod http_recorded;
mod http_refusals;
mod import;
mod inspect;
mod inspect_bounds;
mod kserve_v1;
mod lifecycle;
mod limits;
mod management;
mod metrics;
mod model_loading;
mod model_sizes;
mod models_change;
mod one_port;
mod onnx_file;
mod openapi;
mod outputs_asked;
mod platforms;
mod preprocess_bad_input;
mod preprocess_cases;
mod preprocess_fast;
mod preprocess_gray;
mod preprocess_parity;
mod priorities;
mod process_commands;
mod process_config;
mod process_log;
mod process_memory;
mod process_reload;
mod process_repository;
mod process_signals;
mod providers;
mod pull;
mod quantize;
mod request_log;
mod same_picture;
mod scripts;
mod server_life;
mod stats;
mod support;
mod tfs_grpc;
mod tfs_rest;
mod upgrade;
mod v2_bad_calls;
mod v2_bad_requests;
mod v2_forms;
mod v2_grpc;
mod v2_rest;
mod workers;
