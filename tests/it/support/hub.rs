//! A hub of models on loopback that speaks as the real one does, with a store of its own behind it.
//!
//! The hub answers `HEAD` with the file's SHA-256, size and commit, and redirects to the store; the store serves ranges, and can break off, forget its
//! ranges or serve other bytes. What lies there can change, and so can what the hub answers.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use resnetd::resnet::state_dict::StateDict;
use sha2::{Digest, Sha256};

/// The commit of what lies there first.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Weights as the hub has them.
pub(crate) fn safetensors(state: &StateDict) -> Vec<u8> {
    let bytes = |data: &[f32]| data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let tensors: Vec<(&String, Vec<usize>, Vec<u8>)> =
        state.tensors.iter().map(|(name, weight)| (name, weight.shape.clone(), bytes(&weight.data))).collect();
    let views = tensors.iter().map(|(name, shape, data)| {
        (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// A request as it was received.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) range: Option<String>,
    pub(crate) has_token: bool,
}

/// How the store treats one request, and the status that the hub gives where it is no 302.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    Sound,
    BreaksOffAfter(usize),
    KnowsNoRanges,
    HubSays(u16),
}

/// What lies there.
struct Content {
    /// What the hub says of it.
    stated: String,
    commit: String,
    served: Arc<Vec<u8>>,
}

pub(crate) struct TestHub {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    behaviours: Arc<Mutex<Vec<Behaviour>>>,
    content: Arc<Mutex<Content>>,
}

impl TestHub {
    /// States the SHA-256 of `stated`, serves `served`, and behaves as told, request after request, soundly at last.
    pub(crate) fn start(stated: &[u8], served: Vec<u8>, behaviours: &[Behaviour]) -> Self {
        let (hub, store) = (listener(), listener());
        let endpoint = format!("http://{}", hub.local_addr().unwrap());
        let store_url = format!("http://{}/signed", store.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let behaviours = Arc::new(Mutex::new(behaviours.to_vec()));
        let content = Content { stated: sha256(stated), commit: COMMIT.to_owned(), served: Arc::new(served) };
        let content = Arc::new(Mutex::new(content));

        let (hubs, stated) = (behaviours.clone(), content.clone());
        serve(hub, seen.clone(), move |stream, seen| {
            let says = hubs.lock().unwrap().first().copied();
            if let Some(Behaviour::HubSays(status)) = says {
                return respond(stream, status, "", b"");
            }
            if seen.target.starts_with("/timm/renamed") {
                return respond(
                    stream,
                    307,
                    "Location: /timm/resnet18.tv_in1k/resolve/main/model.safetensors\r\n",
                    b"",
                );
            }
            let linked = {
                let Content { stated, commit, served } = &*stated.lock().unwrap();
                let size = served.len();
                format!(
                    "X-Linked-Etag: \"{stated}\"\r\nX-Linked-Size: {size}\r\nX-Repo-Commit: {commit}\r\nETag: \"of-the-redirect\"\r\n"
                )
            };
            respond(stream, 302, &format!("{linked}Location: {store_url}\r\n"), b"");
        });
        let (stores, lies_there) = (behaviours.clone(), content.clone());
        serve(store, seen.clone(), move |stream, seen| {
            let mut behaviours = stores.lock().unwrap();
            let behaviour = if behaviours.is_empty() { Behaviour::Sound } else { behaviours.remove(0) };
            drop(behaviours);
            let served = lies_there.lock().unwrap().served.clone();
            let start =
                seen.range.as_deref().and_then(|range| range[6..].trim_end_matches('-').parse().ok()).unwrap_or(0);
            let (status, bytes) = match behaviour {
                Behaviour::KnowsNoRanges => (200, &served[..]),
                _ => (206, &served[start..]),
            };
            let sent = if let Behaviour::BreaksOffAfter(length) = behaviour { &bytes[..length] } else { bytes };
            let range = format!("bytes {start}-{}/{}", served.len() - 1, served.len());
            let head = format!("Content-Length: {}\r\nContent-Range: {range}\r\n", bytes.len());
            respond_raw(stream, status, &head, sent);
        });
        Self { endpoint, seen, behaviours, content }
    }

    /// From now on it has other weights, of another commit.
    pub(crate) fn publish(&self, served: Vec<u8>) {
        let stated = sha256(&served);
        let commit = stated[..COMMIT.len()].to_owned();
        *self.content.lock().unwrap() = Content { stated, commit, served: Arc::new(served) };
    }

    /// From now on it behaves so.
    pub(crate) fn behave(&self, behaviours: &[Behaviour]) {
        *self.behaviours.lock().unwrap() = behaviours.to_vec();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The ranges that the store was asked for.
    pub(crate) fn ranges(&self) -> Vec<String> {
        self.seen().into_iter().filter(|seen| seen.target == "GET /signed").filter_map(|seen| seen.range).collect()
    }
}

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// One connection after the other, one request each; the thread ends with the process.
fn serve(listener: TcpListener, log: Arc<Mutex<Vec<Seen>>>, answer: impl Fn(&mut TcpStream, &Seen) + Send + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let header = |name: &str| {
                let mut pairs = headers.iter().filter_map(|line| line.split_once(": "));
                pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
            };
            let seen = Seen {
                target: first.rsplit_once(' ').map(|(target, _)| target.to_owned()).unwrap_or_default(),
                range: header("range"),
                has_token: header("authorization").as_deref() == Some("Bearer secret"),
            };
            let path = seen.target.split_once(' ').map(|(_, path)| path.to_owned()).unwrap_or_default();
            log.lock().unwrap().push(seen.clone());
            answer(&mut stream, &Seen { target: path, ..seen });
        }
    });
}

fn respond(stream: &mut TcpStream, status: u16, head: &str, body: &[u8]) {
    respond_raw(stream, status, &format!("{head}Content-Length: {}\r\n", body.len()), body);
}

fn respond_raw(stream: &mut TcpStream, status: u16, head: &str, body: &[u8]) {
    // A client that has what it wants may hang up first.
    let _ = stream.write_all(format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n{head}\r\n").as_bytes());
    let _ = stream.write_all(body);
}
