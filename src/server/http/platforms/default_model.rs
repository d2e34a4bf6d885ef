//! Which model answers on a route that names none.

use axum::http::HeaderMap;

use crate::{
    server::http::door::HttpDoor,
    service::{Error, ErrorKind, ModelState, Shown},
};

/// SageMaker's name of one of several models, in the header that its multi-model endpoints use: a file's name there.
const TARGET_MODEL: &str = "x-amzn-sagemaker-target-model";

/// The model that SageMaker's header names, else as [`of`].
///
/// # Errors
/// `INVALID_ARGUMENT` with what is served, where it is not clear.
pub(super) fn of_invocation(door: &HttpDoor, headers: &HeaderMap) -> Result<String, Error> {
    let Some(named) = headers.get(TARGET_MODEL) else { return of(door) };
    let name = named.to_str().map_err(|_| refused(format!("{TARGET_MODEL} is no text: name a model in it")))?;
    Ok(name.strip_suffix(".tar.gz").unwrap_or(name).to_owned())
}

/// The model that the configuration names, else the only one.
///
/// # Errors
/// `INVALID_ARGUMENT` with what is served, where there are several; `UNAVAILABLE` where there is none yet.
pub(super) fn of(door: &HttpDoor) -> Result<String, Error> {
    if let Some(name) = &door.options().platforms.default_model {
        return Ok(name.clone());
    }
    let could_answer = door.service().list().into_iter().filter(|model| !matches!(model.state, ModelState::Failed(_)));
    let mut names: Vec<_> = could_answer.map(|model| model.name).collect();
    names.dedup();
    match &names[..] {
        [only] => Ok(only.to_string()),
        [] => Err(Error::new(ErrorKind::Unavailable, "no model is served yet")),
        several => {
            let names = several.iter().map(|name| format!("`{}`", Shown(name))).collect::<Vec<_>>().join(", ");
            Err(refused(format!(
                "several models are served ({names}) and the request names none: set [server] default_model, or send \
                 {TARGET_MODEL} with SageMaker"
            )))
        }
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
