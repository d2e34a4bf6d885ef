//! `ClassifyStream`: many requests on one stream, answered in any order, each by its id.
//!
//! Each connection has one stream. A stream that ended, because the server is about to stop or the connection broke, takes its open
//! requests with it, and the next request opens a new one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{HeaderMap, Uri};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, metadata::MetadataMap, transport::Channel};
use tower::service_fn;

use super::{
    endpoint::Endpoint,
    exchange::in_words,
    reply::{NoReply, ReplyStatus, ServerPhases, ServerReply},
};
use crate::server::grpc::proto::{
    ClassifyRequest, ClassifyResponse, ClassifyStreamRequest, ClassifyStreamResponse,
    classifier_client::ClassifierClient, classify_stream_response::Result as Answer, error::Code,
};

/// So many requests may wait for the stream to take them.
const WAITING: usize = 64;

/// Streams to one server.
#[derive(Debug)]
pub(super) struct Streams {
    endpoint: Endpoint,
    headers: HeaderMap,
    timeout_ms: u32,
    messages: Vec<ClassifyRequest>,
    slots: Vec<tokio::sync::Mutex<Option<Open>>>,
    ids: AtomicU64,
}

#[derive(Clone, Debug)]
struct Open {
    requests: mpsc::Sender<ClassifyStreamRequest>,
    asked: Arc<Asked>,
}

/// Those whose answer is not there yet.
#[derive(Debug, Default)]
struct Asked {
    waiting: Mutex<HashMap<String, oneshot::Sender<ClassifyStreamResponse>>>,
    /// Why the stream ended.
    end: OnceLock<String>,
}

impl Streams {
    /// * `count`: connections with a stream each
    pub(super) fn new(
        endpoint: Endpoint,
        count: usize,
        headers: HeaderMap,
        timeout_ms: Option<u64>,
        messages: Vec<ClassifyRequest>,
    ) -> Self {
        let slots = (0..count.max(1)).map(|_| tokio::sync::Mutex::new(None)).collect();
        let timeout_ms = timeout_ms.map_or(0, |ms| u32::try_from(ms).unwrap_or(u32::MAX));
        Self { endpoint, headers, timeout_ms, messages, slots, ids: AtomicU64::new(0) }
    }

    pub(super) async fn ask(&self, turn: u64, place: usize) -> Result<ServerReply, NoReply> {
        let open = self.open(place).await?;
        let message = usize::try_from(turn).unwrap_or(0) % self.messages.len().max(1);
        let request = ClassifyStreamRequest {
            id: self.ids.fetch_add(1, Ordering::Relaxed).to_string(),
            request: self.messages.get(message).cloned(),
            timeout_ms: self.timeout_ms,
        };
        let sent_bytes = request.encoded_len();
        let (tell, told) = oneshot::channel();
        let _asked = open.asked.wait_for(&request.id, tell);
        let ended = || NoReply::Broken(open.asked.end.get().cloned().unwrap_or("the stream ended".to_owned()));
        open.requests.send(request).await.map_err(|_| ended())?;
        let response = told.await.map_err(|_| ended())?;
        Ok(reply(response, sent_bytes))
    }

