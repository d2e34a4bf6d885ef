//! Models come and go: what clients and operators are promised while they do.

use std::{
    collections::BTreeSet,
    sync::{Arc, Barrier, Condvar, Mutex},
    time::{Duration, Instant},
};

use resnetd::{
    batching::{Inside, Priority, Submission},
    lifecycle::{Lifecycle, LoadModel, LoadOptions, Source, WantedModel},
    model::{LoadStep, LoadSteps, LoadedModel, ModelInfo, ModelState, RESNET20_CIFAR10},
    runtime::{Executor, RunError, scripted::ScriptedExecutor},
    service::{RequestLimits, Service},
    telemetry::Metrics,
    tensor::{Batch, Logits, Pixels},
    tune::PaceJudge,
};

use crate::support::{
    PATIENCE, eventually,
    images::{self, SIDE},
    server::{MODEL, TestServer, logits, scripted_model},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// A network that takes its time to be freed, and tells on which thread it was.
struct Heavy {
    network: ScriptedExecutor,
    freeing: Arc<Freeing>,
}

#[derive(Default)]
struct Freeing {
    threads: Mutex<Vec<String>>,
    allowed: Mutex<bool>,
    changed: Condvar,
}

impl Freeing {
    fn allow(&self) {
        *self.allowed.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn threads(&self) -> Vec<String> {
        self.threads.lock().unwrap().clone()
    }
}

impl Executor for Heavy {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        self.network.run(batch, logits)
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        self.freeing.threads.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
        let allowed = self.freeing.allowed.lock().unwrap();
        drop(self.freeing.changed.wait_timeout_while(allowed, PATIENCE, |allowed| !*allowed).unwrap());
    }
}

fn heavy(version: u64, freeing: &Arc<Freeing>) -> LoadedModel {
    let network = ScriptedExecutor::answering(&logits());
    scripted_model(version, Heavy { network, freeing: freeing.clone() }, 64, 8)
}

/// All of Tokio runs on the thread of this test: had it to wait for the old network, nothing at all would be answered.
#[tokio::test]
async fn a_version_is_swapped_under_load_and_the_old_one_is_freed_where_nobody_waits() {
    let server = TestServer::start().await;
    let freeing = Arc::new(Freeing::default());
    server.lifecycle.serve(heavy(4, &freeing)).await;
    let mut http = server.http().await;
    let version = |answer: crate::support::http::Answer| answer.json()["version"].as_u64();
    assert_eq!(version(http.post(CLASSIFY, "image/png", &images::png()).await), Some(4));

    let load = tokio::spawn(async move {
        for _ in 0..100 {
            assert_eq!(http.post(CLASSIFY, "image/png", &images::png()).await.status, 200);
        }
    });
    // The same name and version again: what a reload puts there.
    server.lifecycle.serve(heavy(4, &Arc::default())).await;
    load.await.expect("every request is answered");

    eventually("the old network is being freed", || !freeing.threads().is_empty()).await;
    assert_eq!(freeing.threads(), ["pets/0"], "on the thread that ran it");
    assert_eq!(server.http().await.get("/livez").await.status, 200);
    freeing.allow();
}

#[tokio::test]
async fn a_request_is_answered_by_the_version_that_it_came_for() {
    let server = TestServer::start().await;
    let network = ScriptedExecutor::blocked(&logits());
    let _release = crate::support::server::ReleaseWhenDropped(network.clone());
    server.lifecycle.serve(scripted_model(4, network.clone(), 64, 8)).await;
    let mut http = server.http().await;
    let waiting = tokio::spawn(async move { http.post(CLASSIFY, "image/png", &images::png()).await });
    eventually("the request is in flight", || server.in_flight() == 1).await;

    server.lifecycle.serve(scripted_model(5, ScriptedExecutor::answering(&logits()), 64, 8)).await;
    let newer = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;
    assert_eq!(newer.json()["version"], 5);

    network.release();
    assert_eq!(waiting.await.expect("no panic").json()["version"], 4);
}

/// A network that is as slow as it is told, and busy all the time.
struct Slow(ScriptedExecutor);

impl Executor for Slow {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        self.0.run(batch, logits)
    }
}

/// Measured as a thousand times as fast as it is. What is measured anew is another architecture.
struct Mismeasured;

impl LoadModel for Mismeasured {
    fn load(&self, _: &WantedModel, _: &LoadSteps) -> Result<LoadedModel, String> {
        let mut loaded = scripted_model(1, Slow(ScriptedExecutor::answering(&logits())), 64, 1);
        loaded.pace = Some(PaceJudge::with_patience(1e6, Duration::from_millis(20)));
        Ok(loaded)
    }

    fn measure_anew(&self, wanted: &WantedModel, steps: &LoadSteps) -> Result<LoadedModel, String> {
        let mut loaded = self.load(wanted, steps)?;
        let mut info = ModelInfo::clone(&loaded.model.info);
        info.architecture = "measured-anew".into();
        loaded.model.info = Arc::new(info);
        Ok(loaded)
    }
}

