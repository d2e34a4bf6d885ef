//! Answers in JSON.

use axum::{
    body::Body,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderValue},
    },
    response::Response,
};

/// `value` as a JSON answer: always whole, never streamed.
///
/// * `capacity`: about how many bytes it will have
pub(super) fn json(status: StatusCode, value: &impl serde::Serialize, capacity: usize) -> Response {
    let body = bytes(value, capacity);
    let status = if body.is_some() { status } else { StatusCode::INTERNAL_SERVER_ERROR };
    let mut answer = Response::new(Body::from(body.unwrap_or_default()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// `value` as JSON. Writing to memory what has string keys and no foreign `Serialize` cannot fail; if it does, the client gets no
/// half document.
pub(super) fn bytes(value: &impl serde::Serialize, capacity: usize) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(capacity);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => Some(body),
        Err(error) => {
            tracing::error!(%error, "cannot write an answer as JSON");
            None
        }
    }
}
