//! What is asked of a server besides load: documents about it, over one connection that is kept.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Request, header};
use serde::Deserialize;

use super::{
    call::{call, read},
    endpoint::Endpoint,
    exchange::Connections,
    parts::RequestParts,
    reply::{NoReply, ReplyStatus},
};

/// Longer words are no sentence of a server.
const LONGEST_WORDS: usize = 600;

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

/// A server that is asked for documents.
#[derive(Debug)]
pub struct ServerDesk {
    connections: Connections,
    headers: HeaderMap,
}

impl ServerDesk {
    /// Over HTTP/1.1. The connection is opened when it is needed, and again where it was closed.
    ///
    /// * `headers`: with each request
    pub fn http1(endpoint: Endpoint, headers: HeaderMap) -> Self {
        Self { connections: Connections::http1(endpoint), headers }
    }

    /// Over HTTP/2 without TLS, which gRPC's calls need.
    pub(super) fn http2(endpoint: Endpoint, headers: HeaderMap) -> Self {
        Self { connections: Connections::http2(endpoint, 1), headers }
    }

    /// A document, whatever its status.
    ///
    /// # Errors
    /// [`OutlineError::Silent`].
    pub async fn fetch(&self, path: &str) -> Result<(u16, Bytes), OutlineError> {
        let endpoint = self.connections.endpoint();
        let uri = match self.connections.is_http1() {
            true => endpoint.path(path),
            false => format!("{}{}", endpoint.origin(), endpoint.path(path)),
        };
        let mut request = Request::builder().method(Method::GET).uri(uri);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            if self.connections.is_http1()
                && let Ok(host) = endpoint.authority().parse()
            {
                headers.insert(header::HOST, host);
            }
        }
        let request = request.body(Full::default()).map_err(|error| self.foreign(&error.to_string()))?;
        let received = self.connections.exchange(request, 0).await.map_err(|error| self.silent(error))?;
        Ok((received.head.status.as_u16(), received.body))
    }

    /// A document of JSON.
    ///
    /// # Errors
    /// [`OutlineError`], but for the first.
    pub async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, OutlineError> {
        let (status, body) = self.fetch(path).await?;
        if status != 200 {
            return Err(OutlineError::Refused(ReplyStatus::Http(status), words(&body)));
        }
        serde_json::from_slice(&body).map_err(|error| self.foreign(&error.to_string()))
    }

    pub(super) async fn call<T: prost::Message + Default>(&self, path: &str, body: Bytes) -> Result<T, OutlineError> {
        let parts = RequestParts { path: path.to_owned(), headers: self.headers.clone(), body, images: 0 };
        let reply = call(&self.connections, &parts, 0).await.map_err(|error| self.silent(error))?;
        match reply.status {
            ReplyStatus::Grpc(0) => read(reply.message).map_err(|error| self.foreign(&error.to_string())),
            status => Err(OutlineError::Refused(status, reply.words.unwrap_or_default())),
        }
    }

    pub(super) fn no_model(&self) -> OutlineError {
        OutlineError::NoModel(self.connections.endpoint().to_string())
    }

    fn silent(&self, why: NoReply) -> OutlineError {
        OutlineError::Silent(self.connections.endpoint().to_string(), why)
    }

    pub(super) fn foreign(&self, what: &str) -> OutlineError {
        OutlineError::Foreign(self.connections.endpoint().to_string(), what.to_owned())
    }
}

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
    fn a_refusal_is_told_in_its_own_words() {
        assert_eq!(words(br#"{"error": "there is no model `x`", "code": "NOT_FOUND"}"#), "there is no model `x`");
        assert_eq!(words(b" <h1>Bad Gateway</h1>\n"), "<h1>Bad Gateway</h1>");
        assert_eq!(words("é".repeat(5000).as_bytes()).chars().count(), LONGEST_WORDS + 1);
    }
}
