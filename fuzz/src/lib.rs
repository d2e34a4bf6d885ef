//! What the targets share: weight files made around the fuzzer's bytes, so that it need not find checksums, lengths and names by chance.

#[path = "../../tests/it/support/scripted_model.rs"]
mod scripted_model;

use std::{
    cell::RefCell,
    fs,
    io::{Cursor, Write as _},
    os::unix::fs::PermissionsExt as _,
    panic::{self, Location},
    path::PathBuf,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use resnetd::{
    auth::{KeyRing, OidcOptions, ShownKey, TokenIssuer, all_models, is_token, usual_rights},
    lifecycle::{Lifecycle, LoadModel, LoadOptions, WantedModel},
    model::{LoadSteps, LoadedModel},
    resnet::{check, detect, import},
    runtime::scripted::ScriptedExecutor,
    server,
    service::{RequestLimits, Service, Target},
    telemetry::{KeyMetrics, Metrics},
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The most images of a request: so many and one more may come out of a body.
const MAX_IMAGES: usize = 8;

/// Takes a body apart as `POST :classify` does.
pub fn take_apart(content_type: &str, body: Bytes) {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().build().expect("no thread is started");
        static SERVICE: Service = {
            let limits = RequestLimits { max_images_per_request: MAX_IMAGES, ..RequestLimits::default() };
            Service::new(limits, 1, Metrics::new(false)).0
        };
    }
    let taken = SERVICE
        .with(|service| RUNTIME.with(|runtime| runtime.block_on(server::take_apart(service, content_type, body))));
    if let Ok(images) = taken {
        assert!(images <= MAX_IMAGES + 1, "{images} images");
    }
    SERVICE.with(|service| assert_eq!(service.in_flight_bytes(), 0, "what was charged is given back"));
}

/// libFuzzer ends at every panic, also where it is caught. Those of other people's readers are, by the server: from now on a panic in one of these crates
/// is no finding, unless it gets out.
///
/// * `crates`: the beginnings of their names
pub fn guarded_panics_are_no_findings(crates: &'static [&str]) {
    let ends = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", Location::file);
        if !crates.iter().any(|name| file.contains(&format!("/{name}-"))) {
            ends(panic);
        }
    }));
}

/// Nothing is loaded here; what is served is put there.
struct NoLoader;

impl LoadModel for NoLoader {
    fn load(&self, _: &WantedModel, _: &LoadSteps) -> Result<LoadedModel, String> {
        Err("nothing is loaded".to_owned())
    }
}

/// A service with one model; its thread lives as long as the process.
struct Served {
    service: Service,
    target: Target,
    _lifecycle: Lifecycle,
}

impl Served {
    fn start() -> Self {
        let limits = RequestLimits { max_images_per_request: MAX_IMAGES, ..RequestLimits::default() };
        let (service, writer) = Service::new(limits, 1, Metrics::new(false));
        let lifecycle = Lifecycle::start(writer, NoLoader, LoadOptions::default()).expect("a thread");
        let network = ScriptedExecutor::answering(&[0.0; scripted_model::LABELS.len()]);
        let runtime = Builder::new_current_thread().build().expect("no thread is started");
        let model = scripted_model::scripted_model(1, network, MAX_IMAGES, MAX_IMAGES);
        runtime.block_on(async { lifecycle.serve(model).await });
        let target = service.target(scripted_model::MODEL, None).expect("it is served");
        Self { service, target, _lifecycle: lifecycle }
    }
}

/// Has the one model's service take something apart.
fn with_a_model(take: impl FnOnce(&Service, &Target) -> Result<usize, String>) {
    thread_local! {
        static SERVED: Served = Served::start();
    }
    SERVED.with(|Served { service, target, .. }| {
        if let Ok(items) = take(service, target) {
            assert!(items <= MAX_IMAGES, "{items} items");
        }
        assert_eq!(service.in_flight_bytes(), 0, "what was charged is given back");
    });
}

