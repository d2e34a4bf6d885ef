//! Keys on the command line: made, listed and revoked, shown by clients, and nothing open by chance.

use std::{
    fs,
    io::{Read as _, pipe},
    os::unix::fs::PermissionsExt as _,
    process::Output,
    thread,
    time::Duration,
};

use bytes::Bytes;
use resnetd::{auth::Right, server::DoorOptions};
use tokio::{task::block_in_place, time::timeout};

use crate::support::{
    certificates::Authority,
    grpc::{Connection, framed},
    http::HttpClient,
    keys::{Keys, entry, wanting, with_rights},
    managed::Managed,
    process::Process,
    program::{ServerProcess, glance, resnetd},
};

/// A revoked key is refused within a second; a machine that has much else to do gets more.
const SOON: Duration = Duration::from_secs(10);

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_key_is_printed_once_listed_by_its_name_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let file = path.to_str().unwrap();
    let run = |arguments: &[&str]| resnetd(&["keys"]).args(arguments).args(["--file", file]).output().unwrap();
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    let added = run(&["add", "front", "--for", "pets,birds", "--rights", "classify", "--images-per-second", "50"]);
    let key = text(&added.stdout).trim().to_owned();
    assert!(key.starts_with("resnetd_") && !key.contains(' '), "{added:?}");
    assert!(text(&added.stderr).contains("kept nowhere"), "{added:?}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&path).unwrap().contains(&key[8..]));
    done(&["add", "ops", "--rights", "read,manage"]);

    let expected = [
        "NAME   RIGHTS       MODELS      REQUESTS/S  IMAGES/S  IN FLIGHT",
        "front  classify     pets,birds           -        50          -",
        "ops    read,manage  *                    -         -          -",
    ];
    assert_eq!(done(&["list"]).lines().collect::<Vec<_>>(), expected);
    assert_eq!(done(&["revoke", "front"]), "front: revoked\n");
    for (wrong, words) in [
        (&["add", "ops"][..], "revoke that one first"),
        (&["revoke", "front"], "there are: ops"),
        (&["add", "a b"], "up to 64 letters"),
        (&["add", "other", "--requests-per-second", "-1"], ""),
    ] {
        let output = run(wrong);
        assert!(!output.status.success() && text(&output.stderr).contains(words), "{output:?}");
    }
    let unnamed = resnetd(&["keys", "list"]).output().unwrap();
    assert!(text(&unnamed.stderr).contains("--file"), "{unnamed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_beside_a_server_is_refused_soon_on_connections_that_stay_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let file = path.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = resnetd(&["keys"]).args(arguments).args(["--file", file]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).trim().to_owned()
    };
    let settings = [("RESNETD__AUTH__KEYS_FILE", file), ("RESNETD__RUNTIME__TUNE", "false")];
    let (front, back, server) =
        block_in_place(|| (run(&["add", "front"]), run(&["add", "back"]), Process::start(settings)));
    // Neither is ever opened again.
    let (mut http, mut grpc) = (HttpClient::connect(server.http).await, Connection::open(server.grpc).await);
    let nothing: Bytes = framed(0, b"");
    let mut ask = async |key: &str| {
        let over_http = http.request("GET", "/v1/models", &[("x-api-key", key)], b"").await;
        let over_grpc = grpc.call("/resnetd.v1.Classifier/ListModels", &[("x-api-key", key)], nothing.clone()).await;
        (over_http.status, over_grpc.get("grpc-status").to_owned())
    };
    let is = |answers: &(u16, String), status: u16, code: &str| answers.0 == status && answers.1 == code;
    let answered = ask(&front).await;
    assert!(is(&answered, 200, "0"), "{answered:?}");

    block_in_place(|| run(&["revoke", "front"]));

    let refused = glance("both connections are refused", async || {
        let (status, code) = ask(&front).await;
        assert!([200, 401].contains(&status) && ["0", "16"].contains(&&*code), "{status} {code}");
        (status, &*code) == (401, "16")
    });
    timeout(SOON, refused).await.expect("it is refused within seconds");
    let others = ask(&back).await;
    assert!(is(&others, 200, "0"), "the others stay: {others:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_commands_show_a_key_out_of_a_file_or_the_environment() {
    let keys = Keys::new();
    let [front, ops] = [entry("front"), with_rights("ops", &[Right::Manage])].map(|entry| keys.add(entry));
    let options = DoorOptions { auth: Some(wanting(&keys.ring())), ..DoorOptions::default() };
    let managed = Managed::start_with(options).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, format!("{ops}\n")).unwrap();
    let file = file.to_str().unwrap();
    let run = async |arguments: &[&str], key: &str| -> Output {
        let mut command = resnetd(arguments);
        if !key.is_empty() {
            command.env("RESNETD_API_KEY", key);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let (http, management) = (format!("http://{}", managed.http), managed.management.to_string());

    let loaded = run(&["models", "--url", &management, "load", "birds", "--api-key-file", file], "").await;
    assert!(loaded.status.success(), "{loaded:?}");
    let refused = run(&["models", "--url", &management, "unload", "birds"], &front).await;
    assert!(text(&refused.stderr).contains("this needs `manage`"), "{refused:?}");
    let refused = run(&["models", "--url", &management, "list"], "").await;
    assert!(text(&refused.stderr).contains("a key is wanted"), "{refused:?}");

    let seen = run(&["top", "--once", "--url", &http], &front).await;
    assert!(seen.status.success() && text(&seen.stdout).contains("pets"), "{seen:?}");
    let none = run(&["top", "--once", "--url", &http], "").await;
    assert!(!none.status.success(), "{none:?}");
    for protocol in ["http1", "grpc"] {
        let load =
            ["bench", "--url", &http, "--protocol", protocol, "--requests", "4", "--connections", "1", "--warmup", "0"];
        let loaded = run(&load, &front).await;
        assert!(loaded.status.success(), "{loaded:?}");
        let refused = run(&load, "resnetd_wrong").await;
        assert!(!refused.status.success() && !text(&refused.stderr).contains("resnetd_wrong"), "{refused:?}");
    }
    assert!(run(&["healthcheck", "--http", &http], "").await.status.success());

    let bad = run(&["models", "--url", &management, "list", "--api-key-file", "/dev/null"], "").await;
    assert!(text(&bad.stderr).contains("--api-key-file /dev/null"), "{bad:?}");
    let bad = run(&["models", "--url", &management, "list"], "two words").await;
    assert!(
        text(&bad.stderr).contains("RESNETD_API_KEY: is no key") && !text(&bad.stderr).contains("words"),
        "{bad:?}"
    );
}

#[test]
fn management_beyond_this_machine_without_a_key_does_not_start() {
    for command in ["serve", "check-config"] {
        let output = resnetd(&[command]).env("RESNETD__SERVER__MANAGEMENT", "0.0.0.0:0").output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("`server.management`: is 0.0.0.0:0"), "{output:?}");
        assert!(said.contains("resnetd keys add") && said.contains("tls.client_ca"), "{said}");
    }
}

#[test]
fn check_config_names_each_address_where_anybody_is_answered_or_keys_come_without_tls() {
    let (keys, folder) = (Keys::new(), tempfile::tempdir().unwrap());
    let (cert, key) = Authority::new("servers").issue(&["localhost"]).write(folder.path(), "server");
    let paths = [keys.path(), cert, key];
    let [file, cert, key] = paths.each_ref().map(|path| path.to_str().unwrap());
    let keyed = [("AUTH__KEYS_FILE", file), ("SERVER__MANAGEMENT", "0.0.0.0:8002")];
    let under_tls = [&keyed[..], &[("TLS__CERT", cert), ("TLS__KEY", key)]].concat();
    let open = "warning: server.http is 0.0.0.0:8000, and whoever reaches it is answered, without a key: docs/keys.md";
    let readable = [
        "warning: server.http is 0.0.0.0:8000, and keys and tokens come there without TLS: docs/keys.md",
        "warning: server.management is 0.0.0.0:8002, and keys and tokens come there without TLS: docs/keys.md",
    ];
    let (without, quiet): (&[(&str, &str)], &[&str]) = (&[], &[]);
    for (settings, expected) in [(without, &[open][..]), (&keyed, &readable), (&under_tls, quiet)] {
        let mut command = resnetd(&["check-config"]);
        command.env("RESNETD__SERVER__HTTP", "0.0.0.0:8000");
        for (name, value) in settings {
            command.env(format!("RESNETD__{name}"), value);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = text(&output.stderr);
        let warnings: Vec<_> = said.lines().filter(|line| line.starts_with("warning: server.")).collect();
        assert_eq!(warnings, expected, "{settings:?}");
    }
}

#[tokio::test]
async fn a_start_tells_of_addresses_where_anybody_is_answered_or_keys_come_without_tls() {
    let keys = Keys::new();
    let path = keys.path();
    let everywhere = ("RESNETD__SERVER__HTTP", "0.0.0.0:0");
    let keyed = ("RESNETD__AUTH__KEYS_FILE", path.to_str().unwrap());
    let turned_off = ("RESNETD__LOG__LEVEL", "info,cleartext=off");
    let (open, readable) = ("is answered, without a key", "come to these addresses without TLS");
    for (settings, is_open, is_readable) in [
        (&[everywhere][..], true, false),
        (&[everywhere, keyed], false, true),
        (&[everywhere, keyed, turned_off], false, false),
    ] {
        let (mut reader, writer) = pipe().unwrap();
        let log = thread::spawn(move || {
            let mut log = String::new();
            reader.read_to_string(&mut log).map(|_| log)
        });
        let server = ServerProcess::start_without_address(settings, writer).await;
        let address = format!("addresses=server.http = 0.0.0.0:{}", server.http_address.port());
        assert_eq!(server.stop().await.code(), Some(0));
        let log = log.join().unwrap().unwrap();
        let is_told = |what: &str| log.lines().any(|line| line.contains(what) && line.contains(&address));
        assert_eq!((is_told(open), is_told(readable)), (is_open, is_readable), "{settings:?}: {log}");
    }
}

#[test]
fn a_file_of_keys_with_wrong_rights_or_words_is_refused_at_the_start() {
    let keys = Keys::new();
    let path = keys.path();
    let check = || resnetd(&["check-config"]).env("RESNETD__AUTH__KEYS_FILE", &path).output().unwrap();
    assert!(check().status.success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(text(&check().stderr).contains("chmod go-w"), "{:?}", check());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "[[keys]]\nname = \"front\"\n").unwrap();
    assert!(text(&check().stderr).contains("[auth] keys_file"), "{:?}", check());
}
