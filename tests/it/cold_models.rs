//! Models that are loaded when somebody asks for them: who waits, who is told how long it takes, and what makes room.

use std::{
    fs,
    time::{Duration, Instant},
};

use resnetd::{
    batching::Priority,
    model::ModelState,
    service::{
        Asker, ClassesWanted, Error, ErrorKind, ManageModels as _, Readiness, Request, Service, Target, VersionPick,
        Wanted,
    },
    telemetry::{Protocol, TraceContext},
};
use tokio::task::JoinHandle;

use crate::support::{PATIENCE, eventually, follower::Follower, images};

/// A request that comes now and waits for its version.
async fn ask(service: &Service, model: &str, version: Option<u64>, deadline: Option<Instant>) -> Result<Target, Error> {
    let arrival = service.arrive(Protocol::Http, model, version, &Asker::default(), Instant::now());
    let outcome = arrival.warmed(deadline).await;
    arrival.finish(outcome.as_ref().err().map(|_| "REFUSED"));
    outcome
}

/// So many requests that wait side by side.
fn asking(all: &Follower, model: &'static str, count: usize) -> Vec<JoinHandle<Result<Target, Error>>> {
    let one = |service: Service| tokio::spawn(async move { ask(&service, model, None, None).await });
    (0..count).map(|_| one(all.service.clone())).collect()
}

async fn served(all: &Follower, model: &str) -> Target {
    ask(&all.service, model, None, None).await.expect("it is loaded")
}

fn not_loaded(all: &Follower, model: &str) -> String {
    match all.service.find(model, None).unwrap().state {
        ModelState::NotLoaded(reason) => reason,
        other => panic!("{model} is {other:?}"),
    }
}

fn has_metric(all: &Follower, line: &str) -> bool {
    all.service.metrics_text().lines().any(|it| it == line)
}

fn hold(all: &Follower, version: &str) {
    all.script.held.lock().unwrap().push(version.to_owned());
}

#[tokio::test]
async fn models_are_listed_without_a_load_and_one_load_serves_all_who_ask() {
    let all = Follower::on_demand(&["pets/1", "birds/1"], |_| ());
    hold(&all, "pets/1");
    all.look().await;
    all.lifecycle.set_ready().await;
    assert_eq!(all.service.readiness(), Readiness::Ready);
    assert!(all.script.loads().is_empty() && all.answering().is_empty());
    assert!(not_loaded(&all, "pets").contains("the first request loads it"));
    let refusal = all.service.target("birds", None).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Unavailable);
    assert!(refusal.message.contains("resnetd models load birds"), "{}", refusal.message);

    let waiting = asking(&all, "pets", 5);
    eventually("five wait", || has_metric(&all, "resnetd_waiting_for_load_requests{model=\"pets\"} 5")).await;
    eventually("it is being loaded", || all.script.loads() == ["pets/1"]).await;
    assert!(not_loaded(&all, "pets").contains("being loaded"));
    all.script.release();
    for target in waiting {
        assert_eq!(&*target.await.unwrap().unwrap().model().name, "pets");
    }
    assert_eq!(&*served(&all, "pets").await.model().name, "pets");
    assert_eq!(all.script.loads(), ["pets/1"], "once");
    assert!(has_metric(&all, "resnetd_model_loads_total{model=\"pets\",version=\"1\"} 1"));
    assert!(not_loaded(&all, "birds").contains("not loaded yet"));
    let answered = "resnetd_requests_total{model=\"pets\",version=\"1\",protocol=\"http\",code=\"OK\"} 6";
    assert!(has_metric(&all, answered), "{}", all.service.metrics_text());
}

#[tokio::test]
async fn who_cannot_wait_so_long_is_told_how_long_it_takes_and_the_load_goes_on() {
    let all = Follower::on_demand(&["pets/1"], |_| ());
    hold(&all, "pets/1");
    all.look().await;
    let soon = || Some(Instant::now() + Duration::from_millis(1));
    let refusal = ask(&all.service, "pets", None, soon()).await.unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Unavailable);
    assert!(refusal.message.contains("not known before its first load"), "{}", refusal.message);
    eventually("it is being loaded", || all.script.loads() == ["pets/1"]).await;
    all.script.release();
    eventually("it is loaded", || all.answering() == ["pets/1"]).await;

    // Its memory is given back; how long its load took is known now, and longer than no time at all.
    all.manager.unload("pets").await.unwrap();
    assert!(not_loaded(&all, "pets").contains("unloaded by a call"));
    hold(&all, "pets/1");
    let refusal = ask(&all.service, "pets", None, Some(Instant::now())).await.unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Unavailable);
    assert!(refusal.message.contains(" s from now on, by its last load"), "{}", refusal.message);
    assert!(refusal.retry_after.is_some_and(|delay| delay >= Duration::from_secs(1)));
    all.script.release();
    eventually("it is loaded all the same", || all.answering() == ["pets/1"]).await;
    assert_eq!(all.script.loads(), ["pets/1", "pets/1"]);
}

