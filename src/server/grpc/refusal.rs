//! Refusals that no handler of ours made, in our form: what is no gRPC, and what tonic says by itself.

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use tonic::{Code, Status, body::Body};

use super::convert::{self, ERROR_CODE};
use crate::{
    server::status::wire_status,
    service::{Error, ErrorKind, Shown},
};

/// The answer to what is no call: gRPC is `POST`, one content type, and HTTP/2. A gRPC client reads the status in the headers,
/// everybody else that of HTTP.
pub(super) fn no_call<B>(request: &Request<B>) -> Option<Response<Body>> {
    let (error, status) = if request.method() != Method::POST {
        let method = Shown(request.method().as_str());
        let message = format!("a gRPC call is a POST, not a {method}: this port speaks nothing else");
        (Error::new(ErrorKind::InvalidArgument, message), StatusCode::METHOD_NOT_ALLOWED)
    } else {
        let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let content_type = String::from_utf8_lossy(content_type);
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is_call =
            ["application/grpc", "application/grpc+proto"].iter().any(|known| essence.eq_ignore_ascii_case(known));
        if is_call && request.version() >= Version::HTTP_2 {
            return None;
        }
        let content_type = Shown(&content_type);
        let message = if is_call {
            format!("`{content_type}` needs HTTP/2: use it, or send application/grpc-web")
        } else {
            format!("content-type `{content_type}` is not read here: send application/grpc")
        };
        (Error::new(ErrorKind::UnsupportedFormat, message), StatusCode::UNSUPPORTED_MEDIA_TYPE)
    };
    let mut response = convert::status(&error).into_http();
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Some(response)
}

/// Gives a status in headers or trailers our form, where tonic made it.
pub(super) fn mend_headers(headers: &mut HeaderMap, path: &str) {
    if headers.contains_key(ERROR_CODE) {
        return;
    }
    let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) else { return };
    // It is ASCII when it is encoded.
    let _ = mend(status, path).add_header(headers);
}

/// A status of tonic's own as ours. It has INTERNAL for a message that is no protobuf and OUT_OF_RANGE for one that is too
/// large, which are the client's affair.
pub(super) fn mend(status: Status, path: &str) -> Status {
    if status.metadata().contains_key(ERROR_CODE.as_str()) {
        return status;
    }
    let kind = match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => ErrorKind::TooLarge,
        Code::NotFound => ErrorKind::NotFound,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Unimplemented => {
            let message = format!("there is no method `{}`: server reflection lists those there are", Shown(path));
            return convert::status_as(&Error::new(ErrorKind::NotFound, message), Code::Unimplemented);
        }
        _ => ErrorKind::InvalidArgument,
    };
    let message = match status.message().strip_prefix("tonic-web: ") {
        Some(wrong) => format!("the body is none of gRPC-Web: {}", Shown(wrong)),
        None => Shown(status.message()).to_string(),
    };
    convert::status(&Error::new(kind, message))
}

/// The name of the error in headers or metadata of ours.
pub(super) fn error_code(headers: &HeaderMap) -> &'static str {
    let names = ErrorKind::ALL.map(|kind| wire_status(kind).2);
    let name = headers.get(ERROR_CODE).and_then(|name| names.into_iter().find(|known| name == known));
    name.unwrap_or("INTERNAL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tonic_says_becomes_the_clients_affair_and_ours_stays() {
        let ours = convert::status(&Error::new(ErrorKind::Internal, "the cause is in the log"));
        for (status, code, name) in [
            (Status::internal("failed to decode Protobuf message"), Code::InvalidArgument, "INVALID_ARGUMENT"),
            (Status::out_of_range("too large"), Code::ResourceExhausted, "TOO_LARGE"),
            (Status::unimplemented(""), Code::Unimplemented, "NOT_FOUND"),
            (Status::not_found("a".repeat(9000)), Code::NotFound, "NOT_FOUND"),
            (ours, Code::Internal, "INTERNAL"),
        ] {
            let mut headers = status.into_http::<()>().into_parts().0.headers;
            mend_headers(&mut headers, &"/x".repeat(9000));
            let mended = Status::from_header_map(&headers).expect("a status");
            assert_eq!((mended.code(), &headers[ERROR_CODE]), (code, &HeaderValue::from_static(name)));
            assert!(!mended.message().is_empty() && mended.message().len() < 400, "{mended}");
        }
    }

    #[test]
    fn an_answer_is_no_refusal() {
        let mut headers = Status::ok("").into_http::<()>().into_parts().0.headers;
        let before = headers.clone();
        mend_headers(&mut headers, "/x/y");
        mend_headers(&mut HeaderMap::new(), "/x/y");
        assert_eq!(headers, before);
    }
}
