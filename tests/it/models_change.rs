//! A repository that changes under a running server: what is served then, without a word to anybody.

use std::{fs, os::unix::fs::symlink, time::Duration};

use resnetd::{
    lifecycle::RepositoryOptions,
    model::ModelState,
    service::{ErrorKind, LabelTarget, ManageModels as _},
};

use crate::support::{PATIENCE, eventually, follower::Follower, next_tick};

#[tokio::test]
async fn a_version_that_appears_takes_over_when_it_answers_and_not_before() {
    let all = Follower::of(&["pets/1"]);
    all.write("pets/model.toml", "[versions]\nlabels = { live = 1 }");
    all.look().await;
    all.script.held.lock().unwrap().push("pets/2".to_owned());
    all.put("pets/2");
    all.write("pets/model.toml", "[versions]\nlabels = { live = 2, new = 2 }");
    let round = all.manager.look().await.unwrap();
    eventually("it is being loaded", || all.script.loads().len() == 2).await;
    assert_eq!(all.answering(), ["pets/1+live"]);
    assert_eq!(all.service.target("pets", None).unwrap().model().version, 1);

    all.script.release();
    round.await;
    assert_eq!(all.answering(), ["pets/2+live+new"]);
    assert!(all.service.find("pets", Some(1)).is_err(), "the earlier one is retired");
    fs::remove_dir_all(all.at("pets/2")).unwrap();
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"], "taken back");
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_leaves_the_earlier_one_and_says_when_it_is_tried_again() {
    let all = Follower::of(&["pets/1"]);
    all.look().await;
    all.script.corrupt.lock().unwrap().push("pets/2".to_owned());
    all.put("pets/2");
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"]);
    let ModelState::Failed(reason) = all.service.find("pets", Some(2)).unwrap().state else { panic!("it failed") };
    assert!(reason.starts_with("its graph is cut off; it is tried again in "), "{reason}");
    assert!(all.service.metrics_text().contains("resnetd_model_load_failures_total{model=\"pets\",version=\"2\"} 1"));

    // A newer one takes over all the same.
    all.put("pets/3");
    all.look().await;
    assert_eq!(all.answering(), ["pets/3"]);
    assert!(all.service.find("pets", Some(2)).is_err(), "nobody wants it any more");
}

#[tokio::test]
async fn a_version_overwritten_in_place_is_loaded_again_and_answers_as_before_where_that_fails() {
    let all = Follower::of(&["pets/1"]);
    all.look().await;
    all.script.corrupt.lock().unwrap().push("pets/1".to_owned());
    all.write("pets/1/model.onnx", "half of a gr");
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"]);
    let outdated = all.service.find("pets", None).unwrap().outdated.unwrap();
    assert!(outdated.starts_with("serves its earlier files: its graph is cut off"), "{outdated}");

    all.script.corrupt.lock().unwrap().clear();
    all.write("pets/1/model.onnx", "another graph");
    all.look().await;
    assert_eq!((all.answering(), all.script.loads().len()), (vec!["pets/1".to_owned()], 3));
    assert_eq!(all.service.find("pets", None).unwrap().outdated, None);
}

#[tokio::test]
async fn labels_and_the_choice_of_versions_change_without_a_load() {
    let all = Follower::of(&["pets/1", "pets/2", "pets/3"]);
    all.write("pets/model.toml", "[versions]\nlatest = 2\nlabels = { stable = 2 }");
    all.look().await;
    assert_eq!(all.answering(), ["pets/2+stable", "pets/3"]);
    let before = all.service.target("pets", None).unwrap();

    all.write("pets/model.toml", "[versions]\nlatest = 2\nlabels = { stable = 3, gone = 9 }");
    all.look().await;
    assert_eq!(all.answering(), ["pets/2", "pets/3+stable"]);
    all.write("pets/model.toml", "[versions]\npolicy = [3]\n");
    all.look().await;
    assert_eq!(all.answering(), ["pets/3"]);
    let after = all.service.target("pets", None).unwrap();
    assert!(std::ptr::eq(before.model(), after.model()) && all.script.loads().len() == 2);
}

#[tokio::test]
async fn classes_get_other_names_and_the_sessions_stay() {
    let all = Follower::of(&["pets/1"]);
    all.look().await;
    all.write("pets/labels.txt", "dog\ncat\nbird\nfish\n");
    all.look().await;
    let target = all.service.target("pets", None).unwrap();
    assert_eq!(
        target.model().info.labels.iter().map(|label| &**label).collect::<Vec<_>>(),
        ["dog", "cat", "bird", "fish"]
    );
    assert_eq!(all.script.loads(), ["pets/1"]);

    all.write("pets/labels.txt", "dog\ncat\n");
    all.look().await;
    let status = all.service.find("pets", None).unwrap();
    assert!(status.outdated.unwrap().contains("the network has 4 classes and 2 labels are given"));
    all.write("pets/labels.txt", "a\nb\nc\nelephant\n");
    all.look().await;
    assert_eq!(all.service.find("pets", None).unwrap().outdated, None);
    assert_eq!(&*all.service.target("pets", None).unwrap().model().info.labels[0], "a");
}

#[tokio::test]
async fn settings_that_cannot_be_read_change_nothing_until_they_are_mended() {
    let all = Follower::of(&["pets/1", "pets/2"]);
    all.write("pets/model.toml", "[versions]\npolicy = \"all\"\nlabels = { stable = 1 }");
    all.look().await;
    all.write("pets/model.toml", "[versions\n");
    all.look().await;
    assert_eq!(all.answering(), ["pets/1+stable", "pets/2"]);
    assert!(all.service.find("pets", Some(2)).unwrap().outdated.unwrap().contains("model.toml: line 1"));
    all.write("pets/model.toml", "[versions]\npolicy = \"all\"\nlabels = { stable = 2 }");
    all.look().await;
    assert_eq!((all.answering(), all.script.loads().len()), (vec!["pets/1".to_owned(), "pets/2+stable".to_owned()], 2));
    assert_eq!(all.service.find("pets", Some(2)).unwrap().outdated, None);
}

#[tokio::test]
async fn a_model_that_is_deleted_is_retired_and_an_empty_repository_is_taken_for_an_accident() {
    let all = Follower::of(&["pets/1", "birds/1"]);
    all.look().await;
    fs::remove_dir_all(all.at("birds")).unwrap();
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"]);
    fs::rename(all.at(""), all.folder.path().join("elsewhere")).unwrap();
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"]);
    fs::create_dir(all.at("")).unwrap();
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"]);
    all.put("fish/1");
    all.look().await;
    assert_eq!(all.answering(), ["fish/1"]);
}

#[tokio::test]
async fn what_is_found_without_being_asked_for_is_served() {
    let watched = |options: &mut RepositoryOptions| options.watch_interval = Some(Duration::from_millis(1));
    let all = Follower::with(&["pets/1"], watched, |_| ());
    all.look().await;
    all.put("pets/2");
    eventually("the second version is served", || all.answering() == ["pets/2"]).await;

    // A version in another place, linked as a ConfigMap and many a script do, and one that is still being copied.
    all.put("pets/.first");
    fs::create_dir(all.at("pets/4")).unwrap();
    all.write("pets/4/model.onnx", "half of a gr");
    next_tick(&all.at(""));
    symlink(".first", all.at("pets/3")).unwrap();
    eventually("the third version is served", || all.answering() == ["pets/3"]).await;
    assert!(!all.script.loads().contains(&"pets/4".to_owned()));
}

#[tokio::test]
async fn names_that_differ_only_in_case_are_two_models() {
    let all = Follower::of(&["pets/1", "Pets/1"]);
    all.look().await;
    assert_eq!(all.answering(), ["Pets/1", "pets/1"]);
}

#[tokio::test]
async fn what_takes_the_place_of_a_version_is_loaded_after_it_is_gone_where_memory_is_short() {
    let all = Follower::with(&["pets/1", "birds/1"], |_| (), |options| options.overlap = false);
    all.look().await;
    all.script.held.lock().unwrap().push("pets/2".to_owned());
    all.put("pets/2");
    let used = all.service.target("pets", None).unwrap();
    let round = all.manager.look().await.unwrap();
    eventually("it is unloaded", || all.answering() == ["birds/1"]).await;
    assert_eq!(all.script.loads().len(), 2, "a request still uses the earlier one");
    drop(used);
    eventually("it is being loaded", || all.script.loads().len() == 3).await;
    let refusal = all.service.target("pets", None).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Unavailable, "{refusal:?}");
    all.script.release();
    round.await;
    assert_eq!(all.answering(), ["birds/1", "pets/2"]);
}

