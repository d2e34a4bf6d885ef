//! What is served: the list, and a model's status, metadata and labels.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{path::ModelPath, tfserving};
use crate::{
    server::http::{door::HttpDoor, error::Failure, health::StatusDocument, reply},
    service::{CascadeStatus, ModelInfo, ModelState, ModelStatus, Readiness, TensorInfo, VersionPick},
};

/// Every model.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelList)]
pub(super) struct ModelList<'a> {
    /// Models for which a smaller one answers where it is sure; only where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cascades: Vec<CascadeEntry<'a>>,
    /// Every version of every model, sorted by name and version.
    model_versions: Vec<VersionEntry<'a>>,
    /// The names, sorted; also of models of which no version answers.
    models: Vec<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Cascade)]
struct CascadeEntry<'a> {
    /// The model that is asked first.
    first: &'a str,
    model: &'a str,
    /// Why the first model is not asked now; only where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'a str>,
    /// The first model's answer holds from this probability on, 0 to 1.
    threshold: f32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelVersion)]
struct VersionEntry<'a> {
    /// What the graph was recognized as; only of what is loaded, as are `classes`, `precision` and `provider`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    architecture: Option<&'a str>,
    /// How many classes it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    classes: Option<usize>,
    /// The names that the version has beside its number, sorted; only where it has any.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    labels: &'a [String],
    /// The model's name, which is the route.
    name: &'a str,
    /// The arithmetic: `fp32`, `bf16`, `fp16`, `int8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    precision: Option<&'a str>,
    /// Where it runs: `cpu`, `openvino`, `cuda`, `tensorrt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider: Option<&'a str>,
    /// Why it failed and when it is tried again, why it is not loaded, why it answers from earlier files than those that are there, or what
    /// turned it back that had a share of the requests; only where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'a str>,
    state: VersionState,
    version: u64,
}

/// Where a version is in its life.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum VersionState {
    Loading,
    Available,
    Failed,
    /// It is loaded for the first request that asks for it, which waits for that; `reason` says why it is not now.
    #[serde(rename = "NOT_LOADED")]
    NotLoaded,
}

/// How a model looks from outside, and how its graph runs here.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelMetadata)]
pub(super) struct MetadataDocument<'a> {
    /// The threads of the session that runs a picture which is alone; `null` where the others are as quick.
    alone_threads: Option<usize>,
    #[schema(value_type = Architecture)]
    architecture: Value,
    /// How provider, precision, sessions and batch were chosen, in words.
    choice: &'a str,
    /// How many classes it has.
    classes: usize,
    /// The order of the channels: `rgb`, `bgr` or `gray`.
    #[schema(value_type = String)]
    color: Value,
    /// How many features a picture has, the pooled values that the last layer reads; `null` where there are none.
    features: Option<usize>,
    /// The graph's input. Pictures are taken whatever it is.
    inputs: [TensorDocument<'a>; 1],
    /// So many runs go on side by side.
    instances: usize,
    /// So many threads share one run.
    intra_threads: usize,
    /// The order of the input's dimensions: `nchw` or `nhwc`.
    #[schema(value_type = String)]
    layout: Value,
    /// The most pictures of one run.
    max_batch_size: usize,
    /// TensorFlow Serving's signatures.
    metadata: tfserving::SignatureMetadata,
    /// TensorFlow Serving's name of the version.
    model_spec: tfserving::ModelSpec<'a>,
    name: &'a str,
    /// The graph's output.
    outputs: [TensorDocument<'a>; 1],
    /// The arithmetic: `fp32`, `bf16`, `fp16`, `int8`.
    precision: &'a str,
    /// The largest difference of a probability from fp32's over the warm-up pictures; `null` where they were not compared.
    probability_drift: Option<f64>,
    /// Where it runs: `cpu`, `openvino`, `cuda`, `tensorrt`.
    provider: &'a str,
    /// Whether the weights are random, for benchmarks.
    untrained: bool,
    version: u64,
}

/// A tensor of the graph.
#[derive(Serialize, ToSchema)]
#[schema(as = GraphTensor)]
struct TensorDocument<'a> {
    name: &'a str,
    /// -1 where the size is free: the number of pictures.
    shape: &'a [i64],
}

/// What the graph shows of its network, as `resnetd inspect` does. Further keys say more about the file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; the value is what was inspected")]
struct Architecture {
    /// `resnet50`, `resnet20-cifar`, …; `unknown` for what is no ResNet.
    name: String,
    /// Depth, block, shortcut, stem, stages; absent for what is no ResNet.
    #[schema(nullable = false)]
    resnet: Option<BTreeMap<String, Value>>,
    /// Numbers in weights and biases.
    #[schema(nullable = false)]
    parameters: Option<u64>,
    /// Multiplications with additions for one picture; `null` where a size is not known.
    macs: Option<u64>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// The names of a model's classes.
#[derive(Serialize, ToSchema)]
#[schema(as = Labels)]
pub(super) struct LabelsDocument<'a> {
    /// In the order of the classes' indices.
    labels: Vec<&'a str>,
    name: &'a str,
    version: u64,
}

