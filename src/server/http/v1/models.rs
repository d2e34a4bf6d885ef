//! What is served: the list, and a model's status, metadata and labels.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{path::ModelPath, tfserving};
use crate::{
    server::http::{door::HttpDoor, error::Failure, reply},
    service::{ModelInfo, ModelState, ModelStatus, Readiness, TensorInfo, VersionPick},
};

/// `GET /`: by this, KServe's clients of version 1 know that the server lives.
pub(super) async fn alive() -> Response {
    reply::json(StatusCode::OK, &json!({ "status": "alive" }), 32)
}

/// `GET /v1/models`: the names of all models, as KServe has them, and every version of every model.
pub(super) async fn list(State(door): State<Arc<HttpDoor>>) -> Response {
    let versions = door.service().list();
    let mut names: Vec<&str> = versions.iter().map(|version| &*version.name).collect();
    // Sorted by name, they are side by side.
    names.dedup();
    let entries: Vec<_> = versions.iter().map(entry).collect();
    let document = json!({ "models": names, "model_versions": entries });
    reply::json(StatusCode::OK, &document, 256 * entries.len() + 16)
}

fn entry(model: &ModelStatus) -> Value {
    let mut entry = json!({ "name": &*model.name, "version": model.version, "state": state_name(&model.state) });
    if let ModelState::Failed(reason) = &model.state {
        entry["reason"] = json!(reason);
    }
    if let Some(info) = &model.info {
        entry["architecture"] = json!(&*info.architecture);
        entry["classes"] = json!(info.labels.len());
        entry["provider"] = json!(info.provider);
        entry["precision"] = json!(info.precision);
    }
    entry
}

/// `GET /v1/models/{model}[/versions/{version}]`: whether it is ready, and where its versions stand.
pub(super) fn status(door: &HttpDoor, path: &ModelPath) -> Result<Response, Failure> {
    let name = path.model()?;
    let service = door.service();
    let versions = match path.version()? {
        VersionPick::Highest => service.versions(name)?,
        version => vec![service.find(name, version)?],
    };
    let ready =
        service.readiness() != Readiness::Draining && versions.iter().any(|model| model.state == ModelState::Available);
    Ok(reply::json(StatusCode::OK, &tfserving::status(name, ready, &versions), 512))
}

/// `GET …/metadata`: how the model looks from outside, and the same as TensorFlow Serving has it.
pub(super) async fn metadata(State(door): State<Arc<HttpDoor>>, path: ModelPath) -> Result<Response, Failure> {
    let target = door.service().target(path.model()?, path.version()?)?;
    let model = target.model();
    let info = &model.info;
    let (model_spec, metadata) = tfserving::metadata(&target);
    let document = json!({
        "model_spec": model_spec,
        "metadata": metadata,
        "name": &*model.name,
        "version": model.version,
        "architecture": architecture(info),
        "inputs": [tensor(&info.input)],
        "outputs": [tensor(&info.output)],
        "layout": info.layout,
        "color": info.color,
        "classes": info.labels.len(),
        "features": info.features.as_ref().ok(),
        "provider": info.provider,
        "precision": info.precision,
        "probability_drift": info.probability_drift,
        "choice": info.choice,
        "max_batch_size": info.max_batch_size,
        "instances": info.instances,
        "intra_threads": info.intra_threads,
        "untrained": info.untrained,
    });
    Ok(reply::json(StatusCode::OK, &document, 2048))
}

/// The network's name, and what the graph shows of it.
fn architecture(info: &ModelInfo) -> Value {
    let mut details = json!(info.inspection);
    if let Value::Object(fields) = &mut details {
        fields.remove("architecture");
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
    let document = json!({ "name": &*model.name, "version": model.version, "labels": labels });
    Ok(reply::json(StatusCode::OK, &document, 64 + 24 * labels.len()))
}

fn state_name(state: &ModelState) -> &'static str {
    match state {
        ModelState::Loading => "LOADING",
        ModelState::Available => "AVAILABLE",
        ModelState::Failed(_) => "FAILED",
    }
}

fn tensor(tensor: &TensorInfo) -> Value {
    json!({ "name": tensor.name, "shape": tensor.shape })
}
