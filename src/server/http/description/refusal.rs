//! What an answer is when it is a refusal: made of real ones, so that status, code, headers and shape are those on the wire.

use std::time::Duration;

use axum::http::{Method, StatusCode, header::HeaderValue};
use serde_json::Value;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::answer_header::AnswerHeader;
use crate::{
    server::{
        http::error::{ErrorDocument, Failure},
        request_id::RequestId,
    },
    service::{Error, ErrorKind},
};

/// A status that a route may refuse with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::http) enum RefusalStatus {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    TooLarge,
    UriTooLong,
    UnsupportedFormat,
    Overloaded,
    HeadersTooLarge,
    Internal,
    Unavailable,
    DeadlineExceeded,
    Unimplemented,
}

impl RefusalStatus {
    pub(super) const ALL: [Self; 15] = [
        Self::InvalidArgument,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UriTooLong,
        Self::UnsupportedFormat,
        Self::Overloaded,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Unimplemented,
    ];

    /// One as a client would get it.
    fn sample(self) -> Failure {
        let of = |kind, message: &str| Failure::from(Error::new(kind, message));
        match self {
            Self::InvalidArgument => of(ErrorKind::InvalidArgument, "top_k is `0`: it must be an integer from 1 to 10"),
            Self::Unauthenticated => {
                of(ErrorKind::Unauthenticated, "a key is wanted: send `authorization: Bearer KEY` or `x-api-key: KEY`")
            }
            Self::PermissionDenied => {
                of(ErrorKind::PermissionDenied, "key `front` may classify, and this needs `read`: ask with another key")
            }
            Self::NotFound => of(ErrorKind::NotFound, "no model `cats`; served are `resnet20-cifar10`"),
            Self::MethodNotAllowed => Failure::method(&Method::PUT, Failure::GET),
            Self::RequestTimeout => Failure::timeout(Duration::from_secs(30)),
            Self::TooLarge => of(
                ErrorKind::TooLarge,
                "the body has 40000000 bytes, the limit is 33554432: send a smaller image, or fewer at a time",
            ),
            Self::UriTooLong => Failure::unreadable(StatusCode::URI_TOO_LONG),
            Self::UnsupportedFormat => of(
                ErrorKind::UnsupportedFormat,
                "image 0: not an image format that is read: send JPEG, PNG, WebP, GIF, BMP, TIFF or PPM",
            ),
            Self::Overloaded => {
                of(ErrorKind::Overloaded, "model `resnet50` has 128 images waiting: try again later, or more slowly")
            }
            Self::HeadersTooLarge => Failure::head_too_large(32 << 10),
            Self::Internal => of(ErrorKind::Internal, "the request broke; the server's log says why"),
            Self::Unavailable => of(ErrorKind::Unavailable, "loading: the models are not warmed up yet"),
            Self::DeadlineExceeded => of(ErrorKind::DeadlineExceeded, "the request's deadline has passed"),
            Self::Unimplemented => Failure::unimplemented("`config` is not taken: put a model.toml there".to_owned()),
        }
    }

    /// The status on the wire.
    pub(super) fn status(self) -> String {
        self.sample().status().as_str().to_owned()
    }

    /// Its name among the parts of the document.
    pub(super) fn component(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::Unauthenticated => "Unauthenticated",
            Self::PermissionDenied => "PermissionDenied",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::RequestTimeout => "RequestTimeout",
            Self::TooLarge => "TooLarge",
            Self::UriTooLong => "UriTooLong",
            Self::UnsupportedFormat => "UnsupportedFormat",
            Self::Overloaded => "Overloaded",
            Self::HeadersTooLarge => "HeadersTooLarge",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Unimplemented => "Unimplemented",
        }
    }

    /// When it comes, and what to do then.
    fn text(self) -> &'static str {
        match self {
            Self::InvalidArgument => {
                "The request cannot be meant: an option, the JSON, a shape, or a picture that is corrupt or empty. Do not repeat it; `error` says how to mend it."
            }
            Self::Unauthenticated => {
                "The server wants an API key (`[auth] keys_file`), and what came is none, or one that does not count or was revoked."
            }
            Self::PermissionDenied => "The API key has not this right, or is not for this model.",
            Self::NotFound => "There is no such model, version, label or route. `error` lists what is served.",
            Self::MethodNotAllowed => "The route has other methods; `allow` lists them.",
            Self::RequestTimeout => "The body did not arrive in time (`[server] body_timeout_ms`, 30 s).",
            Self::TooLarge => {
                "More bytes, pixels or images than one request may have (`[limits]`: 32 MiB, 100 megapixels a picture, 64 images)."
            }
            Self::UriTooLong => "The path and query have more than 64 KiB.",
            Self::UnsupportedFormat => {
                "Not a picture in a format that is read, or a `content-encoding` that is not; then `accept-encoding` lists those that are."
            }
            Self::Overloaded => {
                "The model's queue is full, the deadline cannot be met, the requests in work leave no memory (`OVERLOADED`), or the API key's own limits are used up (`RESOURCE_EXHAUSTED`). Try again after `retry-after` seconds."
            }
            Self::HeadersTooLarge => "Path and headers have more than 32 KiB, or there are more than 100 headers.",
            Self::Internal => {
                "The engine failed, or the request broke. The cause is in the server's log, under the request's id."
            }
            Self::Unavailable => {
                "Models are loading, the server is about to stop, or it has no place for another connection. Try again after `retry-after` seconds, or elsewhere."
            }
            Self::DeadlineExceeded => "The request's own deadline (`timeout_ms`, or the server's default) has passed.",
            Self::Unimplemented => {
                "Something that the protocol has and this server has not; `error` says what to do instead."
            }
        }
    }

    /// Where the document describes it; in other words, where a route has some.
    pub(super) fn reference(self, words: Option<&str>) -> RefOr<Response> {
        let mut reference = Ref::from_response_name(self.component());
        if let Some(words) = words {
            reference.description = words.to_owned();
        }
        RefOr::Ref(reference)
    }

    /// What it is.
    pub(super) fn described(self) -> Response {
        let sample = self.sample();
        let id = RequestId::from_header(Some(HeaderValue::from_static("5d7c0f3e9a1b2c4d-000000000001")));
        let example: Option<Value> = serde_json::from_slice(&sample.document(&id)).ok();
        let content = ContentBuilder::new().schema(Some(super::shape::reference::<ErrorDocument<'_>>()));
        let mut response = ResponseBuilder::new()
            .description(self.text())
            .content("application/json", content.example(example).build());
        for header in AnswerHeader::EVERYWHERE {
            response = response.header_ref(header.name(), header.reference());
        }
        let own = sample.header().map(|name| name.as_str().to_owned());
        let own = own.or((self == Self::UnsupportedFormat).then(|| AnswerHeader::AcceptEncoding.name().to_owned()));
        if let Some(header) = AnswerHeader::ALL.into_iter().find(|header| Some(header.name()) == own.as_deref()) {
            response = response.header_ref(header.name(), header.reference());
        }
        response.build()
    }
}
