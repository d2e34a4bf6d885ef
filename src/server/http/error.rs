//! How a refusal looks over HTTP: `{"error", "code", "request_id"}`, and the statuses that only HTTP has.

use std::time::Duration;

use axum::{
    body::Body,
    http::{
        Method, StatusCode,
        header::{
            ACCEPT_ENCODING, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
            WWW_AUTHENTICATE,
        },
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, Type},
};

use super::reply;
use crate::{
    server::{
        coding::READ,
        request_id::RequestId,
        status::{retry_after, wire_status},
    },
    service::{Error, ErrorKind, Shown},
};

/// Why a request has no answer. As a response it is a bare status: `call` writes the document, which has the request's id.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The service's word for it, where it has one.
    kind: Option<ErrorKind>,
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// Every refusal, whatever the protocol.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorDocument)]
pub(super) struct ErrorDocument<'a> {
    /// What was wrong, and how to mend it. For people: the words may change.
    error: &'a str,
    #[schema(schema_with = code)]
    code: &'a str,
    /// The request's id, as in the header `x-request-id` and in the server's log.
    request_id: &'a str,
}

/// The kinds of refusal. For programs.
pub(super) fn code() -> ObjectBuilder {
    let kinds = ErrorKind::ALL.map(|kind| wire_status(kind).2);
    let description = "What kind of refusal it is. `OVERLOADED`, `RESOURCE_EXHAUSTED` and `UNAVAILABLE` are worth another try, after `retry-after` seconds.";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(kinds.into_iter().chain(HTTP_ONLY)))
}

/// The codes of what only HTTP has.
const HTTP_ONLY: [&str; 6] =
    ["METHOD_NOT_ALLOWED", "REQUEST_TIMEOUT", "HEADERS_TOO_LARGE", "URI_TOO_LONG", "UNIMPLEMENTED", "HTTP_ERROR"];

impl Failure {
    /// The methods of a route that is only read.
    pub(super) const GET: &'static str = "GET, HEAD";

    /// The method of one that takes a body.
    pub(super) const POST: &'static str = "POST";

    /// The methods of one that takes a body either way.
    pub(super) const POST_OR_PUT: &'static str = "POST, PUT";

    /// A method that the route does not have.
    pub(super) fn method(method: &Method, allowed: &'static str) -> Self {
        Self {
            kind: None,
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "METHOD_NOT_ALLOWED",
            message: format!("{} is not a method of this route: use {allowed}", Shown(method.as_str())),
            header: Some((ALLOW, HeaderValue::from_static(allowed))),
        }
    }

    /// Something that the protocol has, and this server has not.
    pub(super) fn unimplemented(message: String) -> Self {
        Self { kind: None, status: StatusCode::NOT_IMPLEMENTED, code: "UNIMPLEMENTED", message, header: None }
    }

    /// A body that is packed as nobody here can unpack it.
    pub(super) fn encoding(name: &str) -> Self {
        let name = Shown(name);
        let message = format!("content-encoding `{name}` is not read: send one of {READ}, or the body as it is");
        let header = (ACCEPT_ENCODING, HeaderValue::from_static(READ));
        Self { header: Some(header), ..Error::new(ErrorKind::UnsupportedFormat, message).into() }
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

    /// A head over the limit.
    pub(super) fn head_too_large(limit: usize) -> Self {
        Self {
            kind: None,
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            code: "HEADERS_TOO_LARGE",
            message: format!("the head of the request has more than {limit} bytes: send shorter headers"),
            header: None,
        }
    }

    /// What is no request, and what does not fit, where hyper's parser says no more than its status.
    pub(super) fn unreadable(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::URI_TOO_LONG => ("URI_TOO_LONG", "the path of the request is too long: send a shorter one"),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                ("HEADERS_TOO_LARGE", "the head of the request is too long, or has more than 100 headers: send fewer")
            }
            _ => (
                "INVALID_ARGUMENT",
                "what came is no HTTP request: is it TLS, or a line or a header that is malformed?",
            ),
        };
        Self { kind: None, status, code, message: message.to_owned(), header: None }
    }

    /// A refusal of which only the status is known.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("refused");
        Self { kind: None, status, code: "HTTP_ERROR", message: reason.to_lowercase(), header: None }
    }

    /// The service's word for it, where it has one.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    /// Its name on the wire.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// Its status on the wire.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The header that it has beside those of every answer.
    pub(super) fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref().map(|(name, _)| name)
    }

    /// What was wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The document that a client gets.
    pub(super) fn document(&self, id: &RequestId) -> Vec<u8> {
        let document = ErrorDocument { error: &self.message, code: self.code, request_id: id.as_str() };
        reply::bytes(&document, 128 + self.message.len()).unwrap_or_default()
    }

    /// Makes `answer`, which is a bare status so far, the answer to the client.
    pub(super) fn write(&self, id: &RequestId, answer: &mut Response) {
        *answer.body_mut() = Body::from(self.document(id));
        *answer.status_mut() = self.status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Of a body that is no longer there.
        answer.headers_mut().remove(CONTENT_LENGTH);
        if let Some((name, value)) = self.header.clone() {
            answer.headers_mut().insert(name, value);
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, _, code) = wire_status(error.kind);
        let header = match error.kind {
            // What RFC 9110 wants of a 401. Browsers ask their user for Basic and Digest only.
            ErrorKind::Unauthenticated => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"resnetd\"")))
            }
            _ => retry_after(&error).map(|delay| (RETRY_AFTER, HeaderValue::from(delay.as_secs()))),
        };
        Self { kind: Some(error.kind), status, code, message: error.message, header }
    }
}
