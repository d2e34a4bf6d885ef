//! `[traffic]` where versions are loaded when somebody asks for them: a canary or a shadow that is not loaded is loaded by the first
//! request that would be its own, and nobody waits for it.

use resnetd::{runtime::scripted::ScriptedExecutor, service::VersionPick};

use crate::support::{
    PATIENCE, eventually,
    follower::{Doors, Follower},
    http::HttpClient,
    images::png,
    server::logits,
};

struct ColdPets {
    all: Follower,
    _doors: Doors,
    http: HttpClient,
}

impl ColdPets {
    /// Versions 3 and 4, of which `settings` names the fourth; two models are loaded at most.
    async fn start(settings: &str, network: &ScriptedExecutor) -> Self {
        let all = Follower::on_demand(&["pets/3", "pets/4", "birds/1"], |limits| {
            limits.max_loaded = Some(2);
            limits.patience = PATIENCE;
        });
        all.write("pets/model.toml", settings);
        all.script.networks.lock().unwrap().insert("pets/4".to_owned(), network.clone());
        all.look().await;
        let doors = all.doors().await;
        let http = HttpClient::connect(doors.http).await;
        Self { all, _doors: doors, http }
    }

    /// Who answered so many requests: the third version, the fourth, nobody.
    async fn answers(&mut self, requests: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..requests {
            let answer = self.http.post("/v1/models/pets:classify", "image/png", &png()).await;
            let version = (answer.status == 200).then(|| answer.json()["version"].as_u64()).flatten();
            counts[version.map_or(2, |version| version as usize - 3)] += 1;
        }
        counts
    }

    async fn has_both(&self) {
        eventually("both answer", || self.all.answering() == ["pets/3", "pets/4"]).await;
    }
}

#[tokio::test]
async fn a_cold_canary_is_loaded_by_its_share_and_the_default_version_answers_meanwhile() {
    let network = ScriptedExecutor::answering(&logits());
    let mut pets = ColdPets::start("[traffic]\nsplit = { \"4\" = 50 }", &network).await;
    pets.all.script.held.lock().unwrap().push("pets/4".to_owned());
    assert_eq!(pets.answers(1).await, [1, 0, 0], "it waited for the default version");
    assert_eq!(pets.all.script.loads(), ["pets/3"], "whose load is no load of the canary");

    assert_eq!(pets.answers(10).await, [10, 0, 0], "nobody waits for the canary");
    eventually("it is being loaded", || pets.all.script.loads() == ["pets/3", "pets/4"]).await;
    pets.all.script.release();
    pets.has_both().await;

    let [third, fourth, failed] = pets.answers(20).await;
    assert!(third.abs_diff(10) <= 2 && fourth.abs_diff(10) <= 2 && failed == 0, "{third} and {fourth}");
    assert_eq!(pets.all.script.loads(), ["pets/3", "pets/4"], "once each");
}

#[tokio::test]
async fn a_cold_shadow_is_loaded_by_what_it_would_mirror() {
    let network = ScriptedExecutor::answering(&logits());
    let mut pets = ColdPets::start("[traffic]\nshadow = 4", &network).await;
    assert_eq!(pets.answers(2).await, [2, 0, 0]);
    pets.has_both().await;
    while !pets.all.service.metrics_text().contains("outcome=\"compared\"") {
        assert_eq!(pets.answers(1).await, [1, 0, 0]);
    }
}

#[tokio::test]
async fn a_canary_that_was_turned_back_stays_so_when_it_is_unloaded_and_nobody_loads_it() {
    let network = ScriptedExecutor::answering(&logits());
    let settings = "[traffic]\nsplit = { \"4\" = 50 }\nguard = { max_error_rate = 0.5, min_requests = 4 }";
    let mut pets = ColdPets::start(settings, &network).await;
    pets.answers(4).await;
    pets.has_both().await;
    network.fail("an operator that is not there");
    let [_, fourth, failed] = pets.answers(40).await;
    assert!(fourth == 0 && failed >= 4, "{failed}");
    network.recover();

    // It gets no requests any more, so it makes room for others.
    assert_eq!(pets.http.post("/v1/models/birds:classify", "image/png", &png()).await.status, 200);
    eventually("it made room", || pets.all.answering() == ["birds/1", "pets/3"]).await;
    assert_eq!(pets.answers(20).await, [20, 0, 0]);
    let loads = pets.all.script.loads();
    assert_eq!(loads.iter().filter(|load| *load == "pets/4").count(), 1, "{loads:?}");
    let status = pets.all.service.find("pets", VersionPick::Number(4)).unwrap();
    assert!(status.turned_back.is_some_and(|reason| reason.contains("requests failed")), "it is told");

    // Whoever names it has it loaded, and it begins anew.
    let answer = pets.http.post("/v1/models/pets/versions/4:classify", "image/png", &png()).await;
    assert_eq!(answer.status, 200);
    assert!(pets.all.service.find("pets", VersionPick::Number(4)).unwrap().turned_back.is_none());
}