    async fn open(&self, place: usize) -> Result<Open, NoReply> {
        let Some(slot) = self.slots.get(place % self.slots.len().max(1)) else {
            return Err(NoReply::Broken("there is no connection".to_owned()));
        };
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|open| open.asked.end.get().is_none()) {
            return Ok(open.clone());
        }
        let broken = |error: &dyn std::error::Error| NoReply::Broken(in_words(error));
        let origin = self.endpoint.origin();
        // tonic opens no https:// without TLS of its own; ours is what the connector below gives it.
        let address =
            Channel::from_shared(origin.replacen("https://", "http://", 1)).map_err(|error| broken(&error))?;
        let origin = Uri::try_from(origin).map_err(|error| broken(&error))?;
        let address = address.origin(origin);
        let endpoint = self.endpoint.clone();
        let connect = service_fn(move |_: Uri| {
            let endpoint = endpoint.clone();
            async move { endpoint.connect().await.map(TokioIo::new) }
        });
        let channel = address.connect_with_connector(connect).await.map_err(|error| broken(&error))?;
        let (requests, outgoing) = mpsc::channel(WAITING);
        let metadata = MetadataMap::from_headers(self.headers.clone());
        let request = Request::from_parts(metadata, Default::default(), ReceiverStream::new(outgoing));
        let answers = ClassifierClient::new(channel).classify_stream(request).await;
        let answers = answers.map_err(|status| NoReply::Broken(status.message().to_owned()))?.into_inner();
        let asked = Arc::new(Asked::default());
        tokio::spawn(hand_out(answers, asked.clone()));
        Ok(slot.insert(Open { requests, asked }).clone())
    }
}

/// Gives each answer to whoever waits for it, until the stream ends.
async fn hand_out(mut answers: Streaming<ClassifyStreamResponse>, asked: Arc<Asked>) {
    let end = loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                let waiting = asked.lock().remove(&answer.id);
                if let Some(waiting) = waiting {
                    // Who gave up does not listen.
                    let _ = waiting.send(answer);
                }
            }
            Ok(None) => break "the server ended the stream".to_owned(),
            Err(status) => break format!("the stream ended: {}", status.message()),
        }
    };
    // Told before those who wait are let go, so that they can say it.
    let _ = asked.end.set(end);
    asked.lock().clear();
}

impl Asked {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<ClassifyStreamResponse>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(self: &Arc<Self>, id: &str, tell: oneshot::Sender<ClassifyStreamResponse>) -> OnList {
        // One that came after the end is let go here, since nobody else will.
        let mut waiting = self.lock();
        if self.end.get().is_none() {
            waiting.insert(id.to_owned(), tell);
        }
        OnList { asked: self.clone(), id: id.to_owned() }
    }
}

/// Takes itself off the list: whoever gives up an answer leaves nothing behind.
struct OnList {
    asked: Arc<Asked>,
    id: String,
}

impl Drop for OnList {
    fn drop(&mut self) {
        self.asked.lock().remove(&self.id);
    }
}

fn reply(response: ClassifyStreamResponse, sent_bytes: usize) -> ServerReply {
    let received_bytes = response.encoded_len();
    let empty = ServerReply {
        status: ReplyStatus::Grpc(0),
        sent_bytes,
        received_bytes,
        phases: None,
        batch_size: None,
        words: None,
    };
    match response.result {
        Some(Answer::Response(answer)) => {
            ServerReply { phases: phases(&answer), batch_size: Some(answer.batch_size), ..empty }
        }
        Some(Answer::Error(error)) => {
            // As a call would have it.
            let code = match error.code() {
                Code::InvalidArgument | Code::UnsupportedFormat => 3,
                Code::DeadlineExceeded => 4,
                Code::NotFound => 5,
                Code::PermissionDenied => 7,
                Code::TooLarge | Code::Overloaded | Code::ResourceExhausted => 8,
                Code::Unspecified | Code::Internal => 13,
                Code::Unavailable => 14,
                Code::Unauthenticated => 16,
            };
            ServerReply { status: ReplyStatus::Grpc(code), words: Some(error.message), ..empty }
        }
        None => ServerReply {
            status: ReplyStatus::Grpc(13),
            words: Some("an answer with nothing in it".to_owned()),
            ..empty
        },
    }
}

/// Where the time went.
pub(super) fn phases(answer: &ClassifyResponse) -> Option<ServerPhases> {
    answer.timing.as_ref().map(|timing| ServerPhases {
        preprocess: timing.preprocess_ms,
        queue: timing.queue_ms,
        inference: timing.inference_ms,
        total: timing.total_ms,
    })
}
