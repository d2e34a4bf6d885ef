//! What a client author reads of the routes of `/v1`.
//!
//! The shapes of answers are those of the types that are written. Bodies are read without a type of their own, so that they take no
//! more memory than their pictures: their shapes stand here.

mod classify;
mod explain;
mod manage;
mod models;
mod pictures;
mod predict;
mod several;

pub(super) use classify::classify;
pub(in crate::server::http) use classify::{gives_classes, takes_pictures};
pub(super) use explain::explain;
pub(super) use manage::{label, load, unload};
pub(in crate::server::http) use models::alive_described;
pub(super) use models::{labels, list, metadata, status};
pub(super) use predict::{predict, regress};
pub(super) use several::classify_several;
