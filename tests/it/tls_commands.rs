//! TLS as commands speak it: a server as people start it, and every client command against it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use resnetd::tls::{ClientTls, ClientTlsFiles};
use tempfile::TempDir;
use tokio::task::{block_in_place, spawn_blocking};

use crate::support::{
    certificates::Authority,
    http::HttpClient,
    process::Process,
    program::{glance, resnetd},
};

/// A folder with certificates of a server and a client, and of those who vouch for them.
struct Place {
    folder: TempDir,
    servers: Authority,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), servers: Authority::new("servers") };
        let clients = Authority::new("clients");
        place.servers.issue(&["localhost", "127.0.0.1"]).write(place.path(), "server");
        clients.issue(&["front.example.com"]).write(place.path(), "client");
        clients.issue(&["back.example.com"]).write(place.path(), "other");
        fs::write(place.at("ca.crt"), place.servers.pem()).unwrap();
        fs::write(place.at("clients.crt"), clients.pem()).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// Starts a server with these files and further settings.
    fn serve(&self, settings: &[(&str, &str)]) -> Process {
        let (cert, key) = (self.text("server.crt"), self.text("server.key"));
        let files = [("RESNETD__TLS__CERT", &*cert), ("RESNETD__TLS__KEY", &*key), ("RESNETD__RUNTIME__TUNE", "false")];
        Process::start(files.into_iter().chain(settings.iter().copied()))
    }

    /// The options of a client that shows `NAME.crt`.
    fn options(&self, name: &str) -> Vec<String> {
        let (cert, key) = (self.text(&format!("{name}.crt")), self.text(&format!("{name}.key")));
        ["--ca", &self.text("ca.crt"), "--cert", &cert, "--key", &key].map(str::to_owned).to_vec()
    }
}

async fn run(arguments: &[&str], options: &[String]) -> Output {
    let mut command = resnetd(arguments);
    command.args(options);
    spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_command_speaks_tls_and_shows_who_it_is() {
    let place = Place::new();
    let clients = place.text("clients.crt");
    let names = r#"["front.example.com"]"#;
    let server = block_in_place(|| {
        place.serve(&[("RESNETD__TLS__CLIENT_CA", &*clients), ("RESNETD__TLS__ALLOWED_NAMES", names)])
    });
    let address = server.http.to_string();
    let url = format!("https://{address}");
    let bench = ["bench", "--requests", "2", "--connections", "1", "--warmup", "0", "--url", &url, "--protocol"];
    let commands = [
        vec!["healthcheck", "--http", &address],
        vec!["healthcheck", "--http", &url],
        vec!["models", "list", "--url", &url],
        [&bench[..], &["http1"]].concat(),
        [&bench[..], &["http2"]].concat(),
        [&bench[..], &["grpc"]].concat(),
        [&bench[..], &["grpc", "--form", "stream"]].concat(),
        vec!["top", "--once", "--url", &url],
        // After the load: it reckons with what the server has run.
        vec!["capacity", "--url", &url],
    ];
    let ca = ["--ca".to_owned(), place.text("ca.crt")];
    for command in &commands {
        let done = run(command, &place.options("client")).await;
        assert_eq!(done.status.code(), Some(0), "{command:?}: {}", complaint(&done));
        // One that shows nothing, and one whose name is not let in.
        for options in [&ca[..], &place.options("other")] {
            let refused = run(command, options).await;
            assert_eq!(refused.status.code(), Some(1), "{command:?} {options:?}: {}", complaint(&refused));
        }
    }
    // What was missing is said.
    for command in &commands[7..] {
        let refused = run(command, &ca).await;
        let told = format!("{}{}", String::from_utf8_lossy(&refused.stdout), complaint(&refused));
        assert!(told.contains("CertificateRequired"), "{command:?}: {told}");
    }
    // Nobody vouches for the server.
    for command in &commands[2..4] {
        let refused = run(command, &[]).await;
        assert_eq!(refused.status.code(), Some(1), "{command:?}");
        assert!(complaint(&refused).contains("UnknownIssuer"), "{command:?}: {}", complaint(&refused));
    }
    let refused = run(&commands[3], &[]).await;
    assert!(complaint(&refused).contains("--ca names whoever vouches"), "{}", complaint(&refused));
    let halves = run(&commands[0], &["--cert".to_owned(), place.text("client.crt")]).await;
    assert_eq!(halves.status.code(), Some(2), "a certificate without its key: {}", complaint(&halves));
}

#[tokio::test]
async fn top_refuses_options_of_tls_that_no_server_could_be_asked_with() {
    let place = Place::new();
    let refused = run(&["top", "--once", "--url", "http://127.0.0.1:1"], &place.options("client")).await;
    assert!(complaint(&refused).contains("no --url begins with https://"), "{}", complaint(&refused));
    let absent = place.text("absent.crt");
    let refused = run(&["top", "--once", "--url", "https://127.0.0.1:1", "--ca", &absent], &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains(&format!("--ca {absent}: cannot be read")), "{}", complaint(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_follows_its_files_by_itself() {
    let place = Place::new();
    let server = block_in_place(|| place.serve(&[("RESNETD__TLS__RELOAD_INTERVAL_MS", "100")]));
    let files = ClientTlsFiles { ca: Some(place.at("ca.crt")), identity: None };
    let client = ClientTls::read(&files).unwrap().config(false).unwrap();
    let shown = async || {
        let http = HttpClient::connect_tls(server.http, client.clone()).await.unwrap();
        http.session().unwrap().peer_certificates().unwrap()[0].to_vec()
    };
    let before = shown().await;
    place.servers.issue(&["localhost"]).write(place.path(), "server");
    glance("the new certificate is shown", async || shown().await != before).await;

    // A container's own check needs no name and nobody who vouches.
    let asked = run(&["healthcheck", "--http", &format!("https://{}", server.http)], &[]).await;
    assert_eq!(asked.status.code(), Some(0), "{}", complaint(&asked));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_end_the_start_and_the_check_with_their_name() {
    let place = Place::new();
    fs::write(place.at("server.key"), "").unwrap();
    let config = format!("[tls]\ncert = {:?}\nkey = {:?}\n", place.text("server.crt"), place.text("server.key"));
    fs::write(place.at("resnetd.toml"), config).unwrap();
    let config = place.text("resnetd.toml");
    for command in [
        &["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--config", &config][..],
        &["check-config", "--config", &config],
    ] {
        let refused = run(command, &[]).await;
        assert_eq!(refused.status.code(), Some(1), "{command:?}");
        let told = complaint(&refused);
        assert!(
            told.contains("[tls] key") && told.contains("server.key") && told.contains("BEGIN PRIVATE KEY"),
            "{told}"
        );
    }
}
