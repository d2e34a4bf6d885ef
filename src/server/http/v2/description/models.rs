//! What can be known of a model.

use serde_json::{Value, json};

use crate::server::{
    http::{
        description::{Described, ModelInPath, RefusalStatus, Tag},
        v2::{models::ModelReady, statistics::StatisticsDocument},
    },
    v2::{ModelConfig, ModelMetadata},
};

const NOT_THERE: &str = "There is no such model or version, or it does not answer yet or any more.";

pub(in crate::server::http::v2) fn metadata(place: ModelInPath) -> Described {
    Described::of_model(
        place,
        Tag::OpenInference,
        "v2ModelMetadata",
        "The tensors of a model",
        "Its inputs and outputs as a request has them. In `properties` stands what else its input may be: encoded pictures, and pixels.",
    )
    .answers::<ModelMetadata>(
        "The model's tensors.",
        json!({
            "name": "resnet20-cifar10",
            "versions": ["1"],
            "platform": "onnxruntime_onnx",
            "inputs": [{ "name": "input", "datatype": "FP32", "shape": [-1, 3, 32, 32] }],
            "outputs": [
                { "name": "logits", "datatype": "FP32", "shape": [-1, 10] },
                { "name": "probabilities", "datatype": "FP32", "shape": [-1, 10] },
            ],
            "properties": { "encoded_pictures": "instead of the tensor, `input` takes pictures as they are: datatype BYTES, shape [N] or [N, 1]" },
        }),
    )
    .refuses_because(RefusalStatus::NotFound, NOT_THERE)
}

pub(in crate::server::http::v2) fn model_ready(place: ModelInPath) -> Described {
    Described::of_model(
        place,
        Tag::OpenInference,
        "v2ModelReady",
        "Does a model answer",
        "200 where it answers and the server means to stay.",
    )
    .answers::<ModelReady<'_>>("It answers.", json!({ "name": "resnet20-cifar10", "ready": true }))
    .refuses_because(RefusalStatus::NotFound, "There is no such model or version, or it could not be loaded.")
    .refuses_because(RefusalStatus::Unavailable, "It is loading, or the server is about to stop.")
}

pub(in crate::server::http::v2) fn config(place: ModelInPath) -> Described {
    Described::of_model(
        place,
        Tag::OpenInference,
        "v2ModelConfig",
        "A model's configuration in Triton's words",
        "As much of it as is true here.",
    )
    .answers::<ModelConfig>(
        "The configuration.",
        json!({
            "name": "resnet20-cifar10",
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "max_batch_size": 8,
            "input": [{ "name": "input", "data_type": "TYPE_FP32", "format": "FORMAT_NCHW", "dims": [3, 32, 32] }],
            "output": [{ "name": "logits", "data_type": "TYPE_FP32", "dims": [10] }],
            "instance_group": [{ "kind": "KIND_CPU", "count": 2 }],
            "dynamic_batching": {},
        }),
    )
    .refuses_because(RefusalStatus::NotFound, NOT_THERE)
}

const STATISTICS: &str = "Sums since a version is served, in nanoseconds, in the shape of Triton's statistics: of requests, and of runs by their number of images.";

pub(in crate::server::http::v2) fn statistics_of_all() -> Described {
    Described::new(Tag::OpenInference, "v2StatisticsOfAll", "What all models have done", STATISTICS)
        .answers::<StatisticsDocument>("An entry a version.", example())
}

pub(in crate::server::http::v2) fn statistics(place: ModelInPath) -> Described {
    Described::of_model(place, Tag::OpenInference, "v2Statistics", "What a model has done", STATISTICS)
        .answers::<StatisticsDocument>("An entry a version.", example())
        .refuses_because(RefusalStatus::NotFound, NOT_THERE)
}

fn example() -> Value {
    let counted = |count: u64, ns: u64| json!({ "count": count, "ns": ns });
    json!({ "model_stats": [{
        "name": "resnet20-cifar10",
        "version": "1",
        "last_inference": 1_795_000_000_000_u64,
        "inference_count": 3,
        "execution_count": 2,
        "inference_stats": {
            "success": counted(2, 1_800_000),
            "fail": counted(0, 0),
            "queue": counted(2, 40_000),
            "compute_input": counted(2, 300_000),
            "compute_infer": counted(2, 1_300_000),
            "compute_output": counted(2, 20_000),
            "cache_hit": counted(0, 0),
            "cache_miss": counted(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            { "batch_size": 1, "compute_input": counted(1, 3_000), "compute_infer": counted(1, 600_000), "compute_output": counted(1, 2_000) },
            { "batch_size": 2, "compute_input": counted(1, 5_000), "compute_infer": counted(1, 700_000), "compute_output": counted(1, 2_000) },
        ],
        "memory_usage": [],
    }] })
}
