//! The model that the binary carries, so that `serve` works with no files at all.

use super::manifest::{Manifest, ManifestError};
use crate::settings::{Batching, RuntimeSettings};

/// A model inside the binary.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its name and route.
    pub name: &'static str,
    /// Its version.
    pub version: u64,
    /// The ONNX file.
    pub graph: &'static [u8],
    /// `labels.txt`.
    pub labels: &'static str,
    /// `model.toml`.
    pub manifest: &'static str,
}

/// ResNet-20 for CIFAR-10; `models/resnet20-cifar10/README.md` says how it was trained and what it scores.
pub const RESNET20_CIFAR10: BuiltIn = BuiltIn {
    name: "resnet20-cifar10",
    version: 1,
    graph: include_bytes!("../../models/resnet20-cifar10/1/model.onnx"),
    labels: include_str!("../../models/resnet20-cifar10/labels.txt"),
    manifest: include_str!("../../models/resnet20-cifar10/model.toml"),
};

impl BuiltIn {
    /// Its manifest over the server's defaults.
    ///
    /// # Errors
    /// [`ManifestError`], if the defaults are out of range.
    pub fn manifest(&self, batching: &Batching, runtime: &RuntimeSettings) -> Result<Manifest, ManifestError> {
        Manifest::parse(self.manifest, self.name.as_ref(), batching, runtime)
    }
}
