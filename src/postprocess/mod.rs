//! From a row of the network's output to named classes. Pure.
//!
//! Knows numbers and labels. Must not know models, requests or doors.

mod activation;
mod class_maps;
mod class_names;
mod labels;
mod merged_map;
mod top_k;

pub use activation::Activation;
pub use class_maps::{ClassMap, ClassMaps};
pub use class_names::{ClassNames, NoClass};
pub use labels::{LabelsError, labels_difference, parse_labels};
pub use merged_map::{ViewedMap, merged};
pub use top_k::top_k;
