//! A unary call of gRPC over a connection of HTTP/2, without a library's client: that one keeps deadlines itself and would answer before
//! the server does, and it would write the same message anew for each call.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Request, header};
use percent_encoding::percent_decode_str;
use prost::Message;

use super::{
    exchange::{Connections, Received},
    parts::{FRAME, RequestParts},
    reply::{NoReply, ReplyStatus},
};

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
/// What came back.
pub(super) struct CallReply {
    pub(super) status: ReplyStatus,
    /// Of a call that succeeded.
    pub(super) message: Bytes,
    /// Of one that failed.
    pub(super) words: Option<String>,
}

/// Sends a call and waits for its end.
///
/// # Errors
/// [`NoReply::Broken`], also for an answer that is none of gRPC.
pub(super) async fn call(connections: &Connections, parts: &RequestParts, place: usize) -> Result<CallReply, NoReply> {
    let uri = format!("{}{}", connections.endpoint().origin(), parts.path);
    let mut request = Request::builder().method(Method::POST).uri(uri);
    if let Some(headers) = request.headers_mut() {
        headers.clone_from(&parts.headers);
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, header::HeaderValue::from_static("trailers"));
    }
    let request = request.body(Full::new(parts.body.clone())).map_err(|error| NoReply::Broken(error.to_string()))?;
    let Received { head, body, trailers } = connections.exchange(request, place).await?;
    // An error without a message has its status in the headers.
    let told = |name: &str| {
        let find = |headers: &HeaderMap| Some(headers.get(name)?.to_str().ok()?.to_owned());
        trailers.as_ref().and_then(find).or_else(|| find(&head.headers))
    };
    let Some(code) = told(STATUS).and_then(|code| code.parse().ok()) else {
        return Err(NoReply::Broken(format!("no gRPC at this address: HTTP status {}, no grpc-status", head.status)));
    };
    let words = told(MESSAGE).map(|words| percent_decode_str(&words).decode_utf8_lossy().into_owned());
    let message = if body.len() >= FRAME { body.slice(FRAME..) } else { Bytes::new() };
    Ok(CallReply { status: ReplyStatus::Grpc(code), message, words: words.filter(|_| code != 0) })
}

/// Reads the message of a call that succeeded.
///
/// # Errors
/// [`NoReply::Broken`] where it is another one.
pub(super) fn read<T: Message + Default>(message: Bytes) -> Result<T, NoReply> {
    T::decode(message).map_err(|error| NoReply::Broken(format!("an answer that cannot be read: {error}")))
}
