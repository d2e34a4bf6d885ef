//! The load over gRPC: the generator of `resnetd bench`, in this process.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Error, Result};
use hyper::HeaderMap;
use resnetd::{
    loadgen::{
        Endpoint, LoadClient, LoadPlan, LoadRun, ModelOutline, Pace, Payloads, PictureForm, RunSummary, WireProtocol,
    },
    tls::ClientTlsFiles,
};
use tokio_util::sync::CancellationToken;

/// `connections` clients, each of which waits for its answer, for `time`.
pub(crate) fn load(
    server: SocketAddr,
    model: &str,
    images: &[Vec<u8>],
    connections: usize,
    time: Duration,
) -> Result<RunSummary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // One port takes both.
        let endpoint = Endpoint::find(&format!("http://{server}"), &ClientTlsFiles::default()).await?;
        let headers = HeaderMap::new();
        let outline = ModelOutline::ask(&endpoint, WireProtocol::Grpc, Some(model), &headers).await?;
        let payloads = Payloads {
            protocol: WireProtocol::Grpc,
            form: PictureForm::Classify,
            model: &outline,
            images: 1,
            timeout_ms: None,
            priority: None,
            headers: &headers,
        };
        let images: Vec<_> = images.iter().map(|image| image.clone().into()).collect();
        let client = LoadClient::new(endpoint, &payloads, &images, connections).map_err(Error::msg)?;
        let plan = LoadPlan {
            pace: Pace::Closed { clients: connections },
            warm_up: Duration::ZERO,
            duration: Some(time),
            requests: None,
            patience: Duration::from_secs(60),
            deadline: None,
            images: 1,
        };
        let run = LoadRun::begin(plan).context("cannot count")?;
        Ok(run.drive(Arc::new(client), CancellationToken::new()).await)
    })
}
