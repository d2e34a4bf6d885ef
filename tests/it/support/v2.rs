//! Requests of the Open Inference Protocol, and a server with the built-in model that answers them.

use std::net::SocketAddr;

use resnetd::{
    server::{self, DoorOptions, Listeners, ServeError},
    service::Service,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    http::{Answer, HttpClient},
    images::SIDE,
    repository::{Serving, load},
};

/// Where the scripted model infers.
pub(crate) const INFER: &str = "/v2/models/pets/infer";

/// The shape of one image of the scripted model.
pub(crate) const SHAPE: [usize; 4] = [1, 3, SIDE as usize, SIDE as usize];

/// The values of one image.
pub(crate) const VALUES: usize = 3 * (SIDE * SIDE) as usize;

/// Files as elements of BYTES: each behind its length.
pub(crate) fn elements(files: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let files = files.iter().map(AsRef::as_ref);
    files.flat_map(|file| [&(file.len() as u32).to_le_bytes(), file].concat()).collect()
}

/// `{"inputs": [input]}`.
pub(crate) fn with_input(input: Value) -> Value {
    json!({ "inputs": [input] })
}

/// An input of pictures whose data are behind the JSON.
pub(crate) fn pictures(count: usize, section: &[u8]) -> Value {
    json!({ "name": "input", "shape": [count], "datatype": "BYTES", "parameters": { "binary_data_size": section.len() } })
}

/// Sends JSON with binary data behind it.
pub(crate) async fn post_binary(http: &mut HttpClient, path: &str, document: &Value, section: &[u8]) -> Answer {
    let json = document.to_string();
    let headers = [("inference-header-content-length", json.len().to_string())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    http.request("POST", path, &headers, &[json.as_bytes(), section].concat()).await
}

/// Sends JSON.
pub(crate) async fn post_json(http: &mut HttpClient, path: &str, document: &Value) -> Answer {
    http.post(path, "application/json", document.to_string().as_bytes()).await
}

/// The JSON of an answer, and the binary data behind it.
pub(crate) fn parts(answer: &Answer) -> (Value, &[u8]) {
    let length = answer.header("inference-header-content-length").map_or(answer.body.len(), |it| it.parse().unwrap());
    let (json, section) = answer.body.split_at(length);
    (serde_json::from_slice(json).unwrap(), section)
}

/// Numbers of 32 bits in little-endian.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The same the other way round.
pub(crate) fn to_bytes(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

/// A server with the built-in model on port 0. Dropped, it is gone.
pub(crate) struct RealServer {
    pub(crate) http_address: SocketAddr,
    pub(crate) grpc_address: SocketAddr,
    served: JoinHandle<Result<(), ServeError>>,
    _serving: Serving,
    _folder: TempDir,
}

impl RealServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let serving = load(folder.path());
        let service = Service::clone(&serving);
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (http, grpc) = (listen().await.unwrap(), listen().await.unwrap());
        let (http_address, grpc_address) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
        let listeners = Listeners { http: http.into(), grpc: grpc.into(), management: None };
        let served = tokio::spawn(server::serve(listeners, service, DoorOptions::default(), std::future::pending()));
        Self { http_address, grpc_address, served, _serving: serving, _folder: folder }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.served.abort();
    }
}