/// Takes a body apart as `POST /v2/models/{model}/infer` does.
///
/// * `json_length`: what the header says of it
pub fn take_inference_apart(json_length: Option<usize>, body: Bytes) {
    with_a_model(|service, target| server::take_inference_apart(service, target, json_length, body));
}

/// Takes a JSON body apart as `POST :predict` does.
pub fn take_prediction_apart(json: &[u8]) {
    with_a_model(|service, target| server::take_prediction_apart(service, target, json));
}

/// Reads `bytes` as `resnetd build auto --weights FILE` does, as far as the graph.
pub fn import(bytes: &[u8]) {
    thread_local! {
        // In memory where the system has such a folder: a run is a write and a read.
        static FOLDER: RefCell<Option<(TempDir, PathBuf)>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let (_, path) = folder.get_or_insert_with(|| {
            let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a folder");
            let path = folder.path().join("weights");
            (folder, path)
        });
        fs::write(&*path, bytes).expect("the file is written");
        if let Ok(imported) = import::read(path)
            && let Ok(architecture) = detect(&imported.state_dict)
        {
            let _ = check(&architecture, &imported.state_dict);
        }
    });
}

/// A zip archive of these entries.
pub fn archive<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(name, stored).expect("a new name");
        zip.write_all(bytes).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}

/// The one key that counts.
const KNOWN: &[u8] = b"resnetd_known";

/// Its hash, SHA-256, as a file of keys has it.
const KEY_FILE: &str =
    "[[keys]]\nname = \"known\"\nhash = \"sha256:f256c0301aa36ee6da6754decb62a2b99b92b83b25d9b00c23a8995ae3db3d16\"\n";

thread_local! {
    static RING: KeyRing = {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.toml");
        fs::write(&path, KEY_FILE).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its rights");
        KeyRing::read(&path, KeyMetrics::default()).expect("a file of keys")
    };
}

/// Shows headers: the first byte says how many of the lines that follow are `x-api-key`, and the others are `authorization`.
///
/// # Panics
/// Where something else than the key comes in, or what was taken for a key stands in none of the headers.
pub fn show_key(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else { return };
    let lines: Vec<_> = rest.split(|byte| *byte == b'\n').collect();
    let (x_api_key, authorization) = lines.split_at(usize::from(*count).min(lines.len()));
    let ShownKey::Key(shown) = ShownKey::of(x_api_key.iter().copied(), authorization.iter().copied()) else { return };
    assert!(!shown.is_empty() && lines.iter().any(|line| line.windows(shown.len()).any(|part| part == shown)));
    assert_eq!(RING.with(|ring| ring.find(shown).is_some()), shown == KNOWN);
}

thread_local! {
    /// Its keys are at a place where nobody is, so no token can count.
    static ISSUER: TokenIssuer = {
        let second = Duration::from_secs(1);
        let options = OidcOptions {
            issuer: "http://127.0.0.1:1/realms/main".to_owned(),
            audiences: vec!["resnetd".to_owned()],
            jwks_url: None,
            ca: None,
            token_file: None,
            name_claim: "/act/sub".to_owned(),
            rights: usual_rights(),
            models: all_models(),
            grants: Vec::new(),
            leeway: second,
            refresh_interval: second * 3_600,
            min_refresh_interval: second * 3_600,
            fetch_timeout: second,
        };
        TokenIssuer::start(&options, KeyMetrics::default()).expect("a thread")
    };
}

/// Shows a token: header, claims and signature are lines, which are put into base64 here; so the fuzzer need not find that by chance. A first byte
/// that is odd leaves everything as it is.
///
/// # Panics
/// Where it comes in.
pub fn show_token(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let token = match kind % 2 {
        0 => {
            rest.splitn(3, |byte| *byte == b'\n').map(|part| URL_SAFE_NO_PAD.encode(part)).collect::<Vec<_>>().join(".")
        }
        _ => String::from_utf8_lossy(rest).into_owned(),
    };
    is_token(token.as_bytes());
    ISSUER.with(|issuer| assert!(issuer.find(token.as_bytes(), false).is_err()));
}
