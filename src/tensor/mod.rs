//! What the stages of the line hand to each other: pixels, batches and logits.
//!
//! A leaf: it knows no stage, no door and no file format.
//!
//! An [`Input`] is one image that fits a network, whichever way it came; only an [`InputShape`] makes one.
//!
//! [`Pixels`] leave preprocessing; a worker's [`Batch`] is filled from them by the model's [`Normalizer`], straight
//! into the memory that the session reads; [`Logits`] come back.

mod batch;
mod feature_maps;
mod input;
mod layout;
mod normalize;
mod number_type;
mod pixels;

pub use batch::{Batch, Logits};
pub use feature_maps::FeatureMaps;
pub use input::{Input, InputShape, Misfit};
pub use layout::Layout;
pub use normalize::{ColorOrder, Normalizer};
pub use number_type::NumberType;
pub use pixels::Pixels;