#[tokio::test]
async fn ten_thousand_folders_are_looked_at_and_the_model_among_them_is_served() {
    let all = Follower::of(&["pets/1"]);
    for number in 0..10_000 {
        fs::create_dir(all.at(&format!("folder-{number}"))).unwrap();
    }
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"]);
    all.put("folder-77/1");
    all.look().await;
    assert_eq!(all.answering(), ["folder-77/1", "pets/1"]);
}

#[tokio::test]
async fn what_was_asked_for_is_served_and_nothing_else() {
    let explicit =
        |options: &mut RepositoryOptions| options.explicit = Some(vec!["pets".to_owned(), "typo".to_owned()]);
    let all = Follower::with(&["pets/1", "birds/1"], explicit, |_| ());
    all.look().await;
    assert_eq!(all.answering(), ["pets/1"]);

    all.manager.load("birds").await.unwrap();
    all.put("pets/2");
    assert_eq!(all.answering(), ["birds/1", "pets/1"]);
    all.manager.load("pets").await.unwrap();
    all.manager.unload("birds").await.unwrap();
    assert_eq!(all.answering(), ["pets/2"]);

    all.script.corrupt.lock().unwrap().push("pets/3".to_owned());
    all.put("pets/3");
    let failed = all.manager.load("pets").await.unwrap_err();
    assert!(failed.message.contains("version 3 cannot be loaded: its graph is cut off"), "{failed:?}");
    assert_eq!(all.answering(), ["pets/2"]);
    for nothing in ["fish", "", "..", "../models/pets", ".hidden"] {
        let refusal = all.manager.load(nothing).await.unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::NotFound, "{nothing}: {refusal:?}");
    }
    let refusal = all.manager.unload("birds").await.unwrap_err();
    assert_eq!(refusal.message, "model `birds` is not loaded; loaded are: pets");
    all.lifecycle.close(PATIENCE).unwrap();
}

