//! A model's configuration in Triton's words: as much of it as is true here.

use serde::Serialize;
use utoipa::ToSchema;

use super::{datatype::name_of, metadata::to_i64};
use crate::{
    service::Target,
    tensor::{Layout, NumberType},
};

/// A model's configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct ModelConfig {
    pub(in crate::server) name: String,
    pub(in crate::server) platform: &'static str,
    pub(in crate::server) backend: &'static str,
    /// The most images of one run; a request may have more.
    pub(in crate::server) max_batch_size: usize,
    pub(in crate::server) input: Vec<ConfigInput>,
    pub(in crate::server) output: Vec<ConfigOutput>,
    pub(in crate::server) instance_group: Vec<InstanceGroup>,
    /// Batches are made of what waits, always.
    pub(in crate::server) dynamic_batching: DynamicBatching,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct ConfigInput {
    pub(in crate::server) name: String,
    pub(in crate::server) data_type: String,
    pub(in crate::server) format: ConfigFormat,
    /// Of one image.
    pub(in crate::server) dims: Vec<i64>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(in crate::server) enum ConfigFormat {
    #[serde(rename = "FORMAT_NHWC")]
    Nhwc,
    #[serde(rename = "FORMAT_NCHW")]
    Nchw,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct ConfigOutput {
    pub(in crate::server) name: String,
    pub(in crate::server) data_type: String,
    /// Of one image.
    pub(in crate::server) dims: Vec<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct InstanceGroup {
    pub(in crate::server) kind: &'static str,
    pub(in crate::server) count: usize,
}

/// Nothing of it is configured.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct DynamicBatching {}

impl ModelConfig {
    /// Of the version that `target` is.
    pub(in crate::server) fn of(target: &Target) -> Self {
        let model = target.model();
        let info = &model.info;
        let outputs = target.outputs().into_iter().map(|name| ConfigOutput {
            name: name.to_owned(),
            data_type: data_type(NumberType::Float32),
            dims: vec![to_i64(model.classes())],
        });
        Self {
            name: model.name.to_string(),
            platform: "onnxruntime_onnx",
            backend: "onnxruntime",
            max_batch_size: info.max_batch_size,
            input: vec![ConfigInput {
                name: info.input.name.clone(),
                data_type: data_type(info.numbers),
                format: match info.layout {
                    Layout::Nchw => ConfigFormat::Nchw,
                    Layout::Nhwc => ConfigFormat::Nhwc,
                },
                dims: target.shape().dims().map(to_i64).to_vec(),
            }],
            output: outputs.collect(),
            instance_group: vec![InstanceGroup {
                kind: if matches!(&*info.provider, "cuda" | "tensorrt") { "KIND_GPU" } else { "KIND_CPU" },
                count: info.instances,
            }],
            dynamic_batching: DynamicBatching {},
        }
    }
}

fn data_type(numbers: NumberType) -> String {
    format!("TYPE_{}", name_of(numbers))
}
