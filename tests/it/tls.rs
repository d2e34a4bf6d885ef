//! TLS at the doors: what is agreed on, who is let in, certificates that change under open connections, and what is no TLS.

use std::{fs, io, os::unix::fs::symlink, path::Path, time::Duration};

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    tls::{ClientTls, ClientTlsFiles, Look, ServerTls, TlsFiles},
};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, crypto::ring, pki_types::pem::PemObject as _};
use tempfile::TempDir;
use tracing::level_filters::LevelFilter;

use crate::support::{
    certificates::{Authority, Issued, VALID},
    eventually,
    http::HttpClient,
    images,
    kept_log::KeptLog,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// A folder with a server's files.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) authority: Authority,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new("servers") };
        place.authority.issue(&["localhost"]).write(place.path(), "server");
        fs::write(place.path().join("ca.crt"), place.authority.pem()).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { cert: self.path().join("server.crt"), key: self.path().join("server.key"), ..TlsFiles::default() }
    }

    /// The same, where clients with a certificate of `clients` are let in.
    pub(crate) fn files_for(&self, clients: &Authority, allowed_names: &[&str]) -> TlsFiles {
        let client_ca = self.path().join("clients.crt");
        fs::write(&client_ca, clients.pem()).unwrap();
        let allowed_names = allowed_names.iter().map(|name| (*name).to_owned()).collect();
        TlsFiles { client_ca: Some(client_ca), allowed_names, ..self.files() }
    }

    pub(crate) fn client(&self, shown: Option<&Issued>) -> ClientConfig {
        let identity = shown.map(|shown| shown.write(self.path(), "client"));
        let files = ClientTlsFiles { ca: Some(self.path().join("ca.crt")), identity };
        ClientTls::read(&files).unwrap().config(false).unwrap()
    }
}

async fn serving(files: TlsFiles) -> (TestServer, ServerTls) {
    let tls = ServerTls::read(files).unwrap();
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let server = server.options(|options| options.tls = Some(tls.clone())).start().await;
    (server, tls)
}

/// Whether a request is answered. Under TLS 1.3 a refused client learns of it only when it reads.
async fn is_let_in(server: &TestServer, client: ClientConfig) -> io::Result<()> {
    let mut http = HttpClient::connect_tls(server.http_address, client).await?;
    match http.is_ready().await? {
        200 => Ok(()),
        status => panic!("not ready: {status}"),
    }
}

fn speaking(mut client: ClientConfig, names: &[&str]) -> ClientConfig {
    client.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    client
}

