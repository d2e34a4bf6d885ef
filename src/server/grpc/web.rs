//! gRPC-Web: calls as a browser can make them, over HTTP/1.1 too. A body of the same messages, as bytes or as base64, and the trailers as
//! a last message.
//!
//! tonic-web translates; what is done here is to understand what its clients write where it takes four exact names only.

use std::convert::Infallible;

use hyper::{
    HeaderMap, Method, Request, Response, Version,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, Service as _, service_fn};

const BYTES: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

/// How a call's messages are written.
pub(super) fn form(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    Some(headers.get(CONTENT_TYPE)).filter(|_| method == Method::POST).and_then(named)
}

fn named(header: Option<&HeaderValue>) -> Option<&'static str> {
    let essence = header?.to_str().ok()?.split(';').next()?.trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    if is(BYTES) || is("application/grpc-web") {
        Some(BYTES)
    } else if is(TEXT) || is("application/grpc-web-text") {
        Some(TEXT)
    } else {
        None
    }
}

/// Answers a call of gRPC-Web with what `answer` says to the same call of gRPC.
///
/// * `form`: how its messages are written
pub(super) async fn translated<F>(
    mut request: Request<Body>,
    form: &'static str,
    answer: impl Fn(Request<Body>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    // Who does not say how the answer is to be written gets it as the question was.
    let wanted = named(request.headers().get(ACCEPT)).unwrap_or(form);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form));
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static(wanted));
    // From here on it is a call like any other.
    *request.version_mut() = Version::HTTP_2;
    let inner = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    GrpcWebLayer::new().layer(inner).call(request).await.unwrap_or_else(|never| match never {})
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn asked(content_type: &str, accept: Option<&str>) -> (String, Vec<u8>) {
        let mut request = Request::new(Body::new(http_body_util::Full::from(&b"AAAA"[..])));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, content_type.parse().expect("a value"));
        if let Some(accept) = accept {
            request.headers_mut().insert(ACCEPT, accept.parse().expect("a value"));
        }
        let form = form(request.method(), request.headers()).expect("gRPC-Web");
        let echoed = |request: Request<Body>| async {
            assert_eq!(request.headers()[CONTENT_TYPE], "application/grpc");
            Response::new(request.into_body())
        };
        let (head, body) = translated(request, form, echoed).await.into_parts();
        let content_type = head.headers[CONTENT_TYPE].to_str().expect("text").to_owned();
        (content_type, body.collect().await.expect("a body").to_bytes().to_vec())
    }

    #[tokio::test]
    async fn an_answer_is_written_as_its_client_wants_it_or_else_as_it_asked() {
        let any = Some("*/*");
        for (content_type, accept, answered, body) in [
            ("application/grpc-web", None, BYTES, &b"AAAA"[..]),
            ("Application/gRPC-Web+proto; charset=utf-8", any, BYTES, b"AAAA"),
            ("application/grpc-web", Some("application/grpc-web-text"), TEXT, b"QUFBQQ=="),
            ("application/grpc-web-text", any, TEXT, b"AAAA"),
            ("application/grpc-web-text+proto", Some("application/grpc-web"), BYTES, b"\0\0\0"),
        ] {
            let got = asked(content_type, accept).await;
            assert_eq!((&*got.0, &*got.1), (answered, body), "{content_type} {accept:?}");
        }
    }

    #[test]
    fn what_is_not_grpc_web_is_left_alone() {
        for (method, content_type) in [
            (Method::POST, "application/grpc"),
            (Method::POST, "application/grpc-web+json"),
            (Method::POST, "application/grpc-webtext"),
            (Method::GET, "application/grpc-web"),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            assert_eq!(form(&method, &headers), None, "{method} {content_type}");
        }
    }
}
