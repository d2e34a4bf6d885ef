//! `ModelStreamInfer`: many requests over one stream, answered in their order.
//!
//! One task a stream reads requests and starts a job for each, never more than its bound, so that the stream's flow control
//! reaches back to the client. It ends when the client is done or gone, or the connection is told to close; in the first and
//! the last case every request that was read is answered first.

use std::{sync::Arc, time::Instant};

use futures_util::{StreamExt as _, stream::FuturesOrdered};
use prost::Message as _;
use tokio::{sync::mpsc, task::JoinError};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};

use super::answer::Inferring;
use crate::{
    auth::InUse,
    server::{
        grpc::{
            call::GrpcCall,
            convert, outcome,
            proto::inference as proto,
            refusal::{error_code, mend},
        },
        request_log::SlowRequests,
    },
    service::{Charge, Error, ErrorKind},
    telemetry::Protocol,
};

type Answers = mpsc::Sender<Result<proto::ModelStreamInferResponse, Status>>;
type Job = AbortOnDropHandle<proto::ModelStreamInferResponse>;

/// A stream that was opened.
pub(super) struct InferStream {
    pub(super) inferring: Inferring,
    pub(super) requests: Streaming<proto::ModelInferRequest>,
    pub(super) call: GrpcCall,
    /// The deadline of the whole stream.
    pub(super) deadline: Option<Instant>,
    /// The most requests that are worked on at a time.
    pub(super) concurrency: usize,
    pub(super) slow: SlowRequests,
}

/// Works on the stream in a task of its own; it ends with the returned answers.
pub(super) fn start(stream: InferStream) -> ReceiverStream<Result<proto::ModelStreamInferResponse, Status>> {
    let (answers, receiver) = mpsc::channel(stream.concurrency);
    tokio::spawn(async move {
        let (call, slow) = (stream.call.clone(), stream.slow.clone());
        let log = call.log(&slow).at_its_clients_pace();
        // Without this branch, a client that left would be noticed with the next answer only. Dropping the work aborts its jobs.
        tokio::select! {
            biased;
            () = answers.closed() => {}
            answered = work(stream, &answers) => {
                log.finish("ModelStreamInfer", "OK", None, &format!("{answered} requests"));
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// Reads, answers, and says why it stopped; the number of requests that were read.
async fn work(mut stream: InferStream, answers: &Answers) -> usize {
    let (mut jobs, mut read) = (FuturesOrdered::<Job>::new(), 0);
    let (leaving, charge) = (stream.call.leaving.clone(), stream.call.charge.clone());
    let mut end = loop {
        tokio::select! {
            biased;
            () = leaving.cancelled() => {
                let message = "the connection is closing; send the requests that have no answer on a new stream";
                break Some(convert::status(&Error::new(ErrorKind::Unavailable, message)));
            }
            Some(answered) = jobs.next() => {
                if let Err(status) = pass_on(answered, &charge, answers).await {
                    break Some(status);
                }
            }
            request = stream.requests.message(), if jobs.len() < stream.concurrency => match request {
                Ok(Some(request)) => {
                    read += 1;
                    // The bytes of this message are the request's own from here on; those of the next come from now on.
                    stream.call.charge.give_back_bytes();
                    match stream.call.again() {
                        Ok(again) => {
                            let job = answer(stream.inferring.clone(), again, stream.deadline, request);
                            jobs.push_back(AbortOnDropHandle::new(tokio::spawn(job)));
                        }
                        Err(refused) => break Some(convert::status(&refused)),
                    }
                }
                Ok(None) => break None,
                Err(status) => break Some(refuse(&stream, status)),
            }
        }
    };
    while let Some(answered) = jobs.next().await {
        if let Err(status) = pass_on(answered, &charge, answers).await {
            end = end.or(Some(status));
        }
    }
    if let Some(status) = end {
        // A client that left in the meantime needs no reason.
        let _ = answers.send(Err(status)).await;
    }
    read
}

/// Gives an answer to the client.
///
/// # Errors
/// With what the stream ends where the request broke.
async fn pass_on(
    answered: Result<proto::ModelStreamInferResponse, JoinError>,
    charge: &Arc<Charge>,
    answers: &Answers,
) -> Result<(), Status> {
    match answered {
        // A client that left is noticed by `start`.
        Ok(answer) => {
            outcome::pass_on(answers, answer, charge).await;
        }
        Err(panic) => {
            tracing::error!(%panic, "a request of a stream broke");
            let message = "a request of the stream broke; the server's log says why";
            return Err(convert::status(&Error::new(ErrorKind::Internal, message)));
        }
    }
    Ok(())
}

/// Answers one request of the stream, with an answer or with an error that carries its id.
async fn answer(
    inferring: Inferring,
    (call, in_use): (GrpcCall, Result<Option<InUse>, Error>),
    deadline: Option<Instant>,
    request: proto::ModelInferRequest,
) -> proto::ModelStreamInferResponse {
    let id = request.id.clone();
    let (_in_use, may) = match in_use {
        Ok(in_use) => (in_use, Ok(())),
        Err(limited) => (None, Err(limited)),
    };
    let charge = may.and_then(|()| inferring.service.open_charge());
    let charge = charge.and_then(|charge| charge.add(request.encoded_len()).map(|()| charge));
    match inferring.answer(request, &call, Instant::now(), Ok(deadline), charge).await {
        Ok(answer) => proto::ModelStreamInferResponse { error_message: String::new(), infer_response: Some(answer) },
        Err(Error { kind, message, .. }) => {
            tracing::debug!(request_id = %call.id, item = %crate::service::Shown(&id), ?kind, message, "a request of a stream failed");
            let infer_response = Some(proto::ModelInferResponse { id, ..Default::default() });
            proto::ModelStreamInferResponse { error_message: message, infer_response }
        }
    }
}

/// What is no message ends the stream, and counts as a request.
fn refuse(stream: &InferStream, status: Status) -> Status {
    let status = mend(status, "ModelStreamInfer");
    let code = error_code(status.metadata().as_ref());
    stream.inferring.service.arrive(Protocol::Grpc, "", None, &stream.call.asker, Instant::now()).finish(Some(code));
    status
}
