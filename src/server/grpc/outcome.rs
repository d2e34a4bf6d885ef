//! How a call ended: its line of log, and tonic's form of it.

use std::sync::Arc;

use prost::Message;
use tokio::sync::mpsc::{Sender, error::TrySendError};
use tonic::{Response, Status};

use super::convert;
use crate::{
    server::{request_log::RequestLog, status::wire_status},
    service::{Charge, Error, Shown},
};

/// Logs the outcome of a call and turns it into tonic's. An answer is charged until it was read.
pub(super) fn finish<T: Message>(
    log: RequestLog<'_>,
    what: &str,
    model: &str,
    charge: &Charge,
    result: Result<T, Error>,
) -> Result<Response<T>, Status> {
    let what = format_args!("{what} model={:?}", Shown(model));
    match result {
        Ok(answer) => {
            log.finish(what, "OK", None, "");
            charge.hold_answer(answer.encoded_len());
            Ok(Response::new(answer))
        }
        Err(error) => {
            let (_, _, name) = wire_status(error.kind);
            log.finish(what, name, Some(error.kind), &error.message);
            Err(convert::status(&error))
        }
    }
}

/// Gives an answer of a stream to the client, which is charged until it goes out. A client that left is noticed elsewhere.
pub(super) async fn pass_on<T: Message>(answers: &Sender<Result<T, Status>>, answer: T, charge: &Arc<Charge>) {
    charge.hold_answer(answer.encoded_len());
    if let Err(TrySendError::Full(answer)) = answers.try_send(Ok(answer)) {
        charge.wait_for_reader();
        let _ = answers.send(answer).await;
    }
}
