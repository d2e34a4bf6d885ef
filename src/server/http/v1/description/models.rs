//! What can be known of models.

use serde_json::json;

use crate::server::http::{
    description::{Described, ModelInPath, RefusalStatus, Tag},
    health::StatusDocument,
    v1::{
        models::{LabelsDocument, MetadataDocument, ModelList},
        tfserving::StatusOfModel,
    },
};

pub(in crate::server::http) fn alive_described() -> Described {
    Described::new(
        Tag::TensorFlowServing,
        "alive",
        "Does the server live",
        "By this, clients of KServe's protocol of version 1 know that the server lives.",
    )
    .answers::<StatusDocument>("It lives.", json!({ "status": "alive" }))
}

pub(in crate::server::http::v1) fn list() -> Described {
    Described::new(
        Tag::Own,
        "listModels",
        "What is served",
        "The names of all models, as KServe's clients expect them, and every version with its state.",
    )
    .answers::<ModelList<'_>>(
        "Every version of every model.",
        json!({
            "models": ["resnet20-cifar10"],
            "model_versions": [{
                "name": "resnet20-cifar10", "version": 1, "state": "AVAILABLE", "architecture": "resnet20-cifar",
                "classes": 10, "provider": "cpu", "precision": "fp32",
            }],
        }),
    )
}

pub(in crate::server::http::v1) fn status(place: ModelInPath) -> Described {
    Described::of_model(
        place,
        Tag::TensorFlowServing,
        "modelStatus",
        "Where a model's versions stand",
        "TensorFlow Serving's document, with KServe's `name` and `ready` beside it. Also of versions that could not be loaded.",
    )
    .answers::<StatusOfModel<'_>>(
        "The states of its versions.",
        json!({
            "name": "resnet20-cifar10",
            "ready": true,
            "model_version_status": [
                { "version": "1", "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } },
            ],
        }),
    )
}

pub(in crate::server::http::v1) fn metadata(place: ModelInPath) -> Described {
    let tensor = |dtype: &str, sizes: &[&str], name: &str| {
        let dim: Vec<_> = sizes.iter().map(|size| json!({ "size": size, "name": "" })).collect();
        json!({ "dtype": dtype, "tensor_shape": { "dim": dim, "unknown_rank": false }, "name": name })
    };
    Described::of_model(
        place,
        Tag::Own,
        "modelMetadata",
        "What a model takes and gives",
        "Its tensors, what its graph shows of the network, and how it runs on this machine; beside TensorFlow Serving's signatures.",
    )
    .answers::<MetadataDocument<'_>>(
        "The model from outside.",
        json!({
            "model_spec": { "name": "resnet20-cifar10", "signature_name": "", "version": "1" },
            "metadata": { "signature_def": { "signature_def": { "serving_default": {
                "inputs": { "input": tensor("DT_FLOAT", &["-1", "3", "32", "32"], "input") },
                "outputs": { "probabilities": tensor("DT_FLOAT", &["-1", "10"], "probabilities") },
                "method_name": "tensorflow/serving/predict",
                "defaults": {},
            } } } },
            "name": "resnet20-cifar10",
            "version": 1,
            "architecture": { "name": "resnet20-cifar", "resnet": { "depth": 20, "block": "basic" }, "parameters": 269034, "macs": 40551040 },
            "inputs": [{ "name": "input", "shape": [-1, 3, 32, 32] }],
            "outputs": [{ "name": "logits", "shape": [-1, 10] }],
            "layout": "nchw",
            "color": "rgb",
            "classes": 10,
            "provider": "cpu",
            "precision": "fp32",
            "probability_drift": null,
            "choice": "as set; [runtime] tune is off",
            "max_batch_size": 8,
            "instances": 2,
            "intra_threads": 1,
            "alone_threads": null,
            "untrained": false,
        }),
    )
    .refuses_because(RefusalStatus::NotFound, "There is no such model or version, or it does not answer yet or any more.")
}

pub(in crate::server::http::v1) fn labels(place: ModelInPath) -> Described {
    Described::of_model(
        place,
        Tag::Own,
        "modelLabels",
        "The names of a model's classes",
        "In the order of the classes' indices: the label of index 3 is the fourth.",
    )
    .answers::<LabelsDocument<'_>>(
        "The labels.",
        json!({
            "name": "resnet20-cifar10",
            "version": 1,
            "labels": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        }),
    )
    .refuses_because(
        RefusalStatus::NotFound,
        "There is no such model or version, or it does not answer yet or any more.",
    )
}