#[tokio::test]
async fn the_least_used_model_makes_room_and_its_description_stays() {
    let all = Follower::on_demand(&["pets/1", "birds/1", "fish/1"], |limits| limits.max_loaded = Some(2));
    all.look().await;
    for model in ["pets", "birds", "pets"] {
        drop(served(&all, model).await);
    }
    drop(served(&all, "fish").await);
    assert_eq!(all.answering(), ["fish/1", "pets/1"]);
    let status = all.service.find("birds", None).unwrap();
    let reason = not_loaded(&all, "birds");
    assert!(reason.contains("to make room") && reason.contains("max_loaded is 2"), "{reason}");
    assert!(status.info.is_some());
    assert!(has_metric(&all, "resnetd_model_evictions_total{model=\"birds\",version=\"1\"} 1"));
    drop(served(&all, "birds").await);
    assert_eq!(all.answering(), ["birds/1", "fish/1"]);
    assert_eq!(all.script.loads(), ["pets/1", "birds/1", "fish/1", "birds/1"]);
}

#[tokio::test]
async fn what_is_in_flight_is_never_unloaded_and_where_all_is_a_new_model_is_refused_with_what_to_set() {
    let all = Follower::on_demand(&["pets/1", "birds/1", "fish/1"], |limits| limits.max_loaded = Some(2));
    all.look().await;
    let pets = served(&all, "pets").await;
    drop(served(&all, "birds").await);
    let fish = served(&all, "fish").await;
    assert_eq!(all.answering(), ["fish/1", "pets/1"], "pets is in use");
    let refusal = ask(&all.service, "birds", None, None).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.retry_after), (ErrorKind::Unavailable, Some(Duration::from_secs(1))));
    assert!(refusal.message.contains("[models] max_loaded is 2"), "{}", refusal.message);
    assert!(not_loaded(&all, "birds").contains("no room"), "and the list says so");

    for target in [pets, fish] {
        let request = Request {
            items: vec![target.picture(images::png())],
            target,
            wanted: Wanted::classes(ClassesWanted::default()),
            deadline: None,
            priority: Priority::DEFAULT,
            client: None,
            charge: all.service.open_charge().unwrap(),
            trace: TraceContext::new("cold"),
        };
        assert_eq!(all.service.answer(request).await.unwrap().predictions.len(), 1);
    }
    // Nobody uses the others any more.
    let loaded = async { while ask(&all.service, "birds", None, None).await.is_err() {} };
    tokio::time::timeout(PATIENCE, loaded).await.expect("there is room");
}

#[tokio::test]
async fn a_load_waits_for_room_while_what_is_loaded_is_in_use() {
    let all = Follower::on_demand(&["pets/1", "birds/1"], |limits| {
        (limits.max_loaded, limits.patience) = (Some(1), Duration::from_secs(3600));
    });
    all.look().await;
    let pets = served(&all, "pets").await;
    let waiting = asking(&all, "birds", 2);
    eventually("two wait", || has_metric(&all, "resnetd_waiting_for_load_requests{model=\"birds\"} 2")).await;
    assert_eq!((all.answering(), all.script.loads().len()), (vec!["pets/1".to_owned()], 1));
    drop(pets);
    for target in waiting {
        assert_eq!(&*target.await.unwrap().unwrap().model().name, "birds");
    }
    assert_eq!(all.answering(), ["birds/1"]);
}

#[tokio::test]
async fn a_load_that_fails_tells_all_who_wait_its_reason_and_is_not_tried_at_every_request() {
    let all = Follower::on_demand(&["pets/1"], |_| ());
    hold(&all, "pets/1");
    all.script.corrupt.lock().unwrap().push("pets/1".to_owned());
    all.look().await;
    let waiting = asking(&all, "pets", 3);
    eventually("three wait", || has_metric(&all, "resnetd_waiting_for_load_requests{model=\"pets\"} 3")).await;
    all.script.release();
    for outcome in waiting {
        let refusal = outcome.await.unwrap().unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::NotFound);
        assert!(refusal.message.contains("its graph is cut off; it is tried again in "), "{}", refusal.message);
    }
    assert!(ask(&all.service, "pets", None, None).await.is_err());
    assert_eq!(all.script.loads(), ["pets/1"]);

    // Somebody mends it, and says so.
    all.script.corrupt.lock().unwrap().clear();
    all.look().await;
    assert!(not_loaded(&all, "pets").contains("the first request loads it"));
    assert_eq!(&*served(&all, "pets").await.model().name, "pets");
}

