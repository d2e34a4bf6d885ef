//! How the two sides of a call pack their messages: `grpc-encoding` of the request, `grpc-accept-encoding` for the answer.

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use tonic::{Code, Status};

use super::convert;
use crate::{
    server::coding::{Coding, READ},
    service::{Error, ErrorKind, Shown},
};

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// A shorter message fits into one segment of TCP as it is, and packing it costs more than sending it.
const WORTH_BYTES: usize = 1 << 10;

/// How a request's messages are packed. Tonic is not told: it gets them unpacked.
///
/// # Errors
/// `UNIMPLEMENTED`, with what is read in the metadata, as the protocol asks.
pub(super) fn take_coding(headers: &mut HeaderMap) -> Result<Option<Coding>, Status> {
    let Some(value) = headers.remove(ENCODING) else { return Ok(None) };
    let name = String::from_utf8_lossy(value.as_bytes());
    if name.eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    Coding::named(&name).map(Some).ok_or_else(|| {
        let message =
            format!("grpc-encoding `{}` is not read: send one of {READ}, or messages as they are", Shown(&name));
        let refused = Error::new(ErrorKind::UnsupportedFormat, message);
        let mut status = convert::status_as(&refused, Code::Unimplemented);
        status.metadata_mut().insert("grpc-accept-encoding", tonic::metadata::MetadataValue::from_static(READ));
        status
    })
}

/// Packs the messages of an answer.
pub(super) struct Packer {
    coding: Coding,
    /// The bytes of a message that began in an earlier piece and goes out as it is. Tonic gives whole messages.
    passing: usize,
}

impl Packer {
    /// The first of the client's codings that is ours as well.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let accepted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
        let mut codings = accepted.split(',').filter_map(|name| Coding::named(name.trim()));
        codings.find(|coding| coding.packs()).map(|coding| Self { coding, passing: 0 })
    }

    /// Says how the answer is packed.
    pub(super) fn announce(&self, headers: &mut HeaderMap) {
        headers.insert(ENCODING, HeaderValue::from_static(self.coding.name()));
    }

    /// Packs what is worth it of the messages in `data`.
    pub(super) fn pack(&mut self, mut data: Bytes) -> Bytes {
        const HEAD_BYTES: usize = 5;
        if self.passing == 0 && data.len() < WORTH_BYTES {
            return data;
        }
        let mut out = BytesMut::with_capacity(data.len());
        while !data.is_empty() {
            if self.passing == 0 && data.len() >= HEAD_BYTES {
                let mut head = data.slice(..HEAD_BYTES);
                let (flag, length) = (head.get_u8(), head.get_u32() as usize);
                let packed = data
                    .get(HEAD_BYTES..HEAD_BYTES + length)
                    .filter(|message| flag == 0 && message.len() >= WORTH_BYTES)
                    .and_then(|message| self.coding.pack(message));
                if let Some(packed) = packed {
                    out.extend_from_slice(&[1]);
                    out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
                    out.extend_from_slice(&packed);
                    data.advance(HEAD_BYTES + length);
                    continue;
                }
                self.passing = HEAD_BYTES + length;
            }
            let part = data.split_to(self.passing.clamp(1, data.len()));
            self.passing = self.passing.saturating_sub(part.len());
            out.extend_from_slice(&part);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    #[test]
    fn a_coding_that_is_not_read_is_unimplemented_and_says_what_is() {
        for (name, coding) in [("gzip", Some(Coding::Gzip)), ("identity", None), ("ZSTD", Some(Coding::Zstd))] {
            let mut headers = headers(ENCODING, name);
            assert_eq!(take_coding(&mut headers).expect("known"), coding);
            assert!(headers.is_empty(), "tonic must not see it");
        }
        let status = take_coding(&mut headers(ENCODING, &"snappy".repeat(1000))).expect_err("unknown");
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(status.metadata().get("x-error-code").expect("a kind"), "UNSUPPORTED_FORMAT");
        assert_eq!(status.metadata().get("grpc-accept-encoding").expect("a list"), READ);
        assert!(status.message().len() < 400, "{status}");
    }

    #[test]
    fn the_answer_is_packed_as_the_client_likes_best() {
        for (accepted, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("identity,deflate, gzip", Some(Coding::Deflate)),
            ("br, zstd", Some(Coding::Zstd)),
            ("identity", None),
            ("snappy", None),
        ] {
            assert_eq!(
                Packer::of(&headers(ACCEPT_ENCODING, accepted)).map(|packer| packer.coding),
                coding,
                "{accepted}"
            );
        }
    }

    #[test]
    fn large_messages_are_packed_and_small_ones_are_not() {
        let message = |flag: u8, bytes: &[u8]| [&[flag], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        let (small, large) = (b"tabby".to_vec(), b"tabby ".repeat(1000));
        let mut packer = Packer { coding: Coding::Gzip, passing: 0 };
        let sent = packer.pack([message(0, &small), message(0, &large), message(0, &small)].concat().into());
        let packed = Coding::Gzip.pack(&large).expect("it is packed");
        assert_eq!(sent, [message(0, &small), message(1, &packed), message(0, &small)].concat());
        // Should a message come in pieces, it goes out as it came.
        let whole = message(0, &large);
        let pieces = [&whole[..2000], &whole[2000..2003], &whole[2003..]].map(Bytes::copy_from_slice);
        assert_eq!(pieces.map(|piece| packer.pack(piece)).concat(), whole);
        assert_eq!(packer.pack(message(0, &large).into()), message(1, &packed));
    }
}
