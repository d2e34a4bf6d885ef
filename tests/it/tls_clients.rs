//! Clients that are known by their certificates: at the management address, and in the lines that are logged of their requests.

use std::net::SocketAddr;

use resnetd::{
    server::{
        DoorOptions,
        grpc::proto::inference::{
            ModelMetadataRequest, ModelReadyRequest, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
            grpc_inference_service_client::GrpcInferenceServiceClient,
        },
    },
    tls::ServerTls,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tracing::level_filters::LevelFilter;

use crate::{
    support::{
        certificates::{Authority, Issued},
        http::HttpClient,
        kept_log::KeptLog,
        managed::Managed,
    },
    tls::Place,
};

const NAME: &str = "spiffe://cluster.local/ns/ops/sa/deploy";

/// Three doors that let in who has a certificate of `clients` with [`NAME`] in it.
async fn managed(place: &Place, clients: &Authority) -> Managed {
    let tls = ServerTls::read(place.files_for(clients, &[NAME])).unwrap();
    Managed::start_with(DoorOptions { tls: Some(tls), ..DoorOptions::default() }).await
}

async fn grpc(address: SocketAddr, place: &Place, shown: &Issued) -> GrpcInferenceServiceClient<Channel> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(place.authority.pem()))
        .identity(Identity::from_pem(&shown.cert, &shown.key))
        .domain_name("localhost");
    let channel = Channel::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    GrpcInferenceServiceClient::new(channel.connect().await.unwrap())
}

#[tokio::test]
async fn operators_come_in_at_the_management_address_by_a_name_in_their_certificate() {
    let (place, clients) = (Place::new(), Authority::new("clients"));
    let managed = managed(&place, &clients).await;
    let (operator, stranger) = (clients.issue(&[NAME]), clients.issue(&["spiffe://cluster.local/ns/web/sa/front"]));

    let mut http = HttpClient::connect_tls(managed.management, place.client(Some(&operator))).await.unwrap();
    assert_eq!(http.post("/v1/models/birds:load", "application/json", b"").await.status, 200);
    assert_eq!(managed.all.answering(), ["birds/1", "pets/1+stable"]);
    let mut grpc = grpc(managed.management, &place, &operator).await;
    let unload = RepositoryModelUnloadRequest { model_name: "birds".to_owned(), ..Default::default() };
    grpc.repository_model_unload(unload).await.unwrap();
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);

    for client in [place.client(None), place.client(Some(&stranger))] {
        // Under TLS 1.3 whoever is refused learns of it when it reads.
        let asked = async { HttpClient::connect_tls(managed.management, client).await?.is_ready().await };
        asked.await.unwrap_err();
    }
    let mut plain = HttpClient::connect(managed.management).await;
    plain.send_raw(b"POST /v1/models/birds:load HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(plain.answer("POST").await.status, 400);
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);
}

/// On one thread, so that its log is the server's as well.
#[tokio::test]
async fn the_name_of_a_client_stands_in_the_line_of_each_of_its_requests() {
    let kept = KeptLog::up_to(LevelFilter::DEBUG);
    let (place, clients) = (Place::new(), Authority::new("clients"));
    let managed = managed(&place, &clients).await;
    let operator = clients.issue(&["deploy.example.com", NAME]);
    let is_ready = ModelReadyRequest { name: "pets".to_owned(), ..Default::default() };

    for address in [managed.http, managed.management] {
        let mut http = HttpClient::connect_tls(address, place.client(Some(&operator))).await.unwrap();
        assert_eq!(http.get("/v1/models").await.status, 200);
        http.get("/v1/models/fish").await.refusal(404, "NOT_FOUND");
        // Calls of gRPC on the same port.
        grpc(address, &place, &operator).await.model_ready(is_ready.clone()).await.unwrap();
    }
    let mut calls = grpc(managed.grpc, &place, &operator).await;
    calls.model_ready(is_ready).await.unwrap();
    calls.model_metadata(ModelMetadataRequest { name: "fish".to_owned(), ..Default::default() }).await.unwrap_err();

    let lines: Vec<_> = kept.lines().into_iter().filter(|line| line.contains(" status=")).collect();
    let named = lines.iter().filter(|line| line.contains(&format!(" client={NAME} "))).count();
    assert_eq!((lines.len(), named), (8, 8), "{lines:#?}");
}

/// On one thread, so that its log is the server's as well.
#[tokio::test]
async fn a_change_of_models_is_told_with_the_name_in_the_certificate_and_the_address_that_it_came_from() {
    let kept = KeptLog::up_to(LevelFilter::INFO);
    let (place, clients) = (Place::new(), Authority::new("clients"));
    let managed = managed(&place, &clients).await;
    let operator = clients.issue(&["deploy.example.com", NAME]);

    let mut http = HttpClient::connect_tls(managed.management, place.client(Some(&operator))).await.unwrap();
    assert_eq!(http.post("/v1/models/birds:load", "application/json", b"").await.status, 200);
    http.post("/v1/models/fish:unload", "application/json", b"").await.refusal(404, "NOT_FOUND");
    let mut grpc = grpc(managed.management, &place, &operator).await;
    let unload = RepositoryModelUnloadRequest { model_name: "birds".to_owned(), ..Default::default() };
    grpc.repository_model_unload(unload).await.unwrap();
    let load = RepositoryModelLoadRequest { model_name: "fish".to_owned(), ..Default::default() };
    assert_eq!(grpc.repository_model_load(load).await.unwrap_err().code(), tonic::Code::NotFound);

    let lines: Vec<_> = kept.lines().into_iter().filter(|line| line.contains(" audit: ")).collect();
    let wanted = [
        ("load", "birds", "done"),
        ("unload", "fish", "refused"),
        ("unload", "birds", "done"),
        ("load", "fish", "refused"),
    ];
    assert_eq!(lines.len(), wanted.len(), "{lines:#?}");
    let mut from = Vec::new();
    for (line, (change, model, outcome)) in lines.iter().zip(wanted) {
        let what = format!("change={change:?} model={model:?}");
        assert!(line.contains(&what) && line.contains(&format!("outcome={outcome:?}")), "{what}: {line}");
        assert!(line.contains(&format!("client={NAME:?}")), "{line}");
        let address = line.split(" address=").nth(1).and_then(|rest| rest.split(' ').next()).expect(line);
        from.push(address.parse::<SocketAddr>().expect(line));
    }
    // Each protocol came over a connection of its own, which other logs know by its port.
    assert!(from.iter().all(|address| address.ip().is_loopback() && *address != managed.management), "{from:?}");
    assert!(from[0] == from[1] && from[2] == from[3] && from[0] != from[2], "{from:?}");
}
