//! Operators at the management address: loads, unloads and labels over HTTP, gRPC and the command line, and at no other door.

use resnetd::server::grpc::proto::inference::{
    ModelRepositoryParameter, RepositoryIndexRequest, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
    model_repository_parameter::ParameterChoice,
};
use serde_json::Value;
use tonic::Code;

use crate::support::{eventually, http::HttpClient, managed::Managed, program::resnetd};

#[tokio::test]
async fn models_are_loaded_and_unloaded_by_our_routes_and_by_tritons() {
    let managed = Managed::start().await;
    let loaded = managed.ask("/v1/models/birds:load", "").await;
    assert_eq!((loaded.status, loaded.json()["ready"].as_bool()), (200, Some(true)));
    assert_eq!(managed.all.answering(), ["birds/1", "pets/1+stable"]);
    let unloaded = managed.ask("/v1/models/birds:unload", "{}").await;
    assert_eq!((unloaded.status, unloaded.json()["unloaded"].as_bool()), (200, Some(true)));

    let loaded = managed.ask("/v2/repository/models/birds/load", "{\"parameters\": {}}").await;
    assert_eq!((loaded.status, loaded.body.len()), (200, 0));
    let index = managed.ask("/v2/repository/index", "").await.json();
    let states: Vec<_> = index.as_array().unwrap().iter().map(|it| format!("{}", it["state"])).collect();
    assert_eq!(states, ["\"READY\"", "\"READY\""]);
    let unload = "{\"parameters\": {\"unload_dependents\": true}}";
    assert_eq!(managed.ask("/v2/repository/models/birds/unload", unload).await.status, 200);
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);
    // It answers what the HTTP port does.
    assert_eq!(HttpClient::connect(managed.management).await.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_to_do() {
    let managed = Managed::start().await;
    managed.all.script.corrupt.lock().unwrap().push("birds/1".to_owned());
    for path in ["/v1/models/birds:load", "/v2/repository/models/birds/load"] {
        let said = managed.ask(path, "").await.refusal(400, "INVALID_ARGUMENT");
        assert!(said.starts_with("model `birds` version 1 cannot be loaded: its graph is cut off"), "{said}");
    }
    let said = managed.ask("/v1/models/fish:load", "").await.refusal(404, "NOT_FOUND");
    assert!(said.contains("there is no folder `fish` in the model repository"), "{said}");
    let said = managed.ask("/v1/models/fish:unload", "").await.refusal(404, "NOT_FOUND");
    assert!(said.contains("`fish` is not loaded; loaded are: birds, pets"), "{said}");
    for parameter in ["config", "file:1/model.onnx"] {
        let body = format!("{{\"parameters\": {{\"{parameter}\": \"\"}}}}");
        let said = managed.ask("/v2/repository/models/birds/load", &body).await.refusal(501, "UNIMPLEMENTED");
        assert!(said.starts_with(&format!("`{parameter}` is not taken")), "{said}");
    }
    for wrong in
        ["[]", "{\"label\": \"a\", \"versions\": 1}", "{\"label\": \"a\", \"version\": 1, \"same_as\": \"b\"}", ""]
    {
        managed.ask("/v1/models/pets:label", wrong).await.refusal(400, "INVALID_ARGUMENT");
    }
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);
}

#[tokio::test]
async fn the_doors_of_clients_load_nothing_and_say_where_that_is_done() {
    let managed = Managed::start().await;
    let mut http = HttpClient::connect(managed.http).await;
    for path in [
        "/v1/models/pets:load",
        "/v1/models/pets:unload",
        "/v1/models/pets:label",
        "/v2/repository/models/pets/load",
        "/v2/repository/models/pets/unload",
    ] {
        let said = http.post(path, "application/json", b"{}").await.refusal(404, "NOT_FOUND");
        assert!(said.contains("management address only") && said.contains("[server] management"), "{path}: {said}");
    }
    // One model's version is not loaded by itself.
    let answer = http.post("/v1/models/pets/versions/1:load", "application/json", b"{}").await;
    assert!(answer.refusal(404, "NOT_FOUND").contains("there is nothing at"));
    for address in [managed.http, managed.grpc] {
        let mut client = Managed::client(address).await;
        let request = RepositoryModelUnloadRequest { model_name: "pets".to_owned(), ..Default::default() };
        let refusal = client.repository_model_unload(request).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unimplemented);
        assert!(refusal.message().contains("management address only"), "{refusal:?}");
        let request = RepositoryModelLoadRequest { model_name: "pets".to_owned(), ..Default::default() };
        assert_eq!(client.repository_model_load(request).await.unwrap_err().code(), Code::Unimplemented);
    }
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);
}

#[tokio::test]
async fn tritons_calls_load_and_unload_over_grpc() {
    let managed = Managed::start().await;
    let mut client = Managed::client(managed.management).await;
    let load = |name: &str| RepositoryModelLoadRequest { model_name: name.to_owned(), ..Default::default() };
    client.repository_model_load(load("birds")).await.unwrap();
    let index = client.repository_index(RepositoryIndexRequest { ready: true, ..Default::default() }).await.unwrap();
    let names: Vec<_> = index.get_ref().models.iter().map(|model| &*model.name).collect();
    assert_eq!(names, ["birds", "pets"]);
    let unload = RepositoryModelUnloadRequest { model_name: "birds".to_owned(), ..Default::default() };
    client.repository_model_unload(unload).await.unwrap();
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);

    assert_eq!(client.repository_model_load(load("fish")).await.unwrap_err().code(), Code::NotFound);
    let config = ParameterChoice::StringParam("{}".to_owned());
    let parameters = [("config".to_owned(), ModelRepositoryParameter { parameter_choice: Some(config) })].into();
    let refusal =
        client.repository_model_load(RepositoryModelLoadRequest { parameters, ..load("birds") }).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unimplemented);
    assert!(refusal.message().starts_with("`config` is not taken"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_lists_loads_labels_promotes_and_unloads() {
    let managed = Managed::start().await;
    managed.all.put("pets/2");
    let said = async |arguments: &[&str]| {
        let output = managed.command(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said(&["load", "pets"]).await, "pets: serves version 2, 1\n");
    assert_eq!(said(&["label", "pets", "canary", "2"]).await, "pets: canary is version 2\n");
    assert_eq!(said(&["promote", "pets"]).await, "pets: stable is version 2\n");
    eventually("the labels point there", || managed.all.answering() == ["pets/1", "pets/2+canary+stable"]).await;
    let list = said(&["list"]).await;
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(
        lines,
        [
            "NAME  VERSION  STATE      LABELS         REASON",
            "pets        1  AVAILABLE",
            "pets        2  AVAILABLE  canary,stable",
        ]
    );
    let document: Value = serde_json::from_str(&said(&["list", "--format", "json"]).await).unwrap();
    assert_eq!(document["model_versions"][1]["labels"], serde_json::json!(["canary", "stable"]));
    assert_eq!(said(&["label", "pets", "canary"]).await, "pets: canary is no label any more\n");
    assert_eq!(said(&["unload", "pets"]).await, "pets: unloaded\n");

    let failed = managed.command(&["load", "fish"]).await;
    let complaint = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(complaint.starts_with("error: there is no folder `fish`") && complaint.lines().count() == 1, "{complaint}");
    let nowhere = resnetd(&["models", "list"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("--url"));
}
