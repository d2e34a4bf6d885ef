//! A server whose model comes from the hub, as a process: it builds what it has fetched, starts without the hub, waits for one in trouble, and takes what is new.

use std::{
    fs::{self, File},
    path::Path,
};

use resnetd::resnet;
use tempfile::TempDir;

use crate::support::{
    hub::{Behaviour, TestHub, listener, safetensors},
    images,
    program::{ServerProcess, ended, glance, resnetd},
};

/// As the hub is asked with it.
const TOKEN: &str = "secret";

const REPOSITORY: &str = "hf://timm/resnet18.tv_in1k";

fn weights(seed: u64) -> Vec<u8> {
    safetensors(&resnet::untrained(&"resnet18".parse().unwrap(), seed))
}

/// What a server is told: where the hub is, and where to keep what comes of it.
fn settings<'a>(endpoint: &'a str, [downloads, cache]: [&'a str; 2]) -> [(&'static str, &'a str); 9] {
    [
        ("RESNETD__MODELS__DIR", REPOSITORY),
        ("RESNETD__MODELS__CACHE_DIR", cache),
        ("RESNETD__MODELS__SETTLE_MS", "100"),
        ("RESNETD__MODELS__WATCH_INTERVAL_MS", "100"),
        ("RESNETD__BATCHING__MAX_BATCH_SIZE", "1"),
        ("RESNETD__LOG__LEVEL", "debug"),
        ("HF_ENDPOINT", endpoint),
        ("HF_HUB_CACHE", downloads),
        ("HF_TOKEN", TOKEN),
    ]
}

struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn start(&self, endpoint: &str, log: &str) -> ServerProcess {
        let [downloads, cache] = ["downloads", "cache"].map(|name| self.path(name));
        let log = File::create(self.0.path().join(log)).unwrap();
        ServerProcess::start(&settings(endpoint, [&downloads, &cache]), log).await
    }

    fn log(&self, name: &str) -> String {
        let log = fs::read_to_string(self.0.path().join(name)).unwrap();
        assert!(!log.contains(TOKEN), "the token is in no log:\n{log}");
        log
    }
}

/// The version that answers.
async fn answers(server: &ServerProcess) -> u64 {
    let answer = server.http().await.post("/v1/models/resnet18:classify", "image/jpeg", &images::cifar("cat")).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let answer = answer.json();
    assert_eq!(answer["architecture"], "resnet18", "{answer}");
    answer["version"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_of_the_hub_are_built_and_served_without_it_and_what_is_new_there_is_the_next_version() {
    let (first, machine) = (weights(3), Machine::new());
    let hub = TestHub::start(&first, first.clone(), &[]);
    let server = machine.start(&hub.endpoint, "first.log").await;
    assert_eq!(answers(&server).await, 1);
    let fetched = hub.ranges().len();

    // SIGHUP asks again, and nothing that is known is fetched or built once more.
    let asked = hub.seen().len();
    server.send(libc::SIGHUP);
    glance("the hub is asked again", async || hub.seen().len() > asked).await;
    hub.publish(weights(4));
    server.send(libc::SIGHUP);
    glance("the new weights have taken over", async || answers(&server).await == 2).await;
    assert_eq!(hub.ranges().len(), fetched + 1, "each weights once");
    assert_eq!(server.stop().await.code(), Some(0));
    let log = machine.log("first.log");
    let built = log.lines().filter(|line| line.contains("built of weights from the hub")).count();
    assert_eq!(built, 2, "{log}");

    // A port that was free a moment ago, and that nobody listens on.
    let nowhere = format!("http://{}", listener().local_addr().unwrap());
    let server = machine.start(&nowhere, "away.log").await;
    assert_eq!(answers(&server).await, 2);
    assert_eq!(server.stop().await.code(), Some(0));
    let log = machine.log("away.log");
    assert!(log.contains("come from the cache, unasked: cannot reach"), "{log}");

    // Without the downloads as well: what was built is enough.
    fs::remove_dir_all(machine.path("downloads")).unwrap();
    hub.behave(&[Behaviour::HubSays(503)]);
    let server = machine.start(&hub.endpoint, "trouble.log").await;
    assert_eq!(answers(&server).await, 2);
    assert_eq!(server.stop().await.code(), Some(0));
    let log = machine.log("trouble.log");
    assert!(log.contains("status 503; the hub is in trouble: try again later; what was built before goes on"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_in_trouble_at_the_first_start_is_waited_for() {
    let (file, machine) = (weights(3), Machine::new());
    let hub = TestHub::start(&file, file.clone(), &[Behaviour::HubSays(503)]);
    let recovers = async {
        glance("the hub is asked", async || !hub.seen().is_empty()).await;
        hub.behave(&[Behaviour::BreaksOffAfter(1_000_000)]);
    };
    let (server, ()) = tokio::join!(machine.start(&hub.endpoint, "log"), recovers);
    assert_eq!(answers(&server).await, 1);
    assert_eq!(hub.ranges(), ["bytes=0-", "bytes=1000000-"], "what broke off goes on");
    assert_eq!(server.stop().await.code(), Some(0));
    let log = machine.log("log");
    assert!(log.contains("status 503; the hub is in trouble: try again later; nothing of it is here"), "{log}");
}

#[tokio::test]
async fn a_hub_that_wants_a_token_ends_the_first_start_with_the_remedy() {
    let machine = Machine::new();
    let hub = TestHub::start(b"", Vec::new(), &[Behaviour::HubSays(401)]);
    let [downloads, cache] = ["downloads", "cache"].map(|name| machine.path(name));
    let log = File::create(machine.path("log")).unwrap();
    let mut command = resnetd(&["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.envs(settings(&hub.endpoint, [&downloads, &cache])).stderr(log);
    let mut child = command.spawn().unwrap();
    assert_eq!(ended(&mut child).await.code(), Some(1));
    let log = machine.log("log");
    assert!(log.contains("status 401; set HF_TOKEN to a token that may read it"), "{log}");
    assert!(!Path::new(&cache).join("hf-timm-resnet18.tv_in1k-main").exists(), "nothing was begun");
}
