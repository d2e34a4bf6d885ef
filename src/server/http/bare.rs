//! The refusals that hyper's parser writes itself, and our form of them.
//!
//! What is no HTTP, and a head that does not fit, hyper 1.12 answers before there is a request that a service could see: a
//! status, no body, no id. It has no hook for that, but it writes to our socket: there, its last words are known by their
//! exact text and ours are sent instead. Should another version word them differently, they are sent as they are, and a test
//! fails.

use std::sync::Arc;

use axum::http::StatusCode;

use super::error::Failure;
use crate::server::{
    request_id::{REQUEST_ID, RequestIds},
    request_log::{RequestLog, SlowRequests},
};

/// What stands between status line and date.
const FIELDS: &[u8] = b"\r\nconnection: close\r\ncontent-length: 0\r\ndate: ";

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const DATE_BYTES: usize = 29;

const END: &[u8] = b"\r\n\r\n";

/// The statuses that the parser answers with.
const STATUSES: [StatusCode; 3] =
    [StatusCode::BAD_REQUEST, StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];

/// A refusal by the parser.
#[derive(Debug, PartialEq)]
pub(super) struct BareRefusal<'a> {
    status: StatusCode,
    date: &'a str,
}

impl<'a> BareRefusal<'a> {
    /// The refusal with which `written` ends, and where it starts.
    pub(super) fn at_end(written: &'a [u8]) -> Option<(usize, Self)> {
        let (head, date) = written.strip_suffix(END)?.split_last_chunk::<DATE_BYTES>()?;
        let line = head.strip_suffix(FIELDS)?;
        let date = std::str::from_utf8(date).ok()?;
        STATUSES.into_iter().find_map(|status| {
            let start = line.strip_suffix(status_line(status).as_bytes())?;
            Some((start.len(), Self { status, date }))
        })
    }
}

fn status_line(status: StatusCode) -> String {
    format!("HTTP/1.1 {} {}", status.as_str(), status.canonical_reason().unwrap_or_default())
}

/// Gives refusals our form, and logs them.
pub(super) struct Refusals {
    ids: Arc<RequestIds>,
    slow: SlowRequests,
}

impl Refusals {
    pub(super) fn new(ids: Arc<RequestIds>, slow: SlowRequests) -> Self {
        Self { ids, slow }
    }

    /// The whole answer, in our form.
    pub(super) fn form(&self, BareRefusal { status, date }: &BareRefusal<'_>) -> Vec<u8> {
        let id = self.ids.take_or_make(None);
        let failure = Failure::unreadable(*status);
        let body = failure.document(&id);
        RequestLog::start("http", &id, &self.slow).finish(
            "what is no request",
            status.as_str(),
            failure.kind(),
            failure.message(),
        );
        let (line, length) = (status_line(*status), body.len());
        let head = format!(
            "{line}\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n{REQUEST_ID}: {id}\r\ncontent-length: {length}\r\n\
             connection: close\r\ndate: {date}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BARE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                        date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    #[test]
    fn a_bare_refusal_is_found_at_the_end_of_what_is_written() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        assert_eq!(BareRefusal::at_end(BARE.as_bytes()), Some((0, BareRefusal { status, date })));
        let after_another = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n{BARE}");
        assert_eq!(BareRefusal::at_end(after_another.as_bytes()).map(|(start, _)| start), Some(38));
    }

    #[test]
    fn every_other_answer_is_left_alone() {
        for other in [
            "",
            "HTTP/1.1 100 Continue\r\n\r\n",
            &BARE.replace("431 Request Header Fields Too Large", "404 Not Found"),
            &BARE.replace("content-length: 0", "content-length: 5"),
            &BARE.replace("\r\ndate", "\r\nx-request-id: 7\r\ndate"),
            &format!("{BARE}more"),
        ] {
            assert_eq!(BareRefusal::at_end(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn our_form_has_an_id_and_says_what_to_do() {
        let refusals = Refusals::new(Arc::new(RequestIds::new()), SlowRequests::new(Duration::from_secs(1)));
        let (_, bare) = BareRefusal::at_end(BARE.as_bytes()).expect("a refusal");
        let form = String::from_utf8(refusals.form(&bare)).expect("text");
        let (head, body) = form.split_once("\r\n\r\n").expect("a head");
        let document: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{form}");
        assert!(head.contains(&format!("x-request-id: {}", document["request_id"].as_str().expect("an id"))), "{form}");
        assert_eq!(document["code"], "HEADERS_TOO_LARGE");
    }
}
