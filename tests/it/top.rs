//! `resnetd top`: what a real server says of itself, as lines of text and on screens of every size.

use std::time::Duration;

use hyper::HeaderMap;
use ratatui::{Terminal, backend::TestBackend};
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    tls::ClientTlsFiles,
    top::{ServerWatch, TopKey, TopScreen, lines},
};

use crate::support::{
    eventually,
    images::png,
    program::{ServerProcess, resnetd},
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";
const PATIENCE: Duration = Duration::from_secs(60);

fn url(server: &TestServer) -> String {
    format!("http://{}", server.http_address)
}

fn watch(url: &str) -> ServerWatch {
    ServerWatch::new(url, ClientTlsFiles::default(), HeaderMap::new())
}

#[tokio::test]
async fn a_look_at_a_server_tells_what_it_did() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).capacity(1).start().await;
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &png()).await;
    eventually("it is in work", || server.in_flight() == 1).await;
    server.http().await.post(CLASSIFY, "image/png", &png()).await.refusal(429, "OVERLOADED");
    let mut watch = watch(&url(&server));
    let mut screen = TopScreen::new(&[url(&server)], Duration::from_secs(2));

    screen.servers[0].answered(watch.look(PATIENCE).await.expect("an answer"));

    let views = screen.views(Duration::ZERO);
    assert!(views[0].is_well && views[0].words.contains("resnetd 0."), "{:?}", views[0]);
    let model = views[0].models.iter().find(|model| model.name == "pets" && model.numbers.is_some());
    let numbers = model.expect("pets answers").numbers.clone().expect("numbers");
    assert_eq!((numbers.in_work, numbers.refused), ([1, 1], 1));
    assert_eq!(numbers.refusals, [("places".to_owned(), 1)]);
    let text = lines(&views).join("\n");
    assert!(text.contains("refused images: places 1") && text.contains("1/1"), "{text}");
    network.release();
    assert_eq!(busy.answer("POST").await.status, 200);

    // The same connection, later: what came meanwhile.
    let mut later = watch.look(PATIENCE).await.expect("an answer");
    later.at = Duration::from_secs(5);
    screen.servers[0].answered(later);
    let views = screen.views(Duration::from_secs(5));
    let model = views[0].models.iter().find(|model| model.name == "pets" && model.numbers.is_some());
    let numbers = model.expect("pets answers").numbers.clone().expect("numbers");
    assert_eq!(numbers.batches, [(1, 1)]);
    assert_eq!((numbers.refused, numbers.phases[3].count), (0, 1), "{numbers:?}");
}

#[tokio::test]
async fn a_server_that_is_about_to_stop_says_so_and_one_that_is_gone_is_told_with_its_reason() {
    let server = TestServer::start().await;
    let mut screen = TopScreen::new(&[url(&server)], Duration::from_secs(2));
    let mut watch = watch(&url(&server));
    screen.servers[0].answered(watch.look(PATIENCE).await.expect("an answer"));
    server.stop();
    server.left().await.expect("a calm end");

    let why = watch.look(PATIENCE).await.expect_err("nobody is there");
    screen.servers[0].failed(why, Duration::from_secs(10));

    let views = screen.views(Duration::from_secs(95));
    assert!(!views[0].is_well && views[0].models.is_empty());
    assert!(views[0].words.starts_with("no answer for 1 min 25 s: "), "{}", views[0].words);
}

#[tokio::test]
async fn a_screen_of_any_size_is_drawn() {
    let server = TestServer::start().await;
    let urls = [url(&server), "http://127.0.0.1:1".to_owned()];
    let mut screen = TopScreen::new(&urls, Duration::from_secs(2));
    screen.servers[0].answered(watch(&urls[0]).look(PATIENCE).await.expect("an answer"));
    // Above it stands a model that could not be loaded.
    assert!(screen.press(TopKey::Down, Duration::ZERO));
    screen.servers[1].failed("nobody \u{1b}[2J listens".to_owned(), Duration::ZERO);
    for (width, height) in [(20, 5), (1, 1), (80, 24), (200, 60), (20, 100), (300, 1), (0, 0)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| screen.draw(frame, Duration::from_secs(3))).expect("a drawing");
        let shown: String = terminal.backend().buffer().content.iter().map(|cell| cell.symbol()).collect();
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        if width >= 20 && height >= 5 {
            assert!(shown.contains("pets") && shown.contains("LOAD"), "{width}x{height}: {shown:?}");
        }
        if width == 200 {
            assert!(
                shown.contains("P99 MS") && shown.contains("no answer for 3 s: nobody \\u{1b}[2J listens"),
                "{shown}"
            );
            assert!(shown.contains("preprocess") && shown.contains("inference"), "{shown}");
        }
    }
}

#[tokio::test]
async fn once_prints_text_and_ends() {
    let server = ServerProcess::start(&[], std::process::Stdio::null()).await;
    let url = format!("http://{}", server.http_address);

    let output = resnetd(&["top", "--once", "--url", &url]).output().expect("it runs");

    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("resnet20-cifar10") && text.contains("P99 MS"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    // Without --once it is the same where the output is no terminal.
    let piped = resnetd(&["top", "--url", &url]).output().expect("it runs");
    assert!(piped.status.success() && String::from_utf8_lossy(&piped.stdout).contains("resnet20-cifar10"));

    let both = resnetd(&["top", "--once", "--url", &url, "--url", "http://127.0.0.1:1"]).output().expect("it runs");

    let text = String::from_utf8_lossy(&both.stdout);
    assert_eq!(both.status.code(), Some(1));
    assert!(text.contains("resnet20-cifar10") && text.contains("http://127.0.0.1:1  no answer"), "{text}");
    assert!(String::from_utf8_lossy(&both.stderr).contains("no answer from http://127.0.0.1:1"));
    for wrong in ["https://x", "", "http://x:y"] {
        let refused = resnetd(&["top", "--once", "--url", wrong]).output().expect("it runs");
        assert_eq!(refused.status.code(), Some(1), "{wrong}");
    }
}
