//! Who comes first, asked over the wire: the header of REST, the field of gRPC.

use bytes::Bytes;
use resnetd::server::grpc::proto::ClassifyRequest;

use crate::support::{
    images::gray,
    noting::Held,
    server::{MODEL, TestServer},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

#[tokio::test]
async fn urgent_requests_overtake_bulk_ones_on_both_doors() {
    let server = TestServer::start().await;
    let network = Held::at(&server, 64).await;
    let waiting = async |count| network.waiting(&server, count).await;

    let mut clients = Vec::new();
    let mut send = async |gray_value: u8, priority: &[(&str, &str)]| {
        let mut http = server.http().await;
        http.send("POST", CLASSIFY, priority, &gray(gray_value)).await;
        clients.push(http);
    };
    send(1, &[]).await;
    waiting(0).await;
    send(2, &[("x-priority", "bulk")]).await;
    waiting(1).await;
    send(3, &[("x-priority", "bulk")]).await;
    waiting(2).await;
    send(4, &[]).await;
    waiting(3).await;
    send(5, &[("x-priority", "1")]).await;
    waiting(4).await;
    let grpc = server.grpc().await;
    let call = |picture: Bytes, priority| {
        let mut grpc = grpc.clone();
        let request =
            ClassifyRequest { model: MODEL.to_owned(), images: vec![picture], priority, ..ClassifyRequest::default() };
        async move { grpc.classify(request).await }
    };
    let bulk = tokio::spawn(call(gray(6), 200));
    waiting(5).await;
    let urgent = tokio::spawn(call(gray(7), 2));
    waiting(6).await;

    network.release();

    for mut client in clients {
        assert_eq!(client.answer("POST").await.status, 200);
    }
    for call in [bulk, urgent] {
        call.await.expect("no panic").expect("an answer");
    }
    assert_eq!(network.seen(), [1, 5, 7, 4, 2, 3, 6]);
}

#[tokio::test]
async fn a_priority_that_there_is_not_is_refused() {
    let server = TestServer::start().await;
    let answer = server.http().await.request("POST", CLASSIFY, &[("x-priority", "first")], &gray(1)).await;
    let message = answer.refusal(400, "INVALID_ARGUMENT");
    assert!(message.contains("`first`") && message.contains("`bulk`"), "{message}");
}
