//! What is told of the server, of a model, and of the repository.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::datatype::name_of;
use crate::{
    service::{Error, ModelState, Service, Target},
    tensor::NumberType,
};

pub(in crate::server) const NAME: &str = "resnetd";
pub(in crate::server) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is spoken beyond the protocol's core, by Triton's names: only what works.
pub(in crate::server) const EXTENSIONS: [&str; 5] =
    ["binary_tensor_data", "classification", "schedule_policy", "model_configuration", "statistics"];

/// As Triton calls an ONNX graph in ONNX Runtime.
const PLATFORM: &str = "onnxruntime_onnx";

/// A model from outside.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceModelMetadata)]
pub(in crate::server) struct ModelMetadata {
    pub(in crate::server) name: String,
    /// Those that answer.
    pub(in crate::server) versions: Vec<String>,
    pub(in crate::server) platform: &'static str,
    pub(in crate::server) inputs: Vec<TensorMetadata>,
    pub(in crate::server) outputs: Vec<TensorMetadata>,
    /// What the protocol has no field for.
    pub(in crate::server) properties: BTreeMap<String, String>,
}

/// An input or output.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct TensorMetadata {
    pub(in crate::server) name: String,
    pub(in crate::server) datatype: &'static str,
    /// -1 where the size is free: the number of images.
    pub(in crate::server) shape: Vec<i64>,
}

/// One version of a model in the repository.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct RepositoryEntry {
    pub(in crate::server) name: String,
    pub(in crate::server) version: String,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    pub(in crate::server) state: &'static str,
    /// Why it is not available, or answers from earlier files than those that are there; empty otherwise.
    pub(in crate::server) reason: String,
}

impl ModelMetadata {
    /// Of the version that `target` is.
    ///
    /// # Errors
    /// `NOT_FOUND` where the model went in this moment.
    pub(in crate::server) fn of(service: &Service, target: &Target) -> Result<Self, Error> {
        let model = target.model();
        let available = |versions: Vec<crate::service::ModelStatus>| {
            let available = versions.into_iter().filter(|version| version.state == ModelState::Available);
            available.map(|version| version.version.to_string()).collect()
        };
        let input = &model.info.input.name;
        let pictures = format!(
            "instead of the tensor, `{input}` takes pictures as they are: datatype BYTES, shape [N] or [N, 1], one JPEG, PNG, WebP, \
             GIF, BMP, TIFF or PPM file an element; in JSON each file as a base64 string"
        );
        let pixels = format!(
            "`{input}` also takes FP16 and BF16 (binary), and UINT8: pixels 0 to 255 of the same shape, which the server normalizes"
        );
        let properties = [("encoded_pictures".to_owned(), pictures), ("other_datatypes".to_owned(), pixels)];
        let dims = target.shape().dims().map(to_i64);
        Ok(Self {
            name: model.name.to_string(),
            versions: available(service.versions(&model.name)?),
            platform: PLATFORM,
            inputs: vec![tensor(input, model.info.numbers, &dims)],
            outputs: target
                .outputs()
                .into_iter()
                .map(|name| tensor(name, NumberType::Float32, &[to_i64(model.classes())]))
                .collect(),
            properties: properties.into(),
        })
    }
}

fn tensor(name: &str, numbers: NumberType, dims: &[i64]) -> TensorMetadata {
    TensorMetadata { name: name.to_owned(), datatype: name_of(numbers), shape: [&[-1], dims].concat() }
}

pub(super) fn to_i64(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Every version of every model.
///
/// * `ready`: those that answer, and no others
pub(in crate::server) fn index(service: &Service, ready: bool) -> Vec<RepositoryEntry> {
    let wanted = service.list().into_iter().filter(|model| !ready || model.state == ModelState::Available);
    let entry = |model: crate::service::ModelStatus| {
        let (state, reason) = match model.state {
            ModelState::Available => ("READY", model.outdated.unwrap_or_default()),
            ModelState::Loading => ("LOADING", String::new()),
            ModelState::Failed(reason) | ModelState::NotLoaded(reason) => ("UNAVAILABLE", reason),
        };
        RepositoryEntry { name: model.name.to_string(), version: model.version.to_string(), state, reason }
    };
    wanted.map(entry).collect()
}
