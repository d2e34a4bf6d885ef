//! The same picture twice: rows that are kept, and runs that several requests share.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{ClassifyRequest, inference::ModelStatisticsRequest},
    service::{Answer, ClassesWanted, Error, ErrorKind, Priority, Request, RequestLimits, TraceContext, Wanted},
};

use crate::support::{
    eventually,
    images::{gray, png},
    server::{MODEL, TestServer, logits, scripted_model},
};
use crate::v2_grpc;

const CLASSIFY: &str = "/v1/models/pets:classify";

async fn keeping(network: &ScriptedExecutor) -> TestServer {
    let limits = RequestLimits { cache_bytes: 1 << 20, ..RequestLimits::default() };
    TestServer::builder(network.clone()).limits(limits).start().await
}

async fn sharing(network: &ScriptedExecutor) -> TestServer {
    let limits = RequestLimits { single_flight: true, ..RequestLimits::default() };
    TestServer::builder(network.clone()).limits(limits).start().await
}

/// Asks for one picture of this gray.
async fn ask(server: &TestServer, gray_value: u8, deadline: Option<Instant>) -> Result<Answer, Error> {
    let target = server.service.target(MODEL, None)?;
    let request = Request {
        items: vec![target.picture(gray(gray_value))],
        target,
        wanted: Wanted::classes(ClassesWanted::default()),
        deadline,
        priority: Priority::DEFAULT,
        client: None,
        charge: server.service.open_charge()?,
        trace: TraceContext::new("test"),
    };
    server.service.answer(request).await
}

/// The value of a series, 0 where there is none.
fn metric(server: &TestServer, series: &str) -> u64 {
    let text = server.service.metrics_text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a count"))
}

#[tokio::test]
async fn a_picture_that_was_answered_is_not_run_again_whatever_is_asked_of_it() {
    let network = ScriptedExecutor::answering(&logits());
    let server = keeping(&network).await;
    let mut http = server.http().await;

    let first = http.post(CLASSIFY, "image/png", &png()).await.json();
    let again = http.post(&format!("{CLASSIFY}?top_k=1"), "image/png", &png()).await.json();
    let other = http.post(CLASSIFY, "image/png", &gray(7)).await.json();
    let outputs = http.post(&format!("{CLASSIFY}?outputs=logits"), "image/png", &png()).await.json();

    assert_eq!(first.get("cached"), None);
    assert_eq!(again["cached"], true);
    assert_eq!(again["batch_size"], 0);
    assert_eq!(again["predictions"][0]["classes"][0], first["predictions"][0]["classes"][0]);
    assert_eq!(again["predictions"][0]["classes"].as_array().map(Vec::len), Some(1));
    assert_eq!(other.get("cached"), None);
    assert_eq!(outputs["cached"], true);
    let request = |images| ClassifyRequest { model: MODEL.to_owned(), images, ..ClassifyRequest::default() };
    let mut grpc = server.grpc().await;
    assert!(grpc.classify(request(vec![png(), gray(7)])).await.expect("an answer").into_inner().cached);
    let mixed = grpc.classify(request(vec![png(), gray(8)])).await.expect("an answer").into_inner();
    assert!(!mixed.cached && mixed.batch_size == 1, "one of them was run");
    assert_eq!(network.batch_sizes(), [1, 1, 1]);
    assert_eq!(metric(&server, "resnetd_cache_hits_total{model=\"pets\"}"), 5);
    assert_eq!(metric(&server, "resnetd_cache_misses_total{model=\"pets\"}"), 3);
    assert!(metric(&server, "resnetd_cache_bytes") > 0);
}

#[tokio::test]
async fn tritons_statistics_say_who_found_a_picture_kept_and_who_looked_in_vain() {
    let network = ScriptedExecutor::answering(&logits());
    let server = keeping(&network).await;
    let mut http = server.http().await;
    let mut grpc = server.grpc().await;
    let many = |images| ClassifyRequest { model: MODEL.to_owned(), images, ..ClassifyRequest::default() };
    // In vain, found, found together with another, in vain since one of two is not there.
    http.post(CLASSIFY, "image/png", &png()).await.json();
    http.post(CLASSIFY, "image/png", &png()).await.json();
    assert!(grpc.classify(many(vec![png(), png()])).await.expect("an answer").into_inner().cached);
    assert!(!grpc.classify(many(vec![png(), gray(8)])).await.expect("an answer").into_inner().cached);

    let stats = http.get("/v2/models/pets/stats").await.json();
    let stats = &stats["model_stats"][0]["inference_stats"];
    let count = |name: &str| stats[name]["count"].as_u64().expect("a count");
    let names = ["success", "queue", "cache_hit", "cache_miss", "compute_input", "compute_infer", "compute_output"];
    assert_eq!(names.map(count), [4, 4, 2, 2, 2, 2, 2], "{stats}");
    let time = |name: &str| stats[name]["ns"].as_u64().expect("a time");
    assert!(time("cache_hit") > 0 && time("cache_miss") > 0, "{stats}");
    let parts = ["queue", "cache_hit", "cache_miss", "compute_input", "compute_infer", "compute_output"];
    assert!(parts.map(time).iter().sum::<u64>() <= time("success"), "the parts are parts of the whole: {stats}");

    let mut triton = v2_grpc::client(&server).await;
    let asked = ModelStatisticsRequest { name: MODEL.to_owned(), version: String::new() };
    let told = triton.model_statistics(asked).await.expect("an answer").into_inner();
    let told = told.model_stats[0].inference_stats.expect("it is there");
    let of = |duration: Option<resnetd::server::grpc::proto::inference::StatisticDuration>| {
        duration.map(|it| (it.count, it.ns)).expect("it is there")
    };
    assert_eq!(of(told.cache_hit), (2, time("cache_hit")));
    assert_eq!(of(told.cache_miss), (2, time("cache_miss")));
    assert_eq!(of(told.compute_infer).0, 2);
}

