//! Refusals reach clients that are still sending, and have our form wherever they come from.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use resnetd::{runtime::scripted::ScriptedExecutor, service::RequestLimits};
use tokio::{net::TcpStream, time::timeout};

use crate::support::{
    PATIENCE, eventually, images,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// A request whose body nobody reads, and how it is refused.
struct Unread {
    method: &'static str,
    path: &'static str,
    header: (&'static str, &'static str),
    status: u16,
    code: &'static str,
}

fn unread() -> impl Iterator<Item = Unread> {
    let plain = ("x", "y");
    let cases = [
        ("POST", "/v1/models/pets:clasify", plain, 404, "NOT_FOUND"),
        ("POST", "/nothing", plain, 404, "NOT_FOUND"),
        ("PUT", CLASSIFY, plain, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/livez", plain, 405, "METHOD_NOT_ALLOWED"),
        ("POST", CLASSIFY, ("content-encoding", "compress"), 415, "UNSUPPORTED_FORMAT"),
        ("POST", "/v1/models/pets:classify?top_k=x", plain, 400, "INVALID_ARGUMENT"),
        ("POST", "/v1/models/pets/versions/x:classify", plain, 400, "INVALID_ARGUMENT"),
    ];
    cases.into_iter().map(|(method, path, header, status, code)| Unread { method, path, header, status, code })
}

/// Far more than the buffers of the sockets: the server has to take it off the wire, or the write would fail.
const BODY_BYTES: usize = 24 << 20;

#[tokio::test]
async fn a_client_that_sends_a_large_body_can_read_why_it_was_refused() {
    let server = TestServer::start().await;
    let body = vec![0; BODY_BYTES];
    for Unread { method, path, header, status, code } in unread() {
        let mut http = server.http().await;
        // As Python's urllib does: all of the body, and only then a look at the answer.
        http.send(method, path, &[header], &body).await;
        http.answer(method).await.refusal(status, code);
    }
    let mut http = server.http().await;
    http.send("POST", CLASSIFY, &[("x-long", &"a".repeat(40_000))], &body).await;
    http.answer("POST").await.refusal(431, "HEADERS_TOO_LARGE");
}

#[tokio::test]
async fn a_client_that_is_refused_for_overload_can_read_so() {
    let network = ScriptedExecutor::blocked(&logits());
    let limits = RequestLimits { max_in_flight_bytes: 1 << 20, ..RequestLimits::default() };
    let server = TestServer::builder(network.clone()).limits(limits).start().await;
    let mut http = server.http().await;
    http.send("POST", CLASSIFY, &[], &vec![0; BODY_BYTES]).await;
    http.answer("POST").await.refusal(429, "OVERLOADED");
    network.release();
}

#[tokio::test]
async fn chunks_that_nobody_reads_do_not_hide_the_refusal() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let head = "POST /nothing HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    http.send_raw(format!("{head}{}0\r\n\r\n", chunk.repeat(16)).as_bytes()).await;
    http.answer("POST").await.refusal(404, "NOT_FOUND");
}

#[tokio::test]
async fn over_http_2_a_large_body_does_not_hide_the_refusal_nor_end_the_connection() {
    let server = TestServer::start().await;
    let stream = TcpStream::connect(server.http_address).await.expect("the HTTP door is open");
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("the server speaks HTTP/2");
    tokio::spawn(connection);
    let body = Bytes::from(vec![0; BODY_BYTES]);
    for Unread { method, path, header: (name, value), status, code } in unread() {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", server.http_address))
            .header(name, value)
            .body(Full::new(body.clone()))
            .expect("a request");
        let answer = timeout(PATIENCE, client.send_request(request)).await.expect("in time").expect("an answer");
        assert_eq!(answer.status(), status, "{method} {path}");
        let document = timeout(PATIENCE, answer.collect()).await.expect("in time").expect("a body").to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
        assert_eq!(document["code"], code, "{method} {path}");
    }
}

#[tokio::test]
async fn a_connection_goes_on_behind_a_short_body_that_nobody_read() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    http.post("/nothing", "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    assert_eq!(http.get("/livez").await.status, 200);
}

#[tokio::test]
async fn what_the_parser_refuses_has_our_form_and_an_id() {
    let server = TestServer::start().await;
    let headers = |count: usize| (0..count).map(|index| format!("x-{index}: y\r\n")).collect::<String>();
    for (sent, status, code) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n".to_vec(), 400, "INVALID_ARGUMENT"),
        (b"GET /livez\r\n\r\n".to_vec(), 400, "INVALID_ARGUMENT"),
        (b"GET /livez HTTP/1.1\r\nno header\r\n\r\n".to_vec(), 400, "INVALID_ARGUMENT"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n".to_vec(), 400, "INVALID_ARGUMENT"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", headers(120)).into_bytes(), 431, "HEADERS_TOO_LARGE"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "a".repeat(1 << 20)).into_bytes(), 431, "HEADERS_TOO_LARGE"),
    ] {
        let mut http = server.http().await;
        http.send_raw(&sent).await;
        let answer = http.answer("GET").await;
        answer.refusal(status, code);
        assert!(answer.header("x-request-id").is_some_and(|id| id.len() > 10));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(answer.header("date").is_some());
        assert!(http.is_closed().await);
    }
}

