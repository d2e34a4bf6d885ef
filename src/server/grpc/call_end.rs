//! What goes with the status of a call, in the head of a refusal or behind the last message: a report of load, and the end of its span.

use hyper::HeaderMap;
use tonic::Status;

use crate::{
    server::{door_span, load_report},
    service::Service,
    telemetry::OpenSpan,
};

/// The end of a call that is recorded, or asked how loaded the server is, or neither. Dropped before its status, the client left.
pub(super) struct CallEnd {
    span: Option<OpenSpan>,
    /// The method is one of ours, so that the span may have its name.
    is_known: bool,
    /// Whose load is told.
    reporting: Option<Service>,
}

impl CallEnd {
    pub(super) fn new(span: Option<OpenSpan>, is_known: bool, reporting: Option<Service>) -> Self {
        Self { span, is_known, reporting }
    }

    /// Tells the caller where its call is recorded.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(span) = &self.span {
            door_span::tell(span, headers);
        }
    }

    /// The status of the call is among `metadata`.
    pub(super) fn end(&mut self, path: &str, metadata: &mut HeaderMap) {
        if let Some(service) = self.reporting.take() {
            load_report::tell_call(&service.load_report(), metadata);
        }
        let Some(span) = self.span.take() else { return };
        let status = Status::from_header_map(metadata);
        let code = status.as_ref().map_or(2, |status| i64::from(i32::from(status.code())));
        door_span::end_grpc(span, self.is_known, path, code, status.as_ref().map(Status::message));
    }
}