#[tokio::test]
async fn an_unversioned_request_means_the_highest_version_whatever_is_loaded_and_another_where_that_fails() {
    let all = Follower::on_demand(&["pets/1", "pets/2", "pets/3"], |_| ());
    all.write("pets/model.toml", "[versions]\npolicy = \"all\"\nlabels = { stable = 1 }");
    all.script.corrupt.lock().unwrap().push("pets/3".to_owned());
    all.look().await;
    let version = |target: Result<Target, Error>| target.unwrap().model().version;
    assert_eq!(version(ask(&all.service, "pets", Some(1), None).await), 1);
    assert_eq!(version(ask(&all.service, "pets", None, None).await), 2, "3 cannot be loaded");
    assert_eq!(all.script.loads(), ["pets/1", "pets/3", "pets/2"]);

    // A label can point at what is not loaded.
    all.write("pets/model.toml", "[versions]\npolicy = [1, 2]\nlabels = { stable = 2 }");
    all.manager.unload("pets").await.unwrap();
    all.look().await;
    let arrival =
        all.service.arrive(Protocol::Http, "pets", VersionPick::Label("stable"), &Asker::default(), Instant::now());
    assert_eq!(arrival.warmed(None).await.unwrap().model().version, 2);
    arrival.finish(None);
    assert!(all.service.find("pets", Some(3)).is_err(), "it is not wanted any more");
}

#[tokio::test]
async fn a_new_version_takes_over_from_one_that_is_loaded_and_of_others_it_is_only_listed() {
    let all = Follower::on_demand(&["pets/1", "birds/1"], |limits| limits.max_loaded = Some(1));
    all.look().await;
    drop(served(&all, "pets").await);
    all.put("pets/2");
    all.put("birds/2");
    all.look().await;
    assert_eq!(all.answering(), ["pets/2"]);
    assert_eq!(all.script.loads(), ["pets/1", "pets/2"]);
    assert!(all.service.find("pets", Some(1)).is_err() && all.service.find("birds", Some(1)).is_err());
    assert_eq!(all.service.find("birds", None).unwrap().version, 2);
    drop(served(&all, "birds").await);
    fs::remove_dir_all(all.at("pets")).unwrap();
    all.look().await;
    assert!(all.service.find("pets", None).is_err());
    assert_eq!(all.answering(), ["birds/2"]);
}

#[tokio::test]
async fn models_together_take_no_more_than_they_may_and_one_that_is_larger_is_refused() {
    let all = Follower::on_demand(&["pets/1", "birds/1", "whales/1"], |limits| limits.max_bytes = Some(100_000_000));
    let sizes = [("pets/1", 60), ("birds/1", 60), ("whales/1", 250)];
    *all.script.sizes.lock().unwrap() = sizes.map(|(name, mb)| (name.to_owned(), mb * 1_000_000)).into();
    all.look().await;
    drop(served(&all, "pets").await);
    // How large it is turns out when it is loaded.
    drop(served(&all, "birds").await);
    eventually("the other one went", || all.answering() == ["birds/1"]).await;
    drop(served(&all, "pets").await);
    assert_eq!(all.answering(), ["pets/1"]);
    let refusal = ask(&all.service, "whales", None, None).await.unwrap_err();
    for part in ["250.0 MB", "[models] max_bytes is 100.0 MB", "raise max_bytes"] {
        assert!(refusal.message.contains(part), "{part}: {}", refusal.message);
    }
}

#[tokio::test]
async fn where_calls_load_and_unload_a_call_loads_at_once_and_unloading_forgets() {
    let all = Follower::with(
        &["pets/1", "birds/1"],
        |options| (options.on_demand, options.explicit) = (true, Some(vec!["pets".to_owned()])),
        |options| options.on_demand = Some(Default::default()),
    );
    all.look().await;
    assert!(all.script.loads().is_empty() && all.service.find("birds", None).is_err());
    all.manager.load("birds").await.unwrap();
    assert_eq!(all.answering(), ["birds/1"]);
    assert_eq!(&*served(&all, "pets").await.model().name, "pets");
    all.manager.unload("pets").await.unwrap();
    assert_eq!(ask(&all.service, "pets", None, None).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(all.answering(), ["birds/1"]);
}

#[tokio::test]
async fn what_waits_for_a_model_that_is_removed_is_told_that_there_is_none() {
    let all = Follower::on_demand(&["pets/1", "birds/1"], |_| ());
    hold(&all, "pets/1");
    all.look().await;
    let waiting = asking(&all, "pets", 2);
    eventually("it is being loaded", || all.script.loads() == ["pets/1"]).await;
    fs::remove_dir_all(all.at("pets")).unwrap();
    let round = all.manager.look().await.unwrap();
    for outcome in waiting {
        assert_eq!(outcome.await.unwrap().unwrap_err().kind, ErrorKind::NotFound);
    }
    all.script.release();
    round.await;
    assert!(all.answering().is_empty());
}