#[tokio::test]
async fn what_the_parser_refuses_behind_an_answer_comes_after_it() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    http.send_raw(b"HEAD /livez HTTP/1.1\r\nhost: test\r\n\r\nnonsense\r\n\r\n").await;
    assert_eq!(http.answer("HEAD").await.status, 200);
    http.answer("GET").await.refusal(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_head_in_which_a_proxy_could_see_another_request_is_refused() {
    let server = TestServer::start().await;
    for (head, part) in [
        ("GET /livez HTTP/1.1\r\n\r\n", "no `host`"),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", "2 `host`"),
        ("POST /livez HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "`gzip, chunked`"),
    ] {
        let mut http = server.http().await;
        http.send_raw(head.as_bytes()).await;
        let answer = http.answer("GET").await;
        assert!(answer.refusal(400, "INVALID_ARGUMENT").contains(part));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(http.is_closed().await);
    }
    let mut old = server.http().await;
    old.send_raw(b"GET /livez HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer("GET").await.status, 200, "HTTP/1.0 knows no host");
}

#[tokio::test]
async fn no_message_repeats_more_than_200_characters_of_a_request() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let long = "x".repeat(20_000);
    let huge = "x".repeat(8 << 20);
    let json = format!(r#"{{"{huge}": 1}}"#).into_bytes();
    let form = format!("--cut\r\ncontent-disposition: form-data; name=\"{huge}\"\r\n\r\n1\r\n--cut--\r\n").into_bytes();
    let named = format!("/v1/models/{long}:classify");
    let png = images::png().to_vec();
    for (method, path, headers, body) in [
        ("GET", format!("/{long}"), ("a", "b"), &[][..]),
        ("GET", format!("/v1/models/{}/zzz", "x".repeat(150)), ("a", "b"), &[]),
        ("GET", format!("/v1/models/{long}"), ("a", "b"), &[]),
        ("GET", format!("/v1/models/%ff{long}"), ("a", "b"), &[]),
        ("GET", format!("/v1/models/pets/versions/{long}"), ("a", "b"), &[]),
        ("POST", named, ("a", "b"), &png),
        (&*long, "/livez".to_owned(), ("a", "b"), &[]),
        ("POST", format!("{CLASSIFY}?{long}=1"), ("a", "b"), &png),
        ("POST", format!("{CLASSIFY}?top_k={long}"), ("a", "b"), &png),
        ("POST", format!("{CLASSIFY}?min_probability={long}"), ("a", "b"), &png),
        ("POST", format!("{CLASSIFY}?timeout_ms={long}"), ("a", "b"), &png),
        ("POST", CLASSIFY.to_owned(), ("content-encoding", &*long), &png),
        ("POST", CLASSIFY.to_owned(), ("content-type", &*format!("multipart/form-data; {long}")), &png),
        ("POST", CLASSIFY.to_owned(), ("content-type", "multipart/form-data; boundary=cut"), &form),
        ("POST", CLASSIFY.to_owned(), ("content-type", "application/json"), &json),
    ] {
        let answer = http.request(method, &path, &[headers], body).await;
        assert!(answer.status >= 400, "{}", answer.status);
        let document = String::from_utf8(answer.body.clone()).expect("text");
        let repeated = document.matches('x').count();
        assert!(repeated <= 210 && document.len() < 700, "{repeated} in {document:.900}");
        if answer.header("connection") == Some("close") {
            http = server.http().await;
        }
    }
    eventually("nothing is left", || server.in_flight() == 0).await;
}
