//! Which model is asked, and what its network takes: looked up at the server, over whichever protocol is spoken.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Request, header};
use serde::Deserialize;

use super::{
    call::{call, read},
    endpoint::Endpoint,
    exchange::Connections,
    form::WireProtocol,
    parts::{RequestParts, framed, in_path},
    reply::{NoReply, ReplyStatus},
};
use crate::server::grpc::proto::{ListModelsRequest, ListModelsResponse, inference, model::State};

/// A model as its clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOutline {
    /// Its name, which is the route.
    pub name: String,
    /// The name of the network's input.
    pub input: String,
    /// What its numbers are: `FP32` and the like.
    pub datatype: String,
    /// The network's input; -1 where it is free, the number of images first.
    pub shape: Vec<i64>,
}

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum OutlineError {
    /// The server has no model that answers.
    #[error("the server at {0} serves no model yet: wait until it is ready, or give it one")]
    NoModel(String),
    /// It refuses to tell, for instance because there is no such model.
    #[error("the server answers {0}: {1}")]
    Refused(ReplyStatus, String),
    /// It said nothing.
    #[error("no answer from {0}: {1}; gRPC's own port wants --protocol grpc")]
    Silent(String, NoReply),
    /// It says something else than `resnetd`.
    #[error("what {0} says of its models is not what resnetd says: {1}")]
    Foreign(String, String),
}

/// What `GET /v1/models` says, as far as it is of interest.
#[derive(Deserialize)]
struct Listed {
    model_versions: Vec<ListedVersion>,
}

#[derive(Deserialize)]
struct ListedVersion {
    name: String,
    state: String,
}

/// What `GET /v2/models/{model}` says.
#[derive(Deserialize)]
struct Described {
    inputs: Vec<DescribedInput>,
}

#[derive(Deserialize)]
struct DescribedInput {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

impl ModelOutline {
    /// Asks the server.
    ///
    /// * `name`: the model; its first one that answers where there is none
    /// * `headers`: with each request
    ///
    /// # Errors
    /// See [`OutlineError`].
    pub async fn ask(
        endpoint: &Endpoint,
        protocol: WireProtocol,
        name: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, OutlineError> {
        let desk = match protocol {
            WireProtocol::Http1 => Desk { connections: Connections::http1(endpoint.clone()), headers },
            _ => Desk { connections: Connections::http2(endpoint.clone(), 1), headers },
        };
        let is_grpc = protocol == WireProtocol::Grpc;
        let name = match name {
            Some(name) => name.to_owned(),
            None if is_grpc => desk.first_by_call().await?,
            None => desk.first().await?,
        };
        if is_grpc { desk.describe_by_call(name).await } else { desk.describe(name).await }
    }

    /// The longer side of the images that the network sees; `None` where it is free.
    pub fn side(&self) -> Option<u32> {
        // Without the number of images; the channels are fewer than pixels.
        let sides = self.shape.get(1..)?;
        if sides.iter().any(|side| *side < 0) {
            return None;
        }
        sides.iter().max().and_then(|side| u32::try_from(*side).ok())
    }
}

struct Desk<'a> {
    connections: Connections,
    headers: &'a HeaderMap,
}

impl Desk<'_> {
    async fn first(&self) -> Result<String, OutlineError> {
        let listed: Listed = self.get("/v1/models").await?;
        let available = listed.model_versions.into_iter().find(|version| version.state == "AVAILABLE");
        available.map(|version| version.name).ok_or_else(|| self.no_model())
    }

    async fn describe(&self, name: String) -> Result<ModelOutline, OutlineError> {
        let described: Described = self.get(&format!("/v2/models/{}", in_path(&name))).await?;
        let input = described.inputs.into_iter().next().ok_or_else(|| self.foreign("a model without an input"))?;
        Ok(ModelOutline { name, input: input.name, datatype: input.datatype, shape: input.shape })
    }

