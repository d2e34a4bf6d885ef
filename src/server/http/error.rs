//! How a refusal looks over HTTP: `{"error", "code", "request_id"}`, and the statuses that only HTTP has.

use std::time::Duration;

use hyper::{
    Method, StatusCode,
    header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::Serialize;

use super::{super::request_id::RequestId, Answer, json_answer};
use crate::{
    server::status::wire_status,
    service::{Error, ErrorKind},
};

/// Why a request has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// The service's word for it, where it has one.
    kind: Option<ErrorKind>,
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    error: &'a str,
    code: &'a str,
    request_id: &'a str,
}

impl Failure {
    /// A method that the route does not have.
    pub(super) fn method(method: &Method, allowed: &'static str) -> Self {
        Self {
            kind: None,
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "METHOD_NOT_ALLOWED",
            message: format!("{method} is not a method of this route: use {allowed}"),
            header: Some((ALLOW, HeaderValue::from_static(allowed))),
        }
    }

    /// A body that did not come in time.
    pub(super) fn timeout(limit: Duration) -> Self {
        Self {
            kind: None,
            status: StatusCode::REQUEST_TIMEOUT,
            code: "REQUEST_TIMEOUT",
            message: format!("the body did not arrive within {} s: send it faster or smaller", limit.as_secs_f64()),
            header: None,
        }
    }

    /// The service's word for it, where it has one.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    /// Its name on the wire.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What was wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The answer to the client.
    pub(super) fn answer(&self, id: &RequestId) -> Answer {
        let document = Document { error: &self.message, code: self.code, request_id: id.as_str() };
        let mut answer = json_answer(self.status, &document, 128 + self.message.len());
        if let Some((name, value)) = self.header.clone() {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, _, code) = wire_status(error.kind);
        let retries = matches!(error.kind, ErrorKind::Overloaded | ErrorKind::Unavailable);
        // Whole seconds, at least one: 0 would ask for a storm.
        let seconds = error.retry_after.unwrap_or_default().as_secs_f64().ceil().max(1.0) as u64;
        let header = retries.then(|| (RETRY_AFTER, HeaderValue::from(seconds)));
        Self { kind: Some(error.kind), status, code, message: error.message, header }
    }
}
