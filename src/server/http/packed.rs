//! Files for browsers that are part of the binary, packed as gzip when it was built.
//!
//! They are asked for again each time, and answered with 304 while they are the same: another version of the server has others under the same
//! names, and half of each would be no page.

use std::io::Read as _;

use axum::{
    body::Body,
    http::{
        HeaderMap, StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
            HeaderValue, IF_NONE_MATCH, VARY,
        },
    },
    response::Response,
};
use bytes::Bytes;
use flate2::read::GzDecoder;

use super::{door::HttpDoor, error::Failure};

const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");

/// A file.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedFile {
    pub(super) name: &'static str,
    pub(super) media_type: &'static str,
    /// As gzip.
    pub(super) bytes: &'static [u8],
}

impl PackedFile {
    /// Answers with it, packed for those that take that.
    pub(super) async fn answer(self, door: &HttpDoor, headers: &HeaderMap) -> Result<Response, Failure> {
        let packed = takes_gzip(headers);
        let tag = self.tag(packed);
        let mut answer = if has(headers, &tag) {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        } else {
            let bytes = match packed {
                true => Bytes::from_static(self.bytes),
                false => door.threads().run_if(true, move || self.unpacked()).await?,
            };
            let mut answer = plain(bytes, self.media_type);
            if packed {
                answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            answer
        };
        let kept = answer.headers_mut();
        kept.insert(VARY, HeaderValue::from_static("accept-encoding"));
        kept.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            kept.insert(ETAG, tag);
        }
        Ok(answer)
    }

    /// As it was.
    pub(super) fn unpacked(&self) -> Bytes {
        let mut bytes = Vec::new();
        match GzDecoder::new(self.bytes).read_to_end(&mut bytes) {
            Ok(_) => bytes.into(),
            Err(error) => {
                // It was packed by our own build, and a test unpacks it.
                tracing::error!(%error, file = self.name, "cannot unpack a file of a page");
                Bytes::new()
            }
        }
    }

    /// Checksum and length stand at gzip's end; the packed form is another one than the plain one.
    fn tag(&self, packed: bool) -> String {
        let end = self.bytes.last_chunk::<8>().copied().unwrap_or_default();
        let form = if packed { "-gzip" } else { "" };
        format!("\"{:016x}{form}\"", u64::from_be_bytes(end))
    }
}

/// What a browser is told of a page of ours: where everything in it may come from, and to tell nobody where people come from.
pub(super) fn guard(page: &mut Response, policy: &'static str) {
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    page.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// An answer of `bytes`.
pub(super) fn plain(bytes: Bytes, media_type: &'static str) -> Response {
    let mut answer = Response::new(Body::from(bytes));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// Whether a client has the file of this tag; what changed the tag on the way made it a weak one.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Whether a client takes gzip: where it says nothing, it is not taken for granted.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.trim().parse() == Ok(0.0));
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_that_take_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        for value in ["gzip", "br, GZIP;q=0.5", "*", "deflate, gzip, br, zstd"] {
            assert!(takes(value), "{value}");
        }
        for value in ["", "br", "identity", "gzip;q=0", "gzip; q=0.0"] {
            assert!(!takes(value), "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_file_that_a_client_has_is_known_by_its_tag() {
        let has = |value: &'static str| {
            has(&HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]), "\"1f-gzip\"")
        };
        for value in ["\"1f-gzip\"", "W/\"1f-gzip\"", "\"00\", \"1f-gzip\"", "*"] {
            assert!(has(value), "{value}");
        }
        for value in ["", "\"1f\"", "1f-gzip", "W/\"00\""] {
            assert!(!has(value), "{value}");
        }
    }
}
