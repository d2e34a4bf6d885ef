//! What becomes of a server whose log cannot be written: nothing. Each test runs the program itself.

use std::{
    fs::OpenOptions,
    io::{Read, pipe},
    thread,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    PATIENCE, images,
    program::{ServerProcess, glance, resnetd},
};

const CLASSIFY: &str = "/v1/models/resnet20-cifar10:classify";
const LOST: &str = "resnetd_log_lines_lost_total";

/// Every request is a line of the log.
const TALKATIVE: (&str, &str) = ("RESNETD__LOG__LEVEL", "debug");

/// Requests of each kind are answered on old and new connections, and SIGTERM ends in order.
async fn serves_and_leaves(server: ServerProcess) {
    let mut old = server.http().await;
    for _ in 0..20 {
        let mut new = server.http().await;
        for http in [&mut old, &mut new] {
            assert_eq!(http.get("/livez").await.status, 200);
            assert_eq!(http.get("/nowhere").await.status, 404);
            assert_eq!(http.post(CLASSIFY, "image/jpeg", &images::cifar("ship")).await.status, 200);
            assert_eq!(http.post(CLASSIFY, "image/jpeg", b"no image").await.status, 415);
        }
    }
    drop(old);
    assert_eq!(server.stop().await.code(), Some(0), "it ends in order");
}

#[tokio::test]
async fn a_log_on_a_full_disk_costs_lines_and_no_answer() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let server = ServerProcess::start(&[TALKATIVE], full).await;
    server.http().await.get("/nowhere").await;
    assert!(server.metric(LOST).await > 0.0);
    serves_and_leaves(server).await;
}

#[tokio::test]
async fn a_log_whose_reader_left_costs_lines_and_no_answer() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let server = ServerProcess::start(&[TALKATIVE], writer).await;
    server.http().await.get("/nowhere").await;
    assert!(server.metric(LOST).await > 0.0);
    serves_and_leaves(server).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_no_answer() {
    let (reader, writer) = pipe().unwrap();
    let server = ServerProcess::start(&[("RESNETD__LOG__LEVEL", "trace")], writer).await;
    let mut http = server.http().await;
    // More than a pipe and a queue take: lines of a thousand bytes.
    let path = format!("/{}", "x".repeat(1000));
    for _ in 0..3000 {
        assert_eq!(http.get(&path).await.status, 404);
    }
    assert!(server.metric(LOST).await > 0.0);
    drop(http);
    serves_and_leaves(server).await;
    drop(reader);
}

#[tokio::test]
async fn whoever_reads_the_log_gets_every_line_of_it() {
    let (mut reader, writer) = pipe().unwrap();
    let text = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let server = ServerProcess::start(&[TALKATIVE], writer).await;
    let mut http = server.http().await;
    for number in 0..500 {
        http.get(&format!("/number-{number}.")).await;
    }
    assert_eq!(server.metric(LOST).await, 0.0);
    drop(http);
    assert_eq!(server.stop().await.code(), Some(0));

    let text = text.join().unwrap().unwrap();
    for number in 0..500 {
        assert!(text.contains(&format!("/number-{number}.")), "{number} is missing");
    }
    assert!(text.trim_end().ends_with("stopped"), "the last line: {:?}", text.lines().last());
}

#[tokio::test]
async fn a_request_cannot_forge_a_line() {
    for format in ["text", "json"] {
        let (mut reader, writer) = pipe().unwrap();
        let text = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        let server = ServerProcess::start(&[TALKATIVE, ("RESNETD__LOG__FORMAT", format)], writer).await;
        let mut http = server.http().await;
        for path in [
            "/v1/models/a%0aFORGED%1b%5b2J%e2%80%a8FORGED%e2%80%aeb",
            "/v1/models/a%0aFORGED:classify",
            "/v1/models/resnet20-cifar10:classify?%0aFORGED=1",
            "/%0aFORGED",
        ] {
            http.get(path).await;
            http.post(path, "image/jpeg", &images::cifar("ship")).await;
        }
        drop(http);
        server.stop().await;

        let text = text.join().unwrap().unwrap();
        assert!(text.contains("FORGED"), "{text}");
        assert!(!text.contains(['\u{1b}', '\r', '\u{2028}', '\u{202e}']), "{text:?}");
        assert!(text.lines().all(|line| !line.starts_with("FORGED")), "{text}");
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn connections_that_flood_are_counted_and_said_once_in_a_while() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const FLOODING: &str = "resnetd_flooding_connections_total{door=\"http\"}";
    let (mut reader, writer) = pipe().unwrap();
    let text = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let server = ServerProcess::start(&[], writer).await;
    // POST http://x/, taken back at once; answers to PINGs that nobody sent.
    let head = frame(1, 4, 0, b"\x83\x86\x84\x41\x01x");
    let mut flood = [PREFACE, &frame(4, 0, 0, b""), &frame(6, 1, 0, &[7; 8])].concat();
    for stream in (1..1000_u32).step_by(2) {
        flood.extend_from_slice(&head[..5]);
        flood.extend_from_slice(&stream.to_be_bytes());
        flood.extend_from_slice(&head[9..]);
        flood.extend_from_slice(&frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    for _ in 0..30 {
        let mut stream = TcpStream::connect(server.http_address).await.unwrap();
        // It is closed in the middle.
        let _ = stream.write_all(&flood).await;
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it is closed");
    }
    glance("all are counted", async || server.metric(FLOODING).await == 30.0).await;
    assert_eq!(server.stop().await.code(), Some(0));

    let text = text.join().unwrap().unwrap();
    let said = text.lines().filter(|line| line.contains("flooded the door")).count();
    assert!((1..30).contains(&said), "{text}");
    assert!(!text.contains(" h2::"), "{text}");
}

#[test]
fn a_start_that_fails_says_so_where_it_can_and_ends_where_it_cannot() {
    let wrong = ["serve", "--config", "/nowhere/resnetd.toml"];
    let told = resnetd(&wrong).output().unwrap();
    assert_eq!(told.status.code(), Some(1));
    let text = String::from_utf8(told.stderr).unwrap();
    assert!(text.starts_with("error: ") && text.contains("/nowhere/resnetd.toml"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");

    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(resnetd(&wrong).stderr(full).status().unwrap().code(), Some(1));
}
