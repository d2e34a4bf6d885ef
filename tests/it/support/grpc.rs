//! A gRPC call without a gRPC library: tonic's client keeps its deadlines itself and would answer before the server does.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::Full;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpStream, time::timeout};

use super::{PATIENCE, server::TestServer};

/// Calls a method that is expected to be refused, and gives the headers of the answer, which then hold the status.
pub(crate) async fn bare_call(
    server: &TestServer,
    method: &str,
    headers: &[(&str, &str)],
    message: &impl Message,
) -> HeaderMap {
    let stream = TcpStream::connect(server.grpc_address).await.expect("the gRPC door is open");
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("the server speaks HTTP/2");
    tokio::spawn(connection);

    let message = message.encode_to_vec();
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(message.len() as u32);
    body.extend_from_slice(&message);
    let mut request = Request::post(format!("http://{}{method}", server.grpc_address))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::new(body.freeze())).expect("a request");
    let answer = timeout(PATIENCE, client.send_request(request)).await.expect("an answer in time");
    answer.expect("an answer").headers().clone()
}
