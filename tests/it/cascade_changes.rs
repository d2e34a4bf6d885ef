//! `[cascade]` of a repository: what of it is refused, and that it changes without a load.

use std::time::Instant;

use resnetd::{
    model::ModelState,
    service::{Asker, ClassesWanted, Priority, Request, TraceContext, Wanted},
    telemetry::Protocol,
};

use crate::support::{eventually, follower::Follower, images::png};

/// Who answers a picture for `pets`; nobody where no cascade is followed.
async fn answered_by(all: &Follower) -> Vec<String> {
    let target = all.service.target("pets", None).unwrap();
    let request = Request {
        items: vec![target.picture(png())],
        target,
        wanted: Wanted::classes(ClassesWanted::default()),
        deadline: None,
        priority: Priority::DEFAULT,
        client: None,
        charge: all.service.open_charge().unwrap(),
        trace: TraceContext::new("test"),
    };
    all.service.answer(request).await.unwrap().answered_by.iter().map(ToString::to_string).collect()
}

fn failure(all: &Follower, name: &str) -> String {
    match all.service.find(name, None).unwrap().state {
        ModelState::Failed(reason) => reason,
        other => panic!("{name} is {other:?}"),
    }
}

#[tokio::test]
async fn a_cascade_comes_changes_and_goes_without_a_load() {
    let all = Follower::of(&["pets/1", "small/1"]);
    all.look().await;
    assert!(answered_by(&all).await.is_empty());
    let loads = all.script.loads().len();

    // The scripted network says 0.4 of its first class.
    for (section, by) in [
        ("[cascade]\nfirst = \"small\"\nthreshold = 0.35\n", &["small"][..]),
        ("[cascade]\nfirst = \"small\"\nthreshold = 0.45\n", &["pets"]),
        ("[cascade]\nfirst = \"nobody\"\nthreshold = 0.35\n", &["pets"]),
        ("[cascade]\nfirst = \"small\"\nthreshold = 0.35\n", &["small"]),
        ("", &[]),
    ] {
        all.write("pets/model.toml", section);
        all.look().await;
        assert_eq!(answered_by(&all).await, by, "{section}");
    }
    assert_eq!(all.script.loads().len(), loads);
}

#[tokio::test]
async fn a_circle_is_refused_with_its_way_and_what_served_goes_on() {
    let all = Follower::of(&["pets/1", "small/1", "tiny/1"]);
    all.look().await;
    all.write("pets/model.toml", "[cascade]\nfirst = \"small\"");
    all.write("small/model.toml", "[cascade]\nfirst = \"tiny\"");
    all.look().await;
    assert_eq!(all.answering(), ["pets/1", "small/1", "tiny/1"], "a line of them ends somewhere");

    all.write("tiny/model.toml", "[cascade]\nfirst = \"pets\"");
    all.look().await;
    let outdated = all.service.find("pets", None).unwrap().outdated.unwrap();
    assert!(outdated.contains("goes in a circle: pets → small → tiny → pets"), "{outdated}");
    assert_eq!(all.answering(), ["pets/1", "small/1", "tiny/1"]);
    all.write("tiny/model.toml", "");
    all.look().await;
    assert_eq!(all.service.find("pets", None).unwrap().outdated, None);

    all.put("own/1");
    all.write("own/model.toml", "[cascade]\nfirst = \"own\"");
    all.look().await;
    assert!(failure(&all, "own").contains("own → own"), "{}", failure(&all, "own"));
}

#[tokio::test]
async fn a_first_model_with_other_labels_is_refused_at_load_whichever_comes_first() {
    let all = Follower::of(&["pets/1", "small/1"]);
    all.write("pets/labels.txt", "beagle\ntabby\nparrot\ngoldfish\n");
    all.write("small/labels.txt", "beagle\ntabby\nparrot\nshark\n");
    all.write("pets/model.toml", "[cascade]\nfirst = \"small\"");
    all.look().await;
    let reason = failure(&all, "pets");
    assert!(reason.contains("class 3 is `goldfish` in model `pets` and `shark` in `small`"), "{reason}");
    assert_eq!(all.answering(), ["small/1"]);

    all.write("small/labels.txt", "beagle\ntabby\nparrot\ngoldfish\n");
    all.look().await;
    assert_eq!(all.answering(), ["pets/1", "small/1"]);
}

#[tokio::test]
async fn a_threshold_that_is_no_probability_is_refused_with_its_range() {
    let all = Follower::of(&["pets/1"]);
    all.write("pets/model.toml", "[cascade]\nfirst = \"small\"\nthreshold = 90");
    all.look().await;
    let reason = failure(&all, "pets");
    assert!(reason.contains("cascade.threshold") && reason.contains("90"), "{reason}");
    all.write("pets/model.toml", "[cascade]\nfrist = \"small\"");
    all.look().await;
    assert!(failure(&all, "pets").contains("frist"));
}

#[tokio::test]
async fn a_first_model_that_is_not_loaded_is_loaded_by_the_first_picture_and_asked_from_then_on() {
    let all = Follower::on_demand(&["pets/1", "small/1"], |_| ());
    all.write("pets/model.toml", "[cascade]\nfirst = \"small\"\nthreshold = 0.35\n");
    all.look().await;
    let arrival = all.service.arrive(Protocol::Http, "pets", None, &Asker::default(), Instant::now());
    let outcome = arrival.warmed(None).await;
    arrival.finish(outcome.as_ref().err().map(|_| "REFUSED"));
    drop(outcome.unwrap());
    assert!(matches!(all.service.find("small", None).unwrap().state, ModelState::NotLoaded(_)));
    let obstacle = || all.service.cascades().remove(0).obstacle;
    assert_eq!(obstacle().as_deref(), Some("no version of `small` answers now"));

    // The one that was asked for does not wait for the other.
    assert_eq!(answered_by(&all).await, ["pets"]);
    eventually("the first model answers", || obstacle().is_none()).await;
    assert_eq!(answered_by(&all).await, ["small"]);
    assert_eq!(all.script.loads().len(), 2);
}
