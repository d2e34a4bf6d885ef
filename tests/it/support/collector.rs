//! A collector of traces on port 0, over gRPC and over HTTP: it keeps what it is sent.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response as HttpResponse, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request as Call, Response, Status, transport::Server};

use super::eventually;

/// What was sent, in the order of its coming.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        call: Call<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().expect("no test broke here").push(call.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// One that speaks gRPC, and its address.
    pub(crate) async fn over_grpc() -> (Self, SocketAddr) {
        let (collector, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let address = listener.local_addr().expect("an address");
        let server = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    /// One that speaks HTTP, at the path of the standard.
    pub(crate) async fn over_http() -> (Self, SocketAddr) {
        let (collector, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let address = listener.local_addr().expect("an address");
        let kept = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let kept = kept.clone();
                    async move {
                        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
                        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
                        let sent = ExportTraceServiceRequest::decode(body).expect("spans");
                        kept.0.lock().expect("no test broke here").push(sent);
                        Ok::<_, Infallible>(HttpResponse::new(Full::<Bytes>::default()))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        (collector, address)
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let sent = self.0.lock().expect("no test broke here");
        let scopes = sent.iter().flat_map(|sent| &sent.resource_spans).flat_map(|of_one| &of_one.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The span of this name, when it has come.
    pub(crate) async fn span(&self, name: &str) -> Span {
        eventually(name, || self.spans().iter().any(|span| span.name == name)).await;
        self.spans().into_iter().find(|span| span.name == name).expect("it came")
    }

    /// What the process says of itself.
    pub(crate) fn resource(&self) -> Vec<KeyValue> {
        let sent = self.0.lock().expect("no test broke here");
        let of_process = sent.iter().flat_map(|sent| &sent.resource_spans).filter_map(|of_one| of_one.resource.clone());
        of_process.flat_map(|resource| resource.attributes).collect()
    }
}

/// An attribute as text.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        Some(AnyValue { value: Some(Value::BoolValue(flag)) }) => Some(flag.to_string()),
        _ => None,
    }
}
