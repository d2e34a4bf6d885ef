//! A model's requests among its versions, as `[traffic]` says: `split` (who gets which share, pure), `guard` with its `window` (who is turned
//! back, pure), `mirror` (who runs what others answer), and `route`, which holds them together for the versions that answer now.
//!
//! Knows versions as they are served. Must not know the snapshot that they stand in, nor a door: a header is a name with a value.

mod course;
mod guard;
mod guarded;
mod keys;
mod mirror;
mod route;
mod split;
mod view;
mod window;

pub(super) use course::Course;
pub use keys::SplitKeys;
pub(super) use mirror::Spare;
pub(super) use route::{Routing, Traffic};
pub use view::{ShadowView, TrafficView};
