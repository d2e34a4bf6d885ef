//! Keys on the command line: made, listed and revoked, shown by clients, and nothing open by chance.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

use resnetd::{auth::Right, server::DoorOptions};

use crate::support::{
    keys::{Keys, entry, wanting, with_rights},
    managed::Managed,
    program::resnetd,
};

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
