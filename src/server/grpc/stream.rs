//! `ClassifyStream`: many requests over one stream, answered as they are ready.
//!
//! One task a stream reads requests and starts a job for each, never more than its bound, so that the stream's flow
//! control reaches back to the client. It ends when the client is done or gone, or the connection is told to close; in
//! the first and the last case every request that was read is answered first.

use std::time::{Duration, Instant};

use prost::Message as _;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::{debug, error};

use super::{
    call::GrpcCall,
    convert,
    outcome::pass_on,
    proto,
    refusal::{error_code, mend},
};
use crate::{
    auth::InUse,
    server::{request_log::SlowRequests, status::wire_status, threads::Threads},
    service::{Error, ErrorKind, Service, VersionPick},
    telemetry::Protocol,
};

type Answers = mpsc::Sender<Result<proto::ClassifyStreamResponse, Status>>;

/// A stream that was opened.
pub(super) struct Stream {
    pub(super) service: Service,
    pub(super) threads: Threads,
    pub(super) requests: Streaming<proto::ClassifyStreamRequest>,
    pub(super) call: GrpcCall,
    /// The deadline of the whole stream.
    pub(super) deadline: Option<Instant>,
    /// The most requests that are worked on at a time.
    pub(super) concurrency: usize,
    pub(super) slow: SlowRequests,
}

/// Works on the stream in a task of its own; it ends with the returned answers.
pub(super) fn start(stream: Stream) -> ReceiverStream<Result<proto::ClassifyStreamResponse, Status>> {
    let (answers, receiver) = mpsc::channel(stream.concurrency);
    tokio::spawn(async move {
        let (call, slow) = (stream.call.clone(), stream.slow.clone());
        let log = call.log(&slow).at_its_clients_pace();
        // Without this branch, a client that left would be noticed with the next answer only. Dropping the work aborts its jobs.
        tokio::select! {
            biased;
            () = answers.closed() => {}
            answered = work(stream, &answers) => {
                log.finish("ClassifyStream", "OK", None, &format!("{answered} requests"));
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// Reads, answers, and says why it stopped; the number of requests that were read.
async fn work(mut stream: Stream, answers: &Answers) -> usize {
    let mut jobs = JoinSet::new();
    let mut read = 0;
    let answering = Answering {
        service: stream.service.clone(),
        threads: stream.threads.clone(),
        deadline: stream.deadline,
        call: stream.call.clone(),
        answers: answers.clone(),
    };
    let end = loop {
        tokio::select! {
            biased;
            () = stream.call.leaving.cancelled() => {
                let message = "this server is about to stop: open a new stream for the other requests";
                break Some(convert::status(&Error::new(ErrorKind::Unavailable, message)));
            }
            Some(ended) = jobs.join_next() => {
                if let Err(panic) = ended {
                    break Some(broken(&panic));
                }
            }
            request = stream.requests.message(), if jobs.len() < stream.concurrency => match request {
                Ok(Some(request)) => {
                    read += 1;
                    // The bytes of this message are the request's own from here on; those of the next come from now on.
                    stream.call.charge.give_back_bytes();
                    match stream.call.again() {
                        Ok((call, in_use)) => jobs.spawn(answer(Answering { call, ..answering.clone() }, in_use, request)),
                        Err(refused) => break Some(convert::status(&refused)),
                    };
                }
                Ok(None) => break None,
                Err(status) => break Some(refuse(&stream, status)),
            }
        }
    };
    while let Some(ended) = jobs.join_next().await {
        if let Err(panic) = ended {
            broken(&panic);
        }
    }
    if let Some(status) = end {
        // A client that left in the meantime needs no reason.
        let _ = answers.send(Err(status)).await;
    }
    read
}

/// What every request of a stream is answered with.
#[derive(Clone)]
struct Answering {
    service: Service,
    threads: Threads,
    deadline: Option<Instant>,
    call: GrpcCall,
    answers: Answers,
}

/// Answers one request of the stream, with an answer or with an error that carries its id.
///
/// * `in_use`: what it takes of its key's limits
async fn answer(answering: Answering, in_use: Result<Option<InUse>, Error>, request: proto::ClassifyStreamRequest) {
    let Answering { service, threads, deadline: stream_deadline, call, answers } = answering;
    use proto::classify_stream_response::Result as Item;
    let started = Instant::now();
    let own_deadline = (request.timeout_ms > 0).then(|| started + Duration::from_millis(request.timeout_ms.into()));
    let deadline = [stream_deadline, own_deadline].into_iter().flatten().min();
    let message = request.request.as_ref();
    let model = message.map(|message| message.model.clone()).unwrap_or_default();
    let label = message.map(|message| message.version_label.clone()).unwrap_or_default();
    let version = convert::version(message.map_or(0, |message| message.version), &label);
    let picked = version.as_ref().map_or(VersionPick::Highest, |version| *version);
    let charge = service.open_charge().and_then(|charge| charge.add(request.encoded_len()).map(|()| charge));
    let arrival = service.arrive(Protocol::Grpc, &model, picked, &call.asker, started).in_trace(call.recorded());
    let (_in_use, may) = match in_use {
        Ok(in_use) => (in_use, Ok(())),
        Err(limited) => (None, Err(limited)),
    };
    let warmed = async || {
        may?;
        let charge = charge?;
        version?;
        Ok((charge, arrival.warmed(deadline).await?))
    };
    let result = match request.request {
        Some(message) => match warmed().await {
            Ok((charge, target)) => {
                match service
                    .answer(convert::request(message, target, deadline, charge, call.client, call.trace()))
                    .await
                {
                    Ok(answer) => convert::response(answer, &threads).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        },
        None => Err(Error::new(ErrorKind::InvalidArgument, "the item has no `request`: nothing to classify")),
    };
    arrival.finish(result.as_ref().err().map(|error| wire_status(error.kind).2));
    let item = match result {
        Ok(answer) => Item::Response(answer),
        Err(error) => {
            debug!(request_id = %call.id, item = request.id, kind = ?error.kind, error.message, "a request of a stream failed");
            Item::Error(convert::error_item(error))
        }
    };
    let answer = proto::ClassifyStreamResponse { id: request.id, result: Some(item) };
    pass_on(&answers, answer, &call.charge).await;
}

fn broken(panic: &tokio::task::JoinError) -> Status {
    error!(%panic, "a request of a stream broke");
    convert::status(&Error::new(ErrorKind::Internal, "a request of the stream broke; the server's log says why"))
}

/// What is no message ends the stream, and counts as a request.
fn refuse(stream: &Stream, status: Status) -> Status {
    let status = mend(status, "ClassifyStream");
    let code = error_code(status.metadata().as_ref());
    stream.service.arrive(Protocol::Grpc, "", None, &stream.call.asker, Instant::now()).finish(Some(code));
    status
}