#[tokio::test]
async fn each_door_agrees_on_what_it_speaks() {
    let place = Place::new();
    let (server, _) = serving(place.files()).await;
    for (address, offered, agreed) in [
        (server.http_address, &["h2", "http/1.1"][..], Some("h2")),
        (server.http_address, &["http/1.1"], Some("http/1.1")),
        (server.http_address, &[], None),
        (server.grpc_address, &["h2"], Some("h2")),
    ] {
        let client = speaking(place.client(None), offered);
        let http = HttpClient::connect_tls(address, client).await.unwrap();
        let session = http.session().unwrap();
        assert_eq!(session.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }
    let refused = HttpClient::connect_tls(server.grpc_address, speaking(place.client(None), &["http/1.1"])).await;
    assert!(refused.err().unwrap().to_string().contains("NoApplicationProtocol"));

    let mut http = HttpClient::connect_tls(server.http_address, place.client(None)).await.unwrap();
    assert_eq!(http.get("/readyz").await.status, 200);
    let answer = http.post(CLASSIFY, "image/png", &images::png()).await;
    assert_eq!(answer.json()["predictions"][0]["classes"][0]["label"], "tabby", "{}", answer.json());
}

#[tokio::test]
async fn the_oldest_version_is_what_the_settings_say() {
    let place = Place::new();
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(place.authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
    let old = builder.with_root_certificates(roots).with_no_client_auth();

    let (server, _) = serving(place.files()).await;
    is_let_in(&server, old.clone()).await.unwrap();
    let (server, _) = serving(TlsFiles { only_1_3: true, ..place.files() }).await;
    assert!(is_let_in(&server, old).await.is_err());
    is_let_in(&server, place.client(None)).await.unwrap();
}

#[tokio::test]
async fn a_client_comes_in_by_its_certificate_and_by_a_name_in_it() {
    let place = Place::new();
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    let front = clients.issue(&["front.example.com"]);
    let web = clients.issue(&["spiffe://cluster.local/ns/web/sa/front"]);
    let unknown = clients.issue(&["back.example.com", "spiffe://cluster.local/ns/web/sa/back"]);
    let expired = clients.issue_for(&["front.example.com"], (2020, 2021));

    let (server, _) = serving(place.files_for(&clients, &[])).await;
    for in_ in [&front, &web, &unknown] {
        is_let_in(&server, place.client(Some(in_))).await.unwrap();
    }
    is_let_in(&server, place.client(None)).await.unwrap_err();
    is_let_in(&server, place.client(Some(&others.issue(&["front.example.com"])))).await.unwrap_err();

    let names = ["front.example.com", "spiffe://cluster.local/ns/web/sa/front"];
    let (server, _) = serving(place.files_for(&clients, &names)).await;
    for in_ in [&front, &web] {
        is_let_in(&server, place.client(Some(in_))).await.unwrap();
    }
    is_let_in(&server, place.client(Some(&unknown))).await.unwrap_err();
    is_let_in(&server, place.client(None)).await.unwrap_err();

    // Told to whoever wanted to show it, so this one is as if it had come from elsewhere.
    let files = ClientTlsFiles { ca: None, identity: Some(expired.write(place.path(), "client")) };
    let refused = ClientTls::read(&files).err().unwrap().to_string();
    assert!(refused.contains("--cert") && refused.contains("expired") && refused.contains("renew"), "{refused}");
}

/// The first certificate that the server shows.
async fn shown(server: &TestServer, place: &Place) -> Vec<u8> {
    let http = HttpClient::connect_tls(server.http_address, place.client(None)).await.unwrap();
    http.session().unwrap().peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_secret_whose_link_is_swapped_is_shown_to_new_connections_and_open_ones_go_on() {
    let place = Place::new();
    let at = |name: &str| place.path().join(name);
    // As the kubelet lays a secret out.
    for version in ["..first", "..second"] {
        fs::create_dir(at(version)).unwrap();
        place.authority.issue(&["localhost"]).write(&at(version), "tls");
    }
    symlink("..first", at("..data")).unwrap();
    symlink("..data/tls.crt", at("tls.crt")).unwrap();
    symlink("..data/tls.key", at("tls.key")).unwrap();
    let (server, tls) = serving(TlsFiles { cert: at("tls.crt"), key: at("tls.key"), ..TlsFiles::default() }).await;
    let mut open = HttpClient::connect_tls(server.http_address, place.client(None)).await.unwrap();
    assert_eq!(open.get("/readyz").await.status, 200);
    let first = shown(&server, &place).await;
    assert_eq!(tls.look(), Look::Same);

    symlink("..second", at("..new")).unwrap();
    fs::rename(at("..new"), at("..data")).unwrap();
    assert_eq!(tls.look(), Look::Settling);
    assert_eq!(tls.look(), Look::Taken);
    assert_eq!(tls.look(), Look::Same);
    assert_ne!(shown(&server, &place).await, first);
    assert_eq!(open.post(CLASSIFY, "image/png", &images::png()).await.status, 200, "the connection is the same");
}

/// On one thread, so that its log is the server's as well.
#[tokio::test]
async fn what_is_half_written_mismatched_or_expired_leaves_the_old_certificate_and_is_told_of_once() {
    let kept = KeptLog::up_to(LevelFilter::INFO);
    let errors = || kept.lines().into_iter().filter(|line| line.contains(" ERROR ")).collect::<Vec<_>>();
    let place = Place::new();
    let (server, tls) = serving(place.files()).await;
    let first = shown(&server, &place).await;
    let whole = place.authority.issue(&["localhost"]);
    let expired = place.authority.issue_for(&["localhost"], (2020, 2021));
    let wrong = [
        (
            "is no whole PEM file",
            "cert",
            Issued { cert: whole.cert[..whole.cert.len() / 2].to_owned(), ..whole.clone() },
        ),
        ("is no whole PEM file", "key", Issued { key: whole.key[..whole.key.len() / 2].to_owned(), ..whole.clone() }),
        ("does not belong to", "key", Issued { key: expired.key.clone(), ..whole.clone() }),
        ("expired", "cert", expired),
        ("has no certificate", "cert", Issued { cert: String::new(), key: String::new() }),
    ];
    let told = |setting: &str, what: &str| {
        let file = place.path().join(if setting == "cert" { "server.crt" } else { "server.key" });
        let last = errors().pop().unwrap_or_default();
        assert!(last.contains(&format!("[tls] {setting} {}: {what}", file.display())), "{setting} {what}: {last}");
        assert!(last.ends_with("until then the certificate from before is shown"), "{last}");
    };
    let count = wrong.len();
    for (what, setting, files) in wrong {
        files.write(place.path(), "server");
        assert_eq!(tls.look(), Look::Settling, "{setting} {what}");
        assert_eq!((tls.look(), tls.look()), (Look::Refused, Look::Refused), "{setting} {what}");
        assert_eq!(shown(&server, &place).await, first, "{setting} {what}");
        told(setting, what);
    }
    fs::remove_file(place.path().join("server.key")).unwrap();
    assert_eq!((tls.look(), tls.look()), (Look::Settling, Look::Refused));
    told("key", "cannot be read");
    whole.write(place.path(), "server");
    assert_eq!(tls.look_at_once(), Look::Taken, "where somebody says so, at once");
    assert_ne!(shown(&server, &place).await, first);
    assert_eq!(errors().len(), count + 1, "once each: {:#?}", errors());
}

#[tokio::test]
async fn clients_of_an_authority_that_was_taken_away_stay_out() {
    let place = Place::new();
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let client = place.client(Some(&before.issue(&["front"])));
    let files = place.files_for(&before, &[]);
    let (server, tls) = serving(files.clone()).await;
    // Were sessions resumed, this one would let it in later.
    is_let_in(&server, client.clone()).await.unwrap();
    fs::write(files.client_ca.unwrap(), after.pem()).unwrap();
    assert_eq!(tls.look_at_once(), Look::Taken);
    is_let_in(&server, client).await.unwrap_err();
}

#[test]
fn each_refusal_names_the_file_and_what_to_do() {
    let place = Place::new();
    let at = |name: &str| place.path().join(name);
    let good = place.authority.issue(&["localhost"]);
    place.authority.issue_for(&["localhost"], (2020, 2021)).write(place.path(), "expired");
    place.authority.issue_for(&["localhost"], (2100, VALID.1)).write(place.path(), "future");
    fs::write(at("half.crt"), &good.cert[..good.cert.len() / 2]).unwrap();
    fs::write(
        at("encrypted.key"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    fs::write(at("no.crt"), "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
    fs::write(at("empty"), "").unwrap();
    for (cert, key, words) in [
        ("missing.crt", "server.key", ["[tls] cert", "missing.crt", "name a PEM file"]),
        ("empty", "server.key", ["[tls] cert", "empty", "BEGIN CERTIFICATE"]),
        ("half.crt", "server.key", ["[tls] cert", "half.crt", "write it anew"]),
        ("no.crt", "server.key", ["[tls] cert", "no.crt", "ask whoever issued it"]),
        ("expired.crt", "expired.key", ["[tls] cert", "expired.crt", "renew it"]),
        ("future.crt", "future.key", ["[tls] cert", "future.crt", "look at the clock"]),
        ("server.crt", "expired.key", ["[tls] key", "expired.key", "from one issue"]),
        ("server.crt", "encrypted.key", ["[tls] key", "encrypted.key", "openssl pkey"]),
        ("server.crt", "missing.key", ["[tls] key", "missing.key", "name a PEM file"]),
    ] {
        let files = TlsFiles { cert: at(cert), key: at(key), ..TlsFiles::default() };
        let refused = ServerTls::read(files).err().unwrap().to_string();
        assert!(words.iter().all(|word| refused.contains(word)), "{cert} {key}: {refused}");
        assert!(!refused.contains("MIIB"), "a key is told to nobody: {refused}");
    }
    let none: &[&str] = &[];
    for (client_ca, names, words) in [
        ("missing", none, ["[tls] client_ca", "missing"]),
        ("empty", none, ["[tls] client_ca", "empty"]),
        ("ca.crt", &["two words"], ["[tls] allowed_names", "two words"]),
    ] {
        let allowed_names = names.iter().map(|name| (*name).to_owned()).collect();
        let files = TlsFiles { client_ca: Some(at(client_ca)), allowed_names, ..place.files() };
        let refused = ServerTls::read(files).err().unwrap().to_string();
        assert!(words.iter().all(|word| refused.contains(word)), "{client_ca}: {refused}");
    }
}

/// Connections of a door that came to no TLS.
fn failed(server: &TestServer) -> u32 {
    let text = server.service.metrics_text();
    let line = text.lines().find_map(|line| line.strip_prefix("resnetd_failed_handshakes_total{door=\"http\"} "));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn a_client_that_speaks_without_tls_is_told_and_counted() {
    let place = Place::new();
    let (server, _) = serving(place.files()).await;
    let mut http = server.http().await;
    http.send_raw(b"GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let answer = http.answer("GET").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["code"], "INVALID_ARGUMENT");
    assert!(answer.json()["error"].as_str().unwrap().contains("https://"));
    assert!(http.is_closed().await);
    let mut nonsense = server.http().await;
    nonsense.send_raw(&[0xff; 64]).await;
    assert!(nonsense.is_closed().await);
    // The server waits a moment for the rest of what the first one says.
    drop((http, nonsense));
    eventually("both are counted", || failed(&server) == 2).await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_is_cut() {
    let place = Place::new();
    let tls = ServerTls::read(place.files()).unwrap();
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let server = server.options(|options| {
        options.tls = Some(tls);
        options.handshake_timeout = Duration::from_millis(50);
    });
    let server = server.start().await;
    let mut silent = server.http().await;
    let mut half = server.http().await;
    half.send_raw(&[0x16, 0x03, 0x01, 0x40, 0x00]).await;
    assert!(silent.is_closed().await && half.is_closed().await);
}

#[tokio::test]
async fn a_client_that_left_gives_up_its_place_under_tls_too() {
    let place = Place::new();
    let network = ScriptedExecutor::blocked(&logits());
    let tls = ServerTls::read(place.files()).unwrap();
    let server = TestServer::builder(network.clone()).options(|options| options.tls = Some(tls)).start().await;
    let connect = || HttpClient::connect_tls(server.http_address, place.client(None));
    let (png, typed) = (images::png(), [("content-type", "image/png")]);
    let mut first = connect().await.unwrap();
    first.send("POST", CLASSIFY, &typed, &png).await;
    eventually("the first request is in flight", || server.in_flight() == 1).await;
    let mut second = connect().await.unwrap();
    second.send("POST", CLASSIFY, &typed, &png).await;
    eventually("both requests are in flight", || server.in_flight() == 2).await;
    // With a farewell, as clients do; it comes as one more record.
    second.close_sending().await;
    drop(second);
    eventually("the place is free", || server.in_flight() == 1).await;
    // A next request is no farewell, and it is answered in its turn.
    first.send("GET", "/livez", &[], b"").await;
    network.release();
    assert_eq!(first.answer("POST").await.status, 200);
    assert_eq!(first.answer("GET").await.status, 200);
}
