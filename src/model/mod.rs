//! Models: what lies on disk, how a model is prepared and run, and what can be known of it.
//!
//! [`repository::scan`] finds the folders, [`manifest`] reads `model.toml`, [`load`] makes sessions of both.
//! Knows stages. Must not know requests or doors.

mod activation;
mod built_in;
mod cascade;
mod demand;
mod error;
pub mod fingerprint;
mod first_runs;
mod graph_files;
mod info;
mod input_section;
mod kept_weights;
mod labels;
mod last_layer;
pub mod load;
mod machine;
pub mod manifest;
mod memory;
mod overflow;
mod plan;
mod preparation;
mod prepared;
mod preset;
pub mod repository;
mod served;
mod steps;
mod traffic;
mod trained_elsewhere;
mod tuning;
mod versions;
mod warm_up;
mod wishes;

pub use activation::needed_after;
pub use built_in::{BuiltIn, RESNET20_CIFAR10};
pub use cascade::CascadeSection;
pub use error::ModelError;
pub use graph_files::graph_digest;
pub use info::{ModelInfo, ModelState, ModelStatus, TensorInfo};
pub use input_section::{GraphImage, InputSection};
pub use labels::{label_text, labels_file, stated_labels};
pub use machine::Machine;
pub use manifest::Manifest;
pub use plan::{Earlier, TuningReport};
pub use prepared::Prepared;
pub use preset::Preset;
pub use repository::ModelFolder;
pub use served::{LoadedModel, ServedModel};
pub use steps::{LoadStep, LoadSteps};
pub use traffic::{GuardSection, TrafficSection, VersionName};
pub use trained_elsewhere::preset_warning;
pub use versions::{NamedPolicy, VersionPolicy, VersionsSection, label_problem};
pub use warm_up::sample_uploads;