/// `GET /` for programs: by this, KServe's clients of version 1 know that the server lives.
pub(in crate::server::http) fn alive() -> Response {
    reply::json(StatusCode::OK, &StatusDocument { status: "alive" }, 32)
}

/// `GET /v1/models`: the names of all models, as KServe has them, and every version of every model.
pub(super) async fn list(State(door): State<Arc<HttpDoor>>) -> Response {
    let (versions, cascades) = (door.service().list(), door.service().cascades());
    let mut models: Vec<&str> = versions.iter().map(|version| &*version.name).collect();
    // Sorted by name, they are side by side.
    models.dedup();
    let model_versions: Vec<_> = versions.iter().map(entry).collect();
    let cascades: Vec<_> = cascades.iter().map(cascade_entry).collect();
    let capacity = 256 * (model_versions.len() + cascades.len()) + 16;
    reply::json(StatusCode::OK, &ModelList { cascades, models, model_versions }, capacity)
}

fn cascade_entry(cascade: &CascadeStatus) -> CascadeEntry<'_> {
    let CascadeStatus { model, rule, obstacle } = cascade;
    CascadeEntry { first: &rule.first, model, reason: obstacle.as_deref(), threshold: rule.threshold }
}

fn entry(model: &ModelStatus) -> VersionEntry<'_> {
    let (state, reason) = match &model.state {
        ModelState::Loading => (VersionState::Loading, None),
        ModelState::Available => (VersionState::Available, model.outdated.as_deref().or(model.turned_back.as_deref())),
        ModelState::Failed(reason) => (VersionState::Failed, Some(&**reason)),
        ModelState::NotLoaded(reason) => (VersionState::NotLoaded, Some(&**reason)),
    };
    let info = model.info.as_ref();
    VersionEntry {
        labels: &model.labels,
        name: &model.name,
        version: model.version,
        state,
        reason,
        architecture: info.map(|info| &*info.architecture),
        classes: info.map(|info| info.labels.len()),
        provider: info.map(|info| &*info.provider),
        precision: info.map(|info| &*info.precision),
    }
}

/// `GET /v1/models/{model}[/versions/{version}]`: whether it is ready, and where its versions stand.
pub(super) fn status(door: &HttpDoor, path: &ModelPath) -> Result<Response, Failure> {
    let name = path.model()?;
    let service = door.service();
    let versions = match path.version()? {
        VersionPick::Highest => service.versions(name)?,
        version => vec![service.find(name, version)?],
    };
    let ready = service.readiness() != Readiness::Draining && versions.iter().any(|model| model.state.answers());
    Ok(reply::json(StatusCode::OK, &tfserving::status(name, ready, &versions), 512))
}

/// `GET …/metadata`: how the model looks from outside, and the same as TensorFlow Serving has it.
pub(super) async fn metadata(State(door): State<Arc<HttpDoor>>, path: ModelPath) -> Result<Response, Failure> {
    let target = door.service().target(path.model()?, path.version()?)?;
    let model = target.model();
    let info = &model.info;
    let (model_spec, metadata) = tfserving::metadata(&target);
    let document = MetadataDocument {
        alone_threads: info.alone_threads,
        model_spec,
        metadata,
        name: &model.name,
        version: model.version,
        architecture: architecture(info),
        inputs: [tensor(&info.input)],
        outputs: [tensor(&info.output)],
        layout: json!(info.layout),
        color: json!(info.color),
        classes: info.labels.len(),
        features: info.features.as_ref().ok().copied(),
        provider: &info.provider,
        precision: &info.precision,
        probability_drift: info.probability_drift,
        choice: &info.choice,
        max_batch_size: info.max_batch_size,
        instances: info.instances,
        intra_threads: info.intra_threads,
        untrained: info.untrained,
    };
    Ok(reply::json(StatusCode::OK, &document, 2048))
}

/// The network's name, and what the graph shows of it.
fn architecture(info: &ModelInfo) -> Value {
    let mut details = json!(info.inspection);
    if let Value::Object(fields) = &mut details {
        fields.remove("architecture");
        // Long, and drawn: `GET …/architecture.svg`.
        fields.remove("anatomy");
        fields.insert("name".into(), json!(&*info.architecture));
        return details;
    }
    json!({ "name": &*info.architecture })
}

/// `GET …/labels`: the labels in index order.
pub(super) async fn labels(State(door): State<Arc<HttpDoor>>, path: ModelPath) -> Result<Response, Failure> {
    let target = door.service().target(path.model()?, path.version()?)?;
    let model = target.model();
    let labels: Vec<&str> = model.info.labels.iter().map(|label| &**label).collect();
    let capacity = 64 + 24 * labels.len();
    Ok(reply::json(StatusCode::OK, &LabelsDocument { name: &model.name, version: model.version, labels }, capacity))
}

fn tensor(tensor: &TensorInfo) -> TensorDocument<'_> {
    TensorDocument { name: &tensor.name, shape: &tensor.shape }
}
