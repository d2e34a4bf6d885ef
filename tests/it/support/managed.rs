//! A repository behind all three doors, the management address among them.

use std::{net::SocketAddr, process::Output};

use resnetd::{
    lifecycle::RepositoryOptions,
    server::{
        self, DoorOptions, Listeners, Management,
        grpc::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient,
    },
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::transport::Channel;

use super::{
    follower::Follower,
    http::{Answer, HttpClient},
    program::resnetd,
    server::channel,
};

/// A repository that is followed, behind all three doors.
pub(crate) struct Managed {
    pub(crate) all: Follower,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) management: SocketAddr,
    served: JoinHandle<()>,
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Managed {
    /// `pets` and `birds`, of which `pets` is loaded.
    pub(crate) async fn start() -> Self {
        Self::start_with(DoorOptions::default()).await
    }

    /// The same behind doors that are set up so.
    pub(crate) async fn start_with(doors: DoorOptions) -> Self {
        let explicit = |options: &mut RepositoryOptions| options.explicit = Some(vec!["pets".to_owned()]);
        let all = Follower::with(&["pets/1", "birds/1"], explicit, |_| ());
        all.write("pets/model.toml", "[versions]\npolicy = \"all\"\nlabels = { stable = 1 }");
        Self::open(all, doors).await
    }

    /// Doors over what is there already.
    pub(crate) async fn over(all: Follower) -> Self {
        Self::open(all, DoorOptions::default()).await
    }

    async fn open(all: Follower, doors: DoorOptions) -> Self {
        all.look().await;
        all.lifecycle.set_ready().await;
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (http, grpc, listener) = (listen().await, listen().await, listen().await);
        let [http_address, grpc_address, management] = [&http, &grpc, &listener].map(|it| it.local_addr().unwrap());
        let manager = all.manager.clone();
        let listeners = Listeners { http, grpc, management: Some(Management { listener, manager }) };
        let service = all.service.clone();
        let served = tokio::spawn(async move {
            drop(server::serve(listeners, service, doors, std::future::pending()).await);
        });
        Self { all, http: http_address, grpc: grpc_address, management, served }
    }

    /// Posts JSON to the management address.
    pub(crate) async fn ask(&self, path: &str, body: &str) -> Answer {
        HttpClient::connect(self.management).await.post(path, "application/json", body.as_bytes()).await
    }

    /// A client of the Open Inference Protocol.
    pub(crate) async fn client(address: SocketAddr) -> GrpcInferenceServiceClient<Channel> {
        GrpcInferenceServiceClient::new(channel(address).await)
    }

    /// The command line, against this server.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        let url = self.management.to_string();
        let mut command = resnetd(&["models", "--url", &url]);
        command.args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}
