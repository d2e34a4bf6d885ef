//! `GET /` for browsers: who gets the page, that it comes whole and unchanged, and that it can be turned off. What it does in a browser is
//! `make test-page`.

use resnetd::runtime::scripted::ScriptedExecutor;
use serde_json::json;

use crate::support::server::{TestServer, logits};

const BROWSER: (&str, &str) =
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8");

#[tokio::test]
async fn a_browser_gets_the_page_and_a_program_what_it_got_before() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for headers in [&[][..], &[("accept", "*/*")], &[("accept", "application/json")]] {
        let answer = http.request("GET", "/", headers, b"").await;
        assert_eq!(answer.json(), json!({ "status": "alive" }), "{headers:?}");
        assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
    }
    let page = http.request("GET", "/", &[BROWSER], b"").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    http.request("POST", "/", &[BROWSER], b"").await.refusal(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn the_files_of_the_page_come_packed_or_plain_and_only_once() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let page = http.request("GET", "/", &[BROWSER], b"").await;
    let html = String::from_utf8(page.body).expect("text");
    let named: Vec<_> = html.split('"').filter(|part| part.starts_with("page/")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for file in named {
        let path = format!("/{file}");
        let plain = http.get(&path).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (200, None), "{file}");
        let packed = http.request("GET", &path, &[("accept-encoding", "br, gzip")], b"").await;
        assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")), "{file}");
        assert_eq!(packed.header("content-type"), plain.header("content-type"), "{file}");
        assert_eq!(packed.header("x-content-type-options"), Some("nosniff"), "{file}");
        let (tag, other) = (packed.header("etag").expect("a tag"), plain.header("etag").expect("a tag"));
        assert_ne!(tag, other, "{file}");
        let headers = [("accept-encoding", "gzip"), ("if-none-match", tag)];
        let again = http.request("GET", &path, &headers, b"").await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)), "{file}");
        let changed = http.request("GET", &path, &[("if-none-match", tag)], b"").await;
        assert_eq!(changed.status, 200, "{file}");
    }
    http.get("/page/nothing.js").await.refusal(404, "NOT_FOUND");
}

#[tokio::test]
async fn without_the_page_browsers_are_answered_as_programs_are() {
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let server = builder.options(|options| options.page = false).start().await;
    let mut http = server.http().await;
    let answer = http.request("GET", "/", &[BROWSER], b"").await;
    assert_eq!(answer.json(), json!({ "status": "alive" }));
    assert_eq!(answer.header("vary"), None);
    http.get("/page/app.js").await.refusal(404, "NOT_FOUND");
}
