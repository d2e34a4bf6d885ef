//! What is served: the list, and a model's status, metadata and labels.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Door, error::Failure, json_answer, router::Target, tfserving};
use crate::service::{Error, ErrorKind, ModelInfo, ModelState, ModelStatus, Readiness, TensorInfo};

/// `GET /v1/models`: every version of every model.
pub(super) fn list(door: &Door) -> Answer {
    let models: Vec<_> = door
        .service()
        .list()
        .iter()
        .map(|model| {
            let mut entry =
                json!({ "name": &*model.name, "version": model.version, "state": state_name(&model.state) });
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
        })
        .collect();
    json_answer(StatusCode::OK, &json!({ "models": models }), 256 * models.len() + 16)
}

/// `GET /v1/models/{model}[/versions/{version}]`: whether it is ready, and where its versions stand.
pub(super) fn status(door: &Door, target: Target<'_>) -> Result<Answer, Failure> {
    let name = target.model()?;
    let service = door.service();
    let versions = match target.number()? {
        None => service.versions(&name)?,
        version => vec![service.find(&name, version)?],
    };
    let ready =
        service.readiness() != Readiness::Draining && versions.iter().any(|model| model.state == ModelState::Available);
    Ok(json_answer(StatusCode::OK, &tfserving::status(&name, ready, &versions), 512))
}

/// `GET …/metadata`: how the model looks from outside.
pub(super) fn metadata(door: &Door, target: Target<'_>) -> Result<Answer, Failure> {
    let (model, info) = loaded(door, target)?;
    let document = json!({
        "name": &*model.name,
        "version": model.version,
        "architecture": &*info.architecture,
        "inputs": [tensor(&info.input)],
        "outputs": [tensor(&info.output)],
        "layout": info.layout,
        "color": info.color,
        "classes": info.labels.len(),
        "provider": info.provider,
        "precision": info.precision,
        "probability_drift": info.probability_drift,
        "choice": info.choice,
        "max_batch_size": info.max_batch_size,
        "instances": info.instances,
        "untrained": info.untrained,
    });
    Ok(json_answer(StatusCode::OK, &document, 512))
}

/// `GET …/labels`: the labels in index order.
pub(super) fn labels(door: &Door, target: Target<'_>) -> Result<Answer, Failure> {
    let (model, info) = loaded(door, target)?;
    let labels: Vec<&str> = info.labels.iter().map(|label| &**label).collect();
    let document = json!({ "name": &*model.name, "version": model.version, "labels": labels });
    Ok(json_answer(StatusCode::OK, &document, 64 + 24 * labels.len()))
}

/// A model whose graph is known.
fn loaded(door: &Door, target: Target<'_>) -> Result<(ModelStatus, std::sync::Arc<ModelInfo>), Error> {
    let model = door.service().find(&target.model()?, target.number()?)?;
    let Some(info) = model.info.clone() else {
        let message = match &model.state {
            ModelState::Failed(reason) => {
                format!("model `{}` version {} is not served: {reason}", model.name, model.version)
            }
            _ => format!("model `{}` version {} is still loading: try again", model.name, model.version),
        };
        return Err(Error::new(ErrorKind::Unavailable, message));
    };
    Ok((model, info))
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
