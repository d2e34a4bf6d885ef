//! Requests shared out among the versions of a model, mirrored to one of them, and a version that is turned back; through the doors.

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{
        ClassifyRequest, ClassifyStreamRequest, classifier_client::ClassifierClient, classify_stream_response,
    },
};
use serde_json::{Value, json};
use tonic::{Request, metadata::MetadataValue};

use crate::{
    grpc_classify::request,
    support::{
        eventually,
        follower::{Doors, Follower},
        http::HttpClient,
        images::png,
        server::{ReleaseWhenDropped, channel, logits},
        v2::{INFER, SHAPE, VALUES, post_binary, to_bytes, with_input},
    },
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// Two versions of `pets`, of which `settings` names one, and their doors.
struct Shared {
    all: Follower,
    doors: Doors,
    http: HttpClient,
}

impl Shared {
    async fn start(settings: &str) -> Self {
        Self::with(settings, ScriptedExecutor::answering(&logits())).await
    }

    /// * `network`: of version 4
    async fn with(settings: &str, network: ScriptedExecutor) -> Self {
        let all = Follower::of(&["pets/3", "pets/4"]);
        all.write("pets/model.toml", settings);
        all.script.networks.lock().unwrap().insert("pets/4".to_owned(), network);
        all.look().await;
        let doors = all.doors().await;
        let http = HttpClient::connect(doors.http).await;
        Self { all, doors, http }
    }

    async fn rewrite(&self, settings: &str) {
        self.all.write("pets/model.toml", settings);
        self.all.look().await;
    }

    /// The version that answered; `None` where none did.
    async fn ask(&mut self, path: &str, headers: &[(&str, &str)]) -> Option<u64> {
        let answer =
            self.http.request("POST", path, &[&[("content-type", "image/png")], headers].concat(), &png()).await;
        if answer.status == 200 { answer.json()["version"].as_u64() } else { None }
    }

    /// Who answered so many requests without a version: the third, the fourth, nobody.
    async fn answers(&mut self, requests: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..requests {
            let version = self.ask(CLASSIFY, &[]).await;
            counts[version.map_or(2, |version| version as usize - 3)] += 1;
        }
        counts
    }

    /// The sum of a metric's lines with all of these labels.
    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.all.service.metrics_text();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// What `GET /v1/stats` says of a version.
    async fn stats(&mut self, version: u64) -> Value {
        let stats = self.http.get("/v1/stats").await.json();
        stats["models"].as_array().unwrap().iter().find(|model| model["version"] == version).unwrap().clone()
    }

    fn shadowed(&self, outcome: &str) -> f64 {
        self.metric("resnetd_shadow_requests_total", &["version=\"4\"", &format!("outcome=\"{outcome}\"")])
    }

    /// Asks, each time once the answer before was compared, until so many are. Where the machine is busy some are dropped.
    async fn mirror(&mut self, images: usize) -> usize {
        let before = self.told();
        for compared in 1..=images {
            while self.shadowed("compared") < compared as f64 {
                let told = self.told();
                assert_eq!(self.ask(CLASSIFY, &[]).await, Some(3));
                eventually("it is told what became of it", || self.told() > told).await;
            }
        }
        self.told() - before
    }

    /// Images of which it is told what became of them.
    fn told(&self) -> usize {
        self.metric("resnetd_shadow_requests_total", &["version=\"4\""]) as usize
    }
}

/// Whether all were answered, and the versions have their shares, give or take two.
fn near([third, fourth, failed]: [usize; 3], expected: [usize; 2]) -> bool {
    failed == 0 && third.abs_diff(expected[0]) <= 2 && fourth.abs_diff(expected[1]) <= 2
}

#[tokio::test]
async fn a_share_of_the_requests_that_name_no_version_goes_to_another_one() {
    let mut pets = Shared::start("[versions]\nlabels = { canary = 4 }\n[traffic]\nsplit = { canary = 25 }").await;
    assert_eq!(
        pets.all.answering(),
        ["pets/3", "pets/4+canary"],
        "what is named is served beside the latest of the others"
    );
    assert!(near(pets.answers(400).await, [300, 100]));
    for _ in 0..8 {
        assert_eq!(pets.ask("/v1/models/pets/versions/3:classify", &[]).await, Some(3));
        assert_eq!(pets.ask("/v1/models/pets/labels/canary:classify", &[]).await, Some(4));
    }
    let metadata = pets.http.get("/v1/models/pets/metadata").await.json();
    assert_eq!(metadata["version"], 3, "the default one");
    assert_eq!(pets.stats(4).await["traffic"]["share_percent"], 25.0);
    assert!(pets.stats(3).await.get("traffic").is_none());

    pets.rewrite("").await;
    assert_eq!(pets.all.answering(), ["pets/4"]);
    assert_eq!(pets.answers(8).await, [0, 8, 0]);
    assert_eq!(pets.all.script.loads().len(), 2, "nothing was loaded again");
}

/// Those of `user-0` to `user-11` whose place is below 0.3 by Python's `hashlib`: see docs/traffic.md.
const CANARIES: [&str; 3] = ["user-5", "user-7", "user-10"];

#[tokio::test]
async fn users_stay_with_their_version_by_header_and_by_metadata() {
    let mut pets = Shared::start("[traffic]\nsplit = { \"4\" = 30 }\nkey = \"X-User-Id\"").await;
    let mut grpc = ClassifierClient::new(channel(pets.doors.grpc).await);
    let document = with_input(json!({ "name": "input", "shape": SHAPE, "datatype": "FP32", "data": vec![0; VALUES] }));
    for user in (0..12).map(|user| format!("user-{user}")) {
        let expected = if CANARIES.contains(&user.as_str()) { 4 } else { 3 };
        for _ in 0..3 {
            assert_eq!(pets.ask(CLASSIFY, &[("x-user-id", &user)]).await, Some(expected), "{user}");
        }
        let headers = [("content-type", "application/json"), ("X-USER-ID", &user)];
        let answer = pets.http.request("POST", INFER, &headers, document.to_string().as_bytes()).await;
        assert_eq!(answer.json()["model_version"], expected.to_string(), "{user}");
        let value: MetadataValue<_> = user.parse().unwrap();
        let mut call = Request::new(ClassifyRequest { model: "pets".to_owned(), ..request() });
        call.metadata_mut().insert("x-user-id", value.clone());
        assert_eq!(grpc.classify(call).await.unwrap().into_inner().version, expected, "{user}");

        let item = |id: &str| ClassifyStreamRequest {
            id: id.to_owned(),
            request: Some(ClassifyRequest { model: "pets".to_owned(), ..request() }),
            timeout_ms: 0,
        };
        let mut stream = Request::new(tokio_stream::iter([item("a"), item("b")]));
        stream.metadata_mut().insert("x-user-id", value);
        let mut answers = grpc.classify_stream(stream).await.unwrap().into_inner();
        while let Some(answer) = answers.message().await.unwrap() {
            let Some(classify_stream_response::Result::Response(answer)) = answer.result else { panic!("{answer:?}") };
            assert_eq!(answer.version, expected, "{user}");
        }
    }
    assert!(near(pets.answers(100).await, [70, 30]), "whoever says nothing is dealt out evenly");
}

#[tokio::test]
async fn a_version_that_does_not_answer_leaves_its_share_to_the_default_one() {
    let settings = "[traffic]\nsplit = { \"4\" = 50 }";
    let all = Follower::of(&["pets/3"]);
    all.write("pets/model.toml", settings);
    all.look().await;
    let doors = all.doors().await;
    let http = HttpClient::connect(doors.http).await;
    let mut pets = Shared { all, doors, http };
    assert_eq!(pets.answers(10).await, [10, 0, 0]);
    let fallbacks = |pets: &Shared| pets.metric("resnetd_traffic_fallbacks_total", &["version=\"4\""]);
    assert!((3.0..=7.0).contains(&fallbacks(&pets)), "{}", fallbacks(&pets));

    pets.all.script.corrupt.lock().unwrap().push("pets/4".to_owned());
    pets.all.put("pets/4");
    pets.all.look().await;
    assert_eq!(pets.answers(10).await, [10, 0, 0]);
    pets.all.script.corrupt.lock().unwrap().clear();
    pets.all.look().await;
    let before = fallbacks(&pets);
    assert!(near(pets.answers(10).await, [5, 5]));
    assert_eq!(fallbacks(&pets), before);
}

#[tokio::test]
async fn what_is_wrong_with_the_traffic_is_told_and_what_served_goes_on() {
    let mut pets = Shared::start("[traffic]\nsplit = { \"4\" = 50 }").await;
    for (settings, says) in [
        ("[traffic]\nsplit = { \"4\" = 140 }", "`traffic.split.4` is 140, allowed is 0 to 100"),
        ("[traffic]\nsplit = { \"3\" = 90, \"4\" = 50 }", "`traffic.split`: it gives away 140 percent of the requests"),
        ("[traffic]\nsplit = { \"4\" = -1 }", "`traffic.split.4` is -1, allowed is 0 to 100"),
        ("[traffic]\nshadow = -4", "expected a version such as 4, or a label"),
    ] {
        pets.rewrite(settings).await;
        let list = pets.http.get("/v1/models").await.json();
        let reasons: String =
            list["model_versions"].as_array().unwrap().iter().map(|it| it["reason"].to_string()).collect();
        assert!(reasons.contains(says), "{settings}: {reasons}");
        assert!(near(pets.answers(10).await, [5, 5]), "{settings}");
    }
    pets.rewrite("[traffic]\nsplit = { \"9\" = 50 }").await;
    assert_eq!(pets.answers(10).await, [0, 10, 0], "the highest that is not named");
}

#[tokio::test]
async fn a_canary_that_goes_bad_is_turned_back_until_its_settings_change() {
    let guarded = |percent: u64| {
        format!("[traffic]\nsplit = {{ \"4\" = {percent} }}\nguard = {{ max_error_rate = 0.5, min_requests = 4 }}")
    };
    let network = ScriptedExecutor::answering(&logits());
    let mut pets = Shared::with(&guarded(50), network.clone()).await;
    let [_, good, failed] = pets.answers(20).await;
    assert!(good > 4 && failed == 0, "{good}");
    network.fail("an operator that is not there");
    // It has to fail more often than it has succeeded, and that fault is the last that anybody sees.
    let bad = good + 1;
    assert_eq!(pets.answers(100).await, [100 - bad, 0, bad]);
    network.recover();
    assert_eq!(pets.answers(20).await, [20, 0, 0]);
    assert_eq!(pets.ask("/v1/models/pets/versions/4:classify", &[]).await, Some(4), "whoever names it gets it");
    assert_eq!(pets.metric("resnetd_traffic_guard_tripped_total", &["version=\"4\"", "rule=\"max_error_rate\""]), 1.0);
    let says = pets.stats(4).await["traffic"]["turned_back"].as_str().unwrap().to_owned();
    assert!(says.starts_with(&format!("{bad} of {} requests failed (5", bad + good)), "{says}");
    let list = pets.http.get("/v1/models").await.json();
    assert_eq!(list["model_versions"][1]["reason"], says);

    pets.rewrite(&format!("# looked through\n{}", guarded(50))).await;
    assert_eq!(pets.answers(10).await, [10, 0, 0], "they say what they said");
    pets.rewrite(&guarded(40)).await;
    assert!(near(pets.answers(20).await, [12, 8]));
    assert_eq!(pets.stats(4).await["traffic"]["turned_back"], Value::Null);
}

#[tokio::test]
async fn a_version_that_is_loaded_again_begins_anew() {
    let network = ScriptedExecutor::answering(&logits());
    let settings = "[traffic]\nsplit = { \"4\" = 50 }\nguard = { max_error_rate = 0.5, min_requests = 4 }";
    let mut pets = Shared::with(settings, network.clone()).await;
    network.fail("once");
    assert_eq!(pets.answers(40).await, [36, 0, 4]);
    network.recover();
    pets.all.write("pets/4/model.onnx", "another graph");
    pets.all.look().await;
    assert!(near(pets.answers(10).await, [5, 5]));
}

#[tokio::test]
async fn faults_of_clients_are_not_held_against_a_version() {
    let mut pets =
        Shared::start("[traffic]\nsplit = { \"4\" = 50 }\nguard = { max_error_rate = 0.1, min_requests = 4 }").await;
    for _ in 0..20 {
        let answer = pets.http.post(CLASSIFY, "image/png", b"no picture").await;
        assert_eq!(answer.status, 415);
    }
    assert!(near(pets.answers(10).await, [5, 5]));
}

#[tokio::test]
async fn a_shadow_runs_what_was_answered_and_is_in_no_count_of_what_is_served() {
    // The probabilities of the classes are 2, 4, 3 and 1 tenths, and 1, 4, 3 and 2 of the version that answers.
    let network = ScriptedExecutor::answering(&[2.0_f32.ln(), 4.0_f32.ln(), 3.0_f32.ln(), 0.0]);
    let mut pets = Shared::with("[traffic]\nshadow = 4", network).await;
    let asked = pets.mirror(5).await;
    assert_eq!(pets.metric("resnetd_shadow_agreements_total", &["version=\"4\""]), 5.0);
    let distance = pets.metric("resnetd_shadow_probability_distance_sum", &["version=\"4\""]);
    assert!((distance - 0.5).abs() < 1e-6, "{distance}");
    let traffic = &pets.stats(4).await["traffic"];
    assert_eq!((&traffic["shadow_requests"]["compared"], &traffic["share_percent"]), (&Value::from(5), &Value::Null));

    let count = |name: &str, labels: &[&str]| pets.metric(name, labels) as usize;
    assert_eq!(count("resnetd_requests_total", &["model=\"pets\""]), asked);
    assert_eq!(count("resnetd_requests_total", &["version=\"4\""]), 0);
    for histogram in
        ["resnetd_batch_size_count", "resnetd_inference_duration_seconds_count", "resnetd_queue_duration_seconds_count"]
    {
        assert_eq!(count(histogram, &["model=\"pets\""]), asked, "{histogram}");
    }
    let stats = pets.stats(4).await;
    assert_eq!((&stats["batches"], &stats["service_times"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!(stats["queue"]["load_ratio"], 0.0);
    let statistics = pets.http.get("/v2/models/pets/versions/4/stats").await.json();
    assert_eq!(statistics["model_stats"][0]["inference_count"], 0, "{statistics}");
    assert_eq!(statistics["model_stats"][0]["execution_count"], 0, "{statistics}");
}

#[tokio::test]
async fn a_shadow_that_hangs_holds_nobody_up_and_what_comes_is_dropped() {
    let network = ScriptedExecutor::blocked(&logits());
    let _release = ReleaseWhenDropped(network.clone());
    let mut pets = Shared::with("[traffic]\nshadow = 4", network.clone()).await;
    assert_eq!(pets.answers(20).await, [20, 0, 0]);
    let dropped = |pets: &Shared| pets.shadowed("busy") + pets.shadowed("loaded");
    assert!(dropped(&pets) >= 19.0 && pets.shadowed("compared") == 0.0);
    network.release();
    eventually("the one that hung is done", || pets.told() == 20).await;
    pets.mirror(2).await;
    // What fails there is its own affair, too.
    network.fail("once");
    assert_eq!(pets.answers(1).await, [1, 0, 0]);
}

#[tokio::test]
async fn tensors_are_mirrored_as_they_are() {
    let mut pets = Shared::start("[traffic]\nshadow = 4").await;
    let floats = to_bytes(&[0.25; VALUES]);
    let size = json!({ "binary_data_size": floats.len() });
    let document = with_input(json!({ "name": "input", "shape": SHAPE, "datatype": "FP32", "parameters": size }));
    for _ in 0..200 {
        let answer = post_binary(&mut pets.http, INFER, &document, &floats).await;
        assert_eq!(answer.status, 200);
        let told = || ["compared", "busy", "loaded"].iter().map(|outcome| pets.shadowed(outcome)).sum::<f64>() > 0.0;
        eventually("it is told what became of it", told).await;
        if pets.shadowed("compared") > 0.0 {
            break;
        }
    }
    assert!(pets.shadowed("compared") > 0.0 && pets.shadowed("unlike") == 0.0);
    assert_eq!(pets.metric("resnetd_shadow_probability_distance_sum", &[]), 0.0);
}

#[tokio::test]
async fn a_shadow_that_says_something_else_is_turned_back_with_its_share() {
    let network = ScriptedExecutor::answering(&[9.0, 0.0, 0.0, 0.0]);
    let settings = "[traffic]\nsplit = { \"4\" = 0 }\nshadow = 4\nguard = { min_agreement = 0.9, min_requests = 3 }";
    let mut pets = Shared::with(settings, network).await;
    pets.mirror(3).await;
    eventually("it is turned back", || {
        pets.metric("resnetd_traffic_guard_tripped_total", &["rule=\"min_agreement\""]) == 1.0
    })
    .await;
    assert_eq!(
        pets.stats(4).await["traffic"]["turned_back"],
        "0 of 3 mirrored images got the default version's class (0.00 %)"
    );
    assert_eq!(pets.answers(5).await, [5, 0, 0]);
    assert_eq!(pets.shadowed("compared"), 3.0, "it mirrors nothing any more");
}
