//! The parts of a request, and what writes them. Pure.

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;

/// The flag and the length before a message of gRPC.
pub(super) const FRAME: usize = 5;
/// What a path has as it is.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One request.
#[derive(Clone, Debug)]
pub struct RequestParts {
    /// Path and query.
    pub path: String,
    /// Without what the protocol itself needs.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Pictures in it.
    pub images: usize,
}

/// A name as a part of a path.
pub(super) fn in_path(name: &str) -> String {
    utf8_percent_encode(name, &PATH).to_string()
}

/// A message as it stands in a call's body.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(FRAME + length);
    body.put_u8(0);
    body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A growing buffer takes any message.
    let _ = message.encode(&mut body);
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::grpc::proto::GetModelRequest;

    #[test]
    fn a_message_stands_behind_its_length() {
        let message = GetModelRequest { name: "pets".to_owned(), ..GetModelRequest::default() };
        let body = framed(&message);
        assert_eq!(&body[..FRAME], [0, 0, 0, 0, 6]);
        assert_eq!(GetModelRequest::decode(body.slice(FRAME..)), Ok(message));
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(in_path("resnet50-v1.5_a~b"), "resnet50-v1.5_a~b");
        assert_eq!(in_path("a/b?c d"), "a%2Fb%3Fc%20d");
    }
}
