//! How a call ended: its line of log, and tonic's form of it.

use tonic::{Response, Status};

use super::convert;
use crate::{
    server::{request_log::RequestLog, status::wire_status},
    service::{Error, Shown},
};

/// Logs the outcome of a call and turns it into tonic's.
pub(super) fn finish<T>(
    log: RequestLog<'_>,
    what: &str,
    model: &str,
    result: Result<T, Error>,
) -> Result<Response<T>, Status> {
    let what = format_args!("{what} model={:?}", Shown(model));
    match result {
        Ok(answer) => {
            log.finish(what, "OK", None, "");
            Ok(Response::new(answer))
        }
        Err(error) => {
            let (_, _, name) = wire_status(error.kind);
            log.finish(what, name, Some(error.kind), &error.message);
            Err(convert::status(&error))
        }
    }
}