    async fn first_by_call(&self) -> Result<String, OutlineError> {
        let answer: ListModelsResponse =
            self.call("/resnetd.v1.Classifier/ListModels", framed(&ListModelsRequest {})).await?;
        let available = answer.models.into_iter().find(|model| model.state() == State::Available);
        available.map(|model| model.name).ok_or_else(|| self.no_model())
    }

    async fn describe_by_call(&self, name: String) -> Result<ModelOutline, OutlineError> {
        let request = inference::ModelMetadataRequest { name: name.clone(), version: String::new() };
        let answer: inference::ModelMetadataResponse =
            self.call("/inference.GRPCInferenceService/ModelMetadata", framed(&request)).await?;
        let input = answer.inputs.into_iter().next().ok_or_else(|| self.foreign("a model without an input"))?;
        Ok(ModelOutline { name, input: input.name, datatype: input.datatype, shape: input.shape })
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, OutlineError> {
        let endpoint = self.connections.endpoint();
        let uri = match self.connections.is_http1() {
            true => endpoint.path(path),
            false => format!("{}{}", endpoint.origin(), endpoint.path(path)),
        };
        let mut request = Request::builder().method(Method::GET).uri(uri);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(self.headers);
            if self.connections.is_http1()
                && let Ok(host) = endpoint.authority().parse()
            {
                headers.insert(header::HOST, host);
            }
        }
        let request = request.body(Full::default()).map_err(|error| self.foreign(&error.to_string()))?;
        let received = self.connections.exchange(request, 0).await.map_err(|error| self.silent(error))?;
        if received.head.status != 200 {
            let status = ReplyStatus::Http(received.head.status.as_u16());
            return Err(OutlineError::Refused(status, words(&received.body)));
        }
        serde_json::from_slice(&received.body).map_err(|error| self.foreign(&error.to_string()))
    }

    async fn call<T: prost::Message + Default>(&self, path: &str, body: Bytes) -> Result<T, OutlineError> {
        let parts = RequestParts { path: path.to_owned(), headers: self.headers.clone(), body, images: 0 };
        let reply = call(&self.connections, &parts, 0).await.map_err(|error| self.silent(error))?;
        match reply.status {
            ReplyStatus::Grpc(0) => read(reply.message).map_err(|error| self.foreign(&error.to_string())),
            status => Err(OutlineError::Refused(status, reply.words.unwrap_or_default())),
        }
    }

    fn no_model(&self) -> OutlineError {
        OutlineError::NoModel(self.connections.endpoint().to_string())
    }

    fn silent(&self, why: NoReply) -> OutlineError {
        OutlineError::Silent(self.connections.endpoint().to_string(), why)
    }

    fn foreign(&self, what: &str) -> OutlineError {
        OutlineError::Foreign(self.connections.endpoint().to_string(), what.to_owned())
    }
}

/// Longer words are no sentence of a server.
const LONGEST_WORDS: usize = 600;

/// What a refusal says: its `error`, or its text.
pub(super) fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let text = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.error,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    match text.char_indices().nth(LONGEST_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_is_that_of_the_pictures_whatever_the_layout() {
        let side = |shape: &[i64]| {
            let name = String::new;
            ModelOutline { name: name(), input: name(), datatype: name(), shape: shape.to_vec() }.side()
        };
        assert_eq!(side(&[-1, 3, 224, 224]), Some(224));
        assert_eq!(side(&[8, 32, 48, 1]), Some(48));
        assert_eq!(side(&[-1, 3, -1, -1]), None);
        assert_eq!(side(&[]), None);
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        assert_eq!(words(br#"{"error": "there is no model `x`", "code": "NOT_FOUND"}"#), "there is no model `x`");
        assert_eq!(words(b" <h1>Bad Gateway</h1>\n"), "<h1>Bad Gateway</h1>");
        assert_eq!(words("é".repeat(5000).as_bytes()).chars().count(), LONGEST_WORDS + 1);
    }
}
