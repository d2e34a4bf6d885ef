//! Who sends the requests of a run: one client for each protocol, with requests that were made beforehand.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request,
    header::{HOST, HeaderValue},
};

use super::{
    call::{call, read},
    desk::words,
    drive::Ask,
    endpoint::Endpoint,
    exchange::Connections,
    form::{PictureForm, WireProtocol},
    parts::RequestParts,
    payload::Payloads,
    reply::{NoReply, ReplyStatus, ServerPhases, ServerReply},
    stream::{Streams, phases},
};
use crate::server::grpc::proto::ClassifyResponse;

const SERVER_TIMING: &str = "server-timing";

/// A client of one server, for any number of requests at a time.
#[derive(Debug)]
pub struct LoadClient {
    kind: Kind,
    body_bytes: usize,
}

#[derive(Debug)]
enum Kind {
    Http { connections: Connections, requests: Vec<RequestParts>, tells_batch: bool },
    Call { connections: Connections, requests: Vec<RequestParts>, form: PictureForm },
    Stream(Streams),
}

impl LoadClient {
    /// * `connections`: how many HTTP/2 and gRPC spread their requests over
    ///
    /// # Errors
    /// In words, where the form cannot carry the request.
    pub fn new(
        endpoint: Endpoint,
        payloads: &Payloads<'_>,
        pictures: &[Bytes],
        connections: usize,
    ) -> Result<Self, String> {
        let form = payloads.form;
        if form == PictureForm::Stream {
            let messages = payloads.messages(pictures)?;
            let body_bytes = messages.first().map_or(0, prost::Message::encoded_len);
            let headers = payloads.headers.clone();
            let streams = Streams::new(endpoint, connections, headers, payloads.timeout_ms, messages);
            return Ok(Self { kind: Kind::Stream(streams), body_bytes });
        }
        let mut requests = payloads.requests(pictures)?;
        let body_bytes = requests.first().map_or(0, |request| request.body.len());
        let kind = match payloads.protocol {
            WireProtocol::Grpc => Kind::Call { connections: Connections::http2(endpoint, connections), requests, form },
            protocol => {
                for request in &mut requests {
                    request.path = endpoint.path(&request.path);
                }
                // Only our own answers say it, and only bodies of a few hundred bytes are looked through.
                let tells_batch = matches!(form, PictureForm::Body | PictureForm::Multipart | PictureForm::Json);
                let connections = match protocol {
                    WireProtocol::Http1 => {
                        let host = HeaderValue::try_from(endpoint.authority()).map_err(|error| error.to_string())?;
                        requests.iter_mut().for_each(|request| drop(request.headers.insert(HOST, host.clone())));
                        Connections::http1(endpoint)
                    }
                    _ => {
                        for request in &mut requests {
                            request.path = format!("{}{}", endpoint.origin(), request.path);
                        }
                        Connections::http2(endpoint, connections)
                    }
                };
                Kind::Http { connections, requests, tells_batch }
            }
        };
        Ok(Self { kind, body_bytes })
    }

    /// Bytes of the first request's body.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}

impl Ask for LoadClient {
    async fn ask(&self, turn: u64, place: usize) -> Result<ServerReply, NoReply> {
        match &self.kind {
            Kind::Http { connections, requests, tells_batch } => {
                ask_http(connections, of_turn(requests, turn)?, place, *tells_batch).await
            }
            Kind::Call { connections, requests, form } => {
                let request = of_turn(requests, turn)?;
                let answer = call(connections, request, place).await?;
                let mut reply = ServerReply {
                    status: answer.status,
                    sent_bytes: request.body.len(),
                    received_bytes: answer.message.len(),
                    phases: None,
                    batch_size: None,
                    words: answer.words,
                };
                if *form == PictureForm::Classify && reply.status == ReplyStatus::Grpc(0) {
                    let message: ClassifyResponse = read(answer.message)?;
                    (reply.phases, reply.batch_size) = (phases(&message), Some(message.batch_size));
                }
                Ok(reply)
            }
            Kind::Stream(streams) => streams.ask(turn, place).await,
        }
    }
}

fn of_turn(requests: &[RequestParts], turn: u64) -> Result<&RequestParts, NoReply> {
    let place = turn % (requests.len().max(1) as u64);
    let request = usize::try_from(place).ok().and_then(|place| requests.get(place));
    request.ok_or_else(|| NoReply::Broken("there is nothing to send".to_owned()))
}

async fn ask_http(
    connections: &Connections,
    parts: &RequestParts,
    place: usize,
    tells_batch: bool,
) -> Result<ServerReply, NoReply> {
    let mut request = Request::builder().method(Method::POST).uri(&*parts.path);
    if let Some(headers) = request.headers_mut() {
        headers.clone_from(&parts.headers);
    }
    let request = request.body(Full::new(parts.body.clone())).map_err(|error| NoReply::Broken(error.to_string()))?;
    let received = connections.exchange(request, place).await?;
    let status = ReplyStatus::Http(received.head.status.as_u16());
    let is_answer = status == ReplyStatus::Http(200);
    Ok(ServerReply {
        status,
        sent_bytes: parts.body.len(),
        received_bytes: received.body.len(),
        phases: server_timing(&received.head.headers),
        batch_size: (is_answer && tells_batch).then(|| batch_size(&received.body)).flatten(),
        words: (!is_answer).then(|| words(&received.body)),
    })
}

fn server_timing(headers: &HeaderMap) -> Option<ServerPhases> {
    ServerPhases::from_header(headers.get(SERVER_TIMING)?.to_str().ok()?)
}

/// The number after `"batch_size":`, which stands at the end of an answer: reading it as JSON would cost more than all else.
fn batch_size(body: &[u8]) -> Option<u32> {
    const KEY: &[u8] = b"\"batch_size\":";
    let start = body.windows(KEY.len()).rposition(|window| window == KEY)? + KEY.len();
    let digits = body.get(start..)?.iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    std::str::from_utf8(&digits.copied().collect::<Vec<_>>()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_size_is_the_last_one_that_an_answer_names() {
        assert_eq!(batch_size(br#"{"label":"\"batch_size\":7","batch_size": 4}"#), Some(4));
        assert_eq!(batch_size(br#"{"predictions":[]}"#), None);
        assert_eq!(batch_size(br#"{"batch_size":"#), None);
    }
}