#[tokio::test]
async fn a_model_at_another_speed_than_was_measured_is_measured_anew_while_it_serves() {
    let (service, writer) = Service::new(RequestLimits::default(), 1, Metrics::default());
    let options = LoadOptions { watch_interval: Duration::from_millis(10), ..LoadOptions::default() };
    let lifecycle = Lifecycle::start(writer, Mismeasured, options).unwrap();
    lifecycle.apply(vec![wanted(MODEL)]).await;
    let architecture = || service.find(MODEL, None).unwrap().info.unwrap().architecture.clone();
    assert_eq!(&*architecture(), "resnet20-cifar");

    // Its queue is never empty until the model has been replaced.
    let clients = (0..4).map(|_| async {
        while &*architecture() != "measured-anew" {
            let target = service.target(MODEL, None).unwrap();
            let pixels = Pixels::new(SIDE, SIDE, vec![0; 3 * (SIDE * SIDE) as usize]).unwrap();
            let input = target.shape().pixels(pixels).unwrap();
            let submission = Submission {
                input,
                announced: None,
                deadline: None,
                priority: Priority::DEFAULT,
                client: None,
                inside: Inside::Nothing,
                place: None,
            };
            target.model().batcher.submit(submission).unwrap().await.unwrap();
        }
    });
    let served = futures_util::future::join_all(clients);
    tokio::time::timeout(PATIENCE, served).await.expect("it is measured anew");
    drop(tokio::task::spawn_blocking(move || lifecycle.close(PATIENCE)).await.unwrap());
}

/// What a loader of the tests does with a model, by its name.
struct Scripted {
    side_by_side: Barrier,
}

impl LoadModel for Scripted {
    fn load(&self, wanted: &WantedModel, steps: &LoadSteps) -> Result<LoadedModel, String> {
        match &*wanted.name {
            "panics" => panic!("no such layer"),
            "hangs" => {
                steps.begin(LoadStep::Reading);
                steps.begin(LoadStep::WarmingUp);
                loop {
                    std::thread::park();
                }
            }
            "fails" => Err("its graph is empty".to_owned()),
            name if name.starts_with("pair") => {
                self.side_by_side.wait();
                Ok(loaded(name))
            }
            name => Ok(loaded(name)),
        }
    }
}

fn loaded(name: &str) -> LoadedModel {
    let mut loaded = scripted_model(1, ScriptedExecutor::answering(&logits()), 64, 8);
    loaded.model.name = name.into();
    loaded
}

fn wanted(name: &str) -> WantedModel {
    WantedModel { name: name.into(), version: 1, source: Source::BuiltIn(&RESNET20_CIFAR10, Box::default()) }
}

fn start(threads: usize, time_limit: Duration) -> (Service, Lifecycle) {
    let (service, writer) = Service::new(RequestLimits::default(), 1, Metrics::default());
    let loader = Scripted { side_by_side: Barrier::new(2) };
    let lifecycle =
        Lifecycle::start(writer, loader, LoadOptions { threads, time_limit, ..LoadOptions::default() }).unwrap();
    (service, lifecycle)
}

fn reason(service: &Service, name: &str) -> String {
    match service.find(name, None).unwrap().state {
        ModelState::Failed(reason) => reason,
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn models_load_side_by_side() {
    let (service, lifecycle) = start(2, PATIENCE);
    // Each waits inside its load until the other is there.
    lifecycle.apply(vec![wanted("pair-a"), wanted("pair-b")]).wait();
    let states: BTreeSet<_> = service.list().iter().map(|model| format!("{:?}", model.state)).collect();
    assert!(!states.contains("Loading"), "{states:?}");
    lifecycle.close(PATIENCE).unwrap();
}

#[test]
fn a_load_that_panics_fails_or_never_ends_is_the_failure_of_its_own_model() {
    let (service, lifecycle) = start(1, Duration::from_secs(3));
    lifecycle.apply(["panics", "hangs", "fails", MODEL].map(wanted).into()).wait();
    assert!(reason(&service, "panics").contains("no such layer"), "{}", reason(&service, "panics"));
    let hangs = reason(&service, "hangs");
    assert!(hangs.contains("left behind") && hangs.contains("warming up for"), "{hangs}");
    let fails = reason(&service, "fails");
    assert!(fails.starts_with("its graph is empty; it is tried again in "), "{fails}");
    assert_eq!(service.find(MODEL, None).unwrap().state, ModelState::Available);
}

#[test]
fn what_is_no_longer_wanted_is_retired_and_what_stays_is_not_loaded_again() {
    let (service, lifecycle) = start(1, PATIENCE);
    lifecycle.apply(vec![wanted(MODEL), wanted("fails")]).wait();
    let before = service.target(MODEL, None).unwrap();

    lifecycle.apply(vec![wanted(MODEL)]).wait();

    assert!(service.find("fails", None).is_err());
    let after = service.target(MODEL, None).unwrap();
    assert!(std::ptr::eq(before.model(), after.model()), "the same network answers");
    drop((before, after));
    lifecycle.close(PATIENCE).unwrap();
}

#[test]
fn closing_does_not_wait_for_a_load_and_names_it() {
    let (service, lifecycle) = start(1, PATIENCE * 4);
    drop(lifecycle.apply(vec![wanted("hangs")]));
    let begun = Instant::now();
    let still_running = lifecycle.close(PATIENCE * 2).unwrap_err();
    assert_eq!(still_running.to_string(), "still running: loading hangs version 1");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(service.list().is_empty());
}

#[test]
fn closing_waits_for_every_network_and_names_what_does_not_end() {
    let (service, lifecycle) = start(1, PATIENCE);
    let freeing = Arc::new(Freeing::default());
    lifecycle.serve(heavy(7, &freeing)).wait();
    assert_eq!(service.find(MODEL, None).unwrap().version, 7);

    let still_running = lifecycle.close(Duration::from_millis(50)).unwrap_err();

    assert_eq!(still_running.to_string(), "still running: pets version 7");
    assert!(service.list().is_empty());
    freeing.allow();
}