#[tokio::test]
async fn where_the_repository_decides_a_call_looks_at_once_and_unloads_nothing() {
    let all = Follower::of(&["pets/1"]);
    all.look().await;
    all.put("pets/2");
    all.manager.load("pets").await.unwrap();
    assert_eq!(all.answering(), ["pets/2"]);
    let refusal = all.manager.unload("pets").await.unwrap_err();
    assert!(refusal.message.contains("control = \"explicit\""), "{refusal:?}");
}

#[tokio::test]
async fn a_label_is_pointed_elsewhere_and_the_settings_have_the_last_word() {
    let all = Follower::of(&["pets/1", "pets/2"]);
    all.write("pets/model.toml", "[versions]\npolicy = \"all\"\nlabels = { stable = 1, canary = 2 }");
    all.look().await;
    let label = async |label: &str, target| all.manager.label("pets", label, target).await;
    assert_eq!(label("stable", LabelTarget::SameAs("canary".to_owned())).await, Ok(Some(2)));
    assert_eq!(label("canary", LabelTarget::Nothing).await, Ok(None));
    assert_eq!(label("old", LabelTarget::Version(1)).await, Ok(Some(1)));
    eventually("they point there", || all.answering() == ["pets/1+old", "pets/2+stable"]).await;
    let refusal = label("stable", LabelTarget::Version(7)).await.unwrap_err();
    assert!(refusal.message.contains("version 7 of model `pets` is not served") && refusal.message.contains("1, 2"));
    let refusal = label("stable", LabelTarget::SameAs("beta".to_owned())).await.unwrap_err();
    assert!(refusal.message.ends_with("has no version labelled `beta`; there is old, stable"), "{refusal:?}");
    assert_eq!(label("a/b", LabelTarget::Version(1)).await.unwrap_err().kind, ErrorKind::InvalidArgument);

    all.write("pets/model.toml", "[versions]\npolicy = \"all\"\nlabels = { stable = 1 }");
    all.look().await;
    assert_eq!(all.answering(), ["pets/1+stable", "pets/2"]);
    assert_eq!(all.script.loads().len(), 2);
}

#[tokio::test]
async fn the_series_of_a_model_end_once_it_is_gone_and_its_last_request_is_answered() {
    let all = Follower::of(&["pets/1", "birds/1"]);
    all.look().await;
    let has = |name: &str| all.service.metrics_text().contains(&format!("model=\"{name}\""));
    let in_flight = all.service.target("pets", None).unwrap();
    fs::remove_dir_all(all.at("pets")).unwrap();
    all.look().await;
    assert!(all.service.find("pets", None).is_err() && has("pets"));
    drop(in_flight);
    eventually("its series are gone", || !has("pets")).await;
    assert!(has("birds"));
}
