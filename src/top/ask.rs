//! One look at a server: four documents over one connection that is kept, within a time.

use std::time::Duration;

use hyper::HeaderMap;

use super::reading::{ListReading, ServerLook, StatsReading};
use crate::{
    loadgen::{Endpoint, OutlineError, ServerDesk},
    tls::ClientTlsFiles,
};

/// What is asked of one server.
#[derive(Debug)]
pub struct ServerWatch {
    url: String,
    /// What TLS is made of; read anew after each failure.
    tls: ClientTlsFiles,
    /// What goes with each question: a key.
    headers: HeaderMap,
    desk: Option<ServerDesk>,
}

impl ServerWatch {
    /// Nothing is asked yet, and no name looked up.
    ///
    /// * `tls`: what TLS is made of, where the URL wants it
    /// * `headers`: what goes with each question
    pub fn new(url: &str, tls: ClientTlsFiles, headers: HeaderMap) -> Self {
        Self { url: url.to_owned(), tls, headers, desk: None }
    }

    /// Asks for everything.
    ///
    /// * `patience`: for all of it
    ///
    /// # Errors
    /// In words. The next look begins with a new connection.
    pub async fn look(&mut self, patience: Duration) -> Result<ServerLook, String> {
        let looked = tokio::time::timeout(patience, self.ask()).await;
        let outcome = looked.unwrap_or_else(|_| Err(format!("it says nothing for {} s", patience.as_secs_f64())));
        if outcome.is_err() {
            self.desk = None;
        }
        outcome
    }

    async fn ask(&mut self) -> Result<ServerLook, String> {
        let desk = match &mut self.desk {
            Some(desk) => desk,
            // A name may lead elsewhere by now, and certificates may be new.
            none => {
                let endpoint = Endpoint::find(&self.url, &self.tls).await.map_err(|error| error.to_string())?;
                endpoint.check().await.map_err(|error| error.to_string())?;
                none.insert(ServerDesk::http1(endpoint, self.headers.clone()))
            }
        };
        // Where it is stands beside it already.
        let in_words = |error: OutlineError| match error {
            OutlineError::Silent(_, why) => why.to_string(),
            other => other.to_string(),
        };
        let stats: StatsReading = desk.get("/v1/stats").await.map_err(in_words)?;
        let list: ListReading = desk.get("/v1/models").await.map_err(in_words)?;
        let unready = match desk.fetch("/readyz").await.map_err(in_words)? {
            (200, _) => None,
            (_, body) => Some(said(&body)),
        };
        let (status, metrics) = desk.fetch("/metrics").await.map_err(in_words)?;
        let mut look = ServerLook { at: Duration::ZERO, unready, stats, list, ..ServerLook::default() };
        if status == 200 {
            look.read_phases(&String::from_utf8_lossy(&metrics));
        }
        Ok(look)
    }
}

/// What a refusal says.
fn said(body: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    document["error"].as_str().unwrap_or("/readyz says so").to_owned()
}
