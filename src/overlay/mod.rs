//! Draws what places of a picture speak for a class: a picture with its map over it, as a file that every viewer shows.
//!
//! Red speaks for the class, blue against it, and where nothing lies over the picture neither does. Colours are of one scale for all
//! panels of a drawing. Pure: it knows pixels and numbers, and must not know models, requests or doors.

mod color;
mod draw;
mod encode;
mod svg;

pub use draw::{HeatMap, Region, drawn};
pub use encode::{EncodeError, FileFormat, encoded};
pub use svg::{Legend, svg};
