//! Repositories elsewhere: a bucket is mirrored into a folder of this machine, which is then a model repository like any other.
//!
//! `url` ─▶ `open` (a client, credentials) ─▶ `listing` (objects → models) ─▶ `completeness` (which versions count; `digests`) ─▶ `mirror` (what comes,
//! what goes; `fetch`, `origin`, `room`) ─▶ `follow` (the thread, the log, back-off); `push` goes the other way. `error` has the words for what is wrong.
//!
//! Must not know what is served, doors or the command line.

mod completeness;
mod digests;
mod error;
mod fetch;
mod follow;
mod listing;
mod mirror;
mod open;
mod origin;
mod profile;
mod push;
mod room;
mod url;

pub use error::{StoreError, StoreFault};
pub use follow::StoreMirror;
pub use mirror::{IsServed, MirrorOptions, OpenStore, PickVersions};
pub use open::{StoreClient, open};
pub use push::{LocalVersion, PushError, PushOptions, Pushed, push};
pub use url::{StoreKind, StoreUrl, StoreUrlError};
