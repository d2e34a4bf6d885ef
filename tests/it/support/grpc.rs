//! A gRPC call without a gRPC library: tonic's client keeps its deadlines itself and would answer before the server does, and
//! it sends nothing that is wrong.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpStream, time::timeout};

use super::{PATIENCE, server::TestServer};

/// The path of the call that classifies.
pub(crate) const CLASSIFY: &str = "/resnetd.v1.Classifier/Classify";

/// What came back.
pub(crate) struct Answer {
    pub(crate) http: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    trailers: HeaderMap,
}

impl Answer {
    /// A header, or a trailer where there is no such header.
    pub(crate) fn get(&self, name: &str) -> &str {
        let value = self.headers.get(name).or(self.trailers.get(name));
        value.map_or("none", |value| value.to_str().expect("ASCII"))
    }
}

/// A message before a call's body: packed or not, and its length.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(flag);
    body.put_u32(message.len() as u32);
    body.extend_from_slice(message);
    body.freeze()
}

/// Calls a method that is expected to be refused, and gives the headers of the answer, which then hold the status.
pub(crate) async fn bare_call(
    server: &TestServer,
    method: &str,
    headers: &[(&str, &str)],
    message: &impl Message,
) -> HeaderMap {
    let body = framed(0, &message.encode_to_vec());
    call_with(server, method, headers, body).await.headers
}

/// Calls a method with any body.
///
/// * `headers`: instead of those that a call has, where they name the same; `:method` is the method of HTTP
pub(crate) async fn call_with(server: &TestServer, method: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
    call_at(server.grpc_address, method, headers, body).await
}

/// The same at another port.
pub(crate) async fn call_at(address: SocketAddr, method: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
    Connection::open(address).await.call(method, headers, body).await
}

/// One connection, which is never opened again: a call on one that was closed fails.
pub(crate) struct Connection {
    address: SocketAddr,
    client: http2::SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the door is open");
        let (client, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the server speaks HTTP/2");
        tokio::spawn(connection);
        Self { address, client }
    }

    /// As [`call_with`].
    pub(crate) async fn call(&mut self, method: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let mut request = Request::new(Full::<Bytes>::new(body));
        *request.uri_mut() = format!("http://{}{method}", self.address).parse().expect("an address");
        *request.method_mut() = hyper::Method::POST;
        let usual = [("content-type", "application/grpc"), ("te", "trailers")];
        for (name, value) in usual.iter().chain(headers) {
            match *name {
                ":method" => *request.method_mut() = value.parse().expect("a method"),
                _ => {
                    let name: hyper::header::HeaderName = name.parse().expect("a name");
                    request.headers_mut().insert(name, value.parse().expect("a value"));
                }
            }
        }
        let answer = timeout(PATIENCE, self.client.send_request(request)).await.expect("an answer in time");
        let (head, body) = answer.expect("an answer").into_parts();
        let body = timeout(PATIENCE, body.collect()).await.expect("its end in time").expect("a whole answer");
        let trailers = body.trailers().cloned().unwrap_or_default();
        Answer { http: head.status, headers: head.headers, body: body.to_bytes(), trailers }
    }
}