#[tokio::test]
async fn without_a_cache_nobody_has_looked() {
    let server = sharing(&ScriptedExecutor::answering(&logits())).await;
    let mut http = server.http().await;
    http.post(CLASSIFY, "image/png", &png()).await.json();
    let stats = http.get("/v2/models/pets/stats").await.json();
    let stats = &stats["model_stats"][0]["inference_stats"];
    let counts = ["success", "cache_hit", "cache_miss", "compute_infer"].map(|name| stats[name]["count"].clone());
    assert_eq!(counts, [1, 0, 0, 1], "{stats}");
}

#[tokio::test]
async fn a_version_that_is_served_anew_answers_for_itself() {
    let (old, new) = (ScriptedExecutor::answering(&logits()), ScriptedExecutor::answering(&logits()));
    let server = keeping(&old).await;
    assert!(!ask(&server, 1, None).await.expect("an answer").cached);
    assert!(ask(&server, 1, None).await.expect("an answer").cached);
    server.lifecycle.serve(scripted_model(3, new.clone(), 64, 1)).await;
    assert!(!ask(&server, 1, None).await.expect("an answer").cached);
    assert_eq!((old.batch_sizes(), new.batch_sizes()), (vec![1], vec![1]));
}

#[tokio::test]
async fn a_run_that_failed_is_not_kept() {
    let network = ScriptedExecutor::answering(&logits());
    let server = keeping(&network).await;
    network.panic();
    assert_eq!(ask(&server, 1, None).await.expect_err("a panic").kind, ErrorKind::Internal);
    network.recover();
    assert!(!ask(&server, 1, None).await.expect("an answer").cached);

    let infinite = ScriptedExecutor::answering(&[f32::INFINITY; 4]);
    server.lifecycle.serve(scripted_model(4, infinite.clone(), 64, 1)).await;
    for _ in 0..2 {
        assert_eq!(ask(&server, 1, None).await.expect_err("no numbers").kind, ErrorKind::Internal);
    }
    assert_eq!(infinite.batch_sizes(), [1, 1]);
}

#[tokio::test]
async fn requests_for_the_same_at_the_same_time_share_one_run() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = sharing(&network).await;
    let asked = join_all((0..5).map(|_| ask(&server, 1, None)));
    let other = ask(&server, 2, None);
    let release = async {
        eventually("all are in work", || server.in_flight() == 6).await;
        network.release();
    };

    let (answers, other, ()) = futures_util::join!(asked, other, release);

    assert!(other.is_ok());
    let classes = answers.into_iter().map(|answer| answer.map(|answer| (answer.cached, answer.predictions)));
    let classes: Vec<_> = classes.collect::<Result<_, _>>().expect("answers");
    assert!(classes.iter().all(|answer| *answer == classes[0]) && !classes[0].0);
    assert_eq!(network.batch_sizes(), [1, 1]);
    assert_eq!(metric(&server, "resnetd_shared_runs_total{model=\"pets\"}"), 4);
    assert!(ask(&server, 1, None).await.is_ok());
    assert_eq!(network.batch_sizes().len(), 3, "nothing is kept");
}

#[tokio::test]
async fn a_shared_run_goes_on_without_the_client_that_began_it() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = sharing(&network).await;
    let mut first = Box::pin(ask(&server, 1, None));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    let mut second = Box::pin(ask(&server, 1, None));
    assert!(futures_util::poll!(second.as_mut()).is_pending());

    drop(first);
    network.release();

    assert!(second.await.is_ok());
    assert_eq!(network.batch_sizes(), [1]);
}

#[tokio::test]
async fn nobody_is_refused_for_the_deadline_of_the_one_that_began_the_run() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = sharing(&network).await;
    let mut busy = Box::pin(ask(&server, 1, None));
    assert!(futures_util::poll!(busy.as_mut()).is_pending());
    network.wait_for_batches(1);
    let first = ask(&server, 2, Some(Instant::now() + Duration::from_millis(100)));
    let second = ask(&server, 2, None);
    let release = async {
        eventually("all are in work", || server.in_flight() == 3).await;
    };
    let mut second = Box::pin(second);
    let mut first = Box::pin(first);
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    release.await;

    assert_eq!(first.await.expect_err("the network is busy").kind, ErrorKind::DeadlineExceeded);
    network.release();

    assert!(second.await.is_ok() && busy.await.is_ok());
}

#[tokio::test]
async fn a_panic_of_the_engine_is_told_to_all_who_share_the_run() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = sharing(&network).await;
    let asked = join_all((0..3).map(|_| ask(&server, 1, None)));
    let release = async {
        eventually("all are in work", || server.in_flight() == 3).await;
        network.panic();
        network.release();
    };
    let (answers, ()) = futures_util::join!(asked, release);
    for answer in answers {
        assert_eq!(answer.expect_err("a panic").kind, ErrorKind::Internal);
    }
    network.recover();
    assert!(ask(&server, 1, None).await.is_ok());
}
