//! Refusals as programs read them: the messages of `google.rpc` that stand beside a status, in `grpc-status-details-bin`.
//!
//! Every refusal has an `ErrorInfo` with our code; what is known beyond that follows: the field that was wrong, the model that there is
//! not, when to try again. The text of a status is in it three times then, and clients take 8 KB of metadata (grpc-core, by default), so a
//! long text is cut here; a list of models goes on in `ListModels`.

use std::{borrow::Cow, collections::HashMap};

use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    server::status::{retry_after, wire_status},
    service::{Error, ErrorKind, ErrorSubject, shortened},
};

/// Whose codes they are.
const DOMAIN: &str = "resnetd";

/// The most characters of a text. Other letters than ASCII's go over the wire as up to twelve.
const LONGEST_ASCII: usize = 1_000;
const LONGEST_OTHER: usize = 250;

/// A status that says in words and in messages what was wrong.
///
/// * `code`: gRPC's, where the protocol has another one than the kind's own
pub(super) fn status(error: &Error, code: Code, metadata: MetadataMap) -> Status {
    let message = &*error.message;
    let message = shortened(message, if message.is_ascii() { LONGEST_ASCII } else { LONGEST_OTHER });
    Status::with_error_details_and_metadata(code, message.clone(), details(error, &message), metadata)
}

fn details(error: &Error, message: &str) -> ErrorDetails {
    let (_, _, name) = wire_status(error.kind);
    let mut details = ErrorDetails::with_error_info(name, DOMAIN, HashMap::new());
    if let Some(delay) = retry_after(error) {
        details.set_retry_info(Some(delay));
    }
    match (error.kind, &error.subject) {
        (_, None) => {}
        (ErrorKind::NotFound, Some(ErrorSubject::Model(name))) => {
            details.set_resource_info("model", name, "", message);
        }
        (ErrorKind::InvalidArgument | ErrorKind::UnsupportedFormat | ErrorKind::TooLarge, Some(subject)) => {
            if let Some(field) = field(subject) {
                details.add_bad_request_violation(field, message);
            }
        }
        (_, Some(_)) => {}
    }
    details
}

/// The field's name in `resnetd.v1`; services of other protocols put their own in its place before.
fn field(subject: &ErrorSubject) -> Option<Cow<'static, str>> {
    match subject {
        ErrorSubject::Image(index) => Some(format!("images[{index}]").into()),
        ErrorSubject::Images => Some("images".into()),
        ErrorSubject::Field(name) => Some((*name).into()),
        ErrorSubject::Model(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(error: &Error) -> (Status, ErrorDetails) {
        let status = status(error, wire_status(error.kind).1, MetadataMap::new());
        // As it comes out of the wire.
        let headers = status.into_http::<()>().into_parts().0.headers;
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 7 << 10, "clients take 8 KB: {bytes}");
        let status = Status::from_header_map(&headers).expect("a status");
        let details = status.get_error_details();
        (status, details)
    }

    #[test]
    fn the_field_that_was_wrong_is_named() {
        for (subject, field) in [
            (ErrorSubject::Image(2), "images[2]"),
            (ErrorSubject::Images, "images"),
            (ErrorSubject::Field("top_k"), "top_k"),
        ] {
            let (_, details) = of(&Error::new(ErrorKind::InvalidArgument, "it is broken").about(subject));
            let [violation] = &*details.bad_request().expect("a violation").field_violations else { panic!("one") };
            assert_eq!((&*violation.field, &*violation.description), (field, "it is broken"));
            let info = details.error_info().expect("a reason");
            assert_eq!((&*info.reason, &*info.domain), ("INVALID_ARGUMENT", "resnetd"));
        }
        let (_, details) = of(&Error::new(ErrorKind::InvalidArgument, "no protobuf"));
        assert!(details.bad_request().is_none());
    }

    #[test]
    fn the_model_that_there_is_not_is_named() {
        let error = Error::new(ErrorKind::NotFound, "there is no model `x`").about(ErrorSubject::Model("x".into()));
        let details = of(&error).1;
        let resource = details.resource_info().expect("a resource");
        assert_eq!((&*resource.resource_type, &*resource.resource_name), ("model", "x"));
    }

    #[test]
    fn who_may_try_again_is_told_when_in_the_whole_seconds_of_http() {
        for (kind, delay, seconds) in [
            (ErrorKind::Overloaded, Some(1200), Some(2)),
            (ErrorKind::Unavailable, None, Some(1)),
            (ErrorKind::DeadlineExceeded, None, None),
        ] {
            let mut error = Error::new(kind, "later");
            error.retry_after = delay.map(Duration::from_millis);
            let told = of(&error).1.retry_info().and_then(|info| info.retry_delay);
            assert_eq!(told, seconds.map(Duration::from_secs), "{kind:?}");
        }
    }

    #[test]
    fn the_longest_text_fits_what_clients_take() {
        for text in ["a".repeat(9_000), "%".repeat(9_000), "é".repeat(9_000), "🦜".repeat(9_000)] {
            let (status, details) = of(&Error::new(ErrorKind::TooLarge, text).about(ErrorSubject::Images));
            assert!(status.message().contains('…'), "{status}");
            assert_eq!(details.bad_request().expect("one").field_violations[0].description, status.message());
        }
    }
}
