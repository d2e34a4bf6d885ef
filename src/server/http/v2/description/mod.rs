//! What a client author reads of the routes of `/v2`.

mod infer;
mod models;
mod server;

pub(super) use infer::infer;
pub(super) use models::{config, metadata, model_ready, statistics, statistics_of_all};
pub(super) use server::{index, live, load, ready, server_metadata, unload};
