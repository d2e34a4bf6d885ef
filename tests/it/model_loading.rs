//! What becomes of a model repository: each model is served, or reported with the reason, and none harms another.

use std::{fs, path::Path};

use resnetd::{
    lifecycle::{LoadModel as _, ModelDefaults, wanted_models},
    model::{LoadSteps, LoadedModel, Machine},
    onnx,
    resnet::{Choices, GraphOptions, Preprocessing, Recipe, Variant, build, untrained},
    settings::{ProviderChoice, RuntimeSettings},
};
use tempfile::TempDir;

use crate::support::{
    images,
    repository::{failure, load, top_1},
    runtime,
};

/// Writes an untrained CIFAR network of 10 classes as the next version of `name`.
fn add_model(repository: &Path, name: &str) {
    let architecture = Choices::default().architecture("resnet20-cifar", Variant::PyTorch, None).unwrap();
    let weights = untrained(&architecture, 7);
    let preprocessing = Preprocessing::torchvision(&architecture);
    let recipe = Recipe {
        architecture,
        options: GraphOptions::default(),
        preprocessing,
        name: name.to_owned(),
        version: None,
        labels: None,
        force: false,
    };
    build(&recipe, weights, repository).unwrap();
}

/// Makes the network's last biases something that is no number.
fn damage(graph: &Path) {
    let mut model = onnx::read(graph).unwrap();
    let tensors = &mut model.graph.as_mut().unwrap().initializer;
    let bias = tensors.iter_mut().find(|tensor| tensor.dims == [10]).unwrap();
    *bias = onnx::float_tensor(bias.name.clone(), &[10], &[f32::NAN; 10]);
    onnx::write(&model, graph).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_serves_the_built_in_model() {
    let repository = TempDir::new().unwrap();
    let service = load(repository.path());
    assert_eq!(top_1(&service, "resnet20-cifar10", images::cifar("cat")).await, "cat");
    let missing = load(&repository.path().join("missing"));
    assert_eq!(top_1(&missing, "resnet20-cifar10", images::cifar("cat")).await, "cat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_is_reported_and_the_others_are_served() {
    let repository = TempDir::new().unwrap();
    let root = repository.path();
    for name in ["good", "corrupt", "typo", "labels", "size", "overflowing"] {
        add_model(root, name);
    }
    damage(&root.join("overflowing/1/model.onnx"));
    fs::write(root.join("corrupt/1/model.onnx"), "no graph").unwrap();
    fs::write(root.join("typo/model.toml"), "[input]\ncrop_sise = 32\n").unwrap();
    fs::write(root.join("labels/labels.txt"), "cat\ndog\n").unwrap();
    fs::write(root.join("size/model.toml"), "[input]\nresize_size = 256\ncrop_size = 224\n").unwrap();
    fs::create_dir(root.join("no-versions")).unwrap();

    let service = load(root);

    top_1(&service, "good", images::cifar("cat")).await;
    assert!(failure(&service, "corrupt").contains("model.onnx"), "{}", failure(&service, "corrupt"));
    let typo = failure(&service, "typo");
    assert!(typo.contains("crop_sise") && typo.contains("crop_size"), "{typo}");
    let labels = failure(&service, "labels");
    assert!(labels.contains("10 classes") && labels.contains("2 labels"), "{labels}");
    let size = failure(&service, "size");
    assert!(size.contains("32x32") && size.contains("224x224") && size.contains("crop_size = 32"), "{size}");
    let overflowing = failure(&service, "overflowing");
    assert!(overflowing.contains("not finite numbers") && overflowing.contains("precision"), "{overflowing}");
    let unknown = service.find("no-versions", None).unwrap_err().to_string();
    assert!(unknown.contains("good"), "the message lists what is served: {unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_version_is_served_unless_the_policy_says_otherwise() {
    let repository = TempDir::new().unwrap();
    let root = repository.path();
    for name in ["latest", "all", "listed"] {
        add_model(root, name);
        add_model(root, name);
    }
    let manifest = fs::read_to_string(root.join("all/model.toml")).unwrap();
    fs::write(root.join("all/model.toml"), format!("{manifest}\n[versions]\npolicy = \"all\"\n")).unwrap();
    fs::write(root.join("listed/model.toml"), format!("{manifest}\n[versions]\npolicy = [1]\n")).unwrap();

    let service = load(root);

    let versions = |name| service.versions(name).unwrap().iter().map(|status| status.version).collect::<Vec<_>>();
    assert_eq!(versions("latest"), [2]);
    assert_eq!(versions("all"), [1, 2]);
    assert_eq!(versions("listed"), [1]);
    assert_eq!(service.find("all", None).unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_model_names_what_the_test_set_shows() {
    let service = load(Path::new("no-such-repository"));
    for class in images::CIFAR_CLASSES {
        assert_eq!(top_1(&service, "resnet20-cifar10", images::cifar(class)).await, class);
    }
}

/// On the processor, measured for a moment; what was found is kept in `cache`.
fn measured_into(cache: &Path) -> ModelDefaults {
    let runtime_settings = RuntimeSettings {
        provider: ProviderChoice::Cpu,
        tune: true,
        tune_time_limit_ms: 1_000,
        tune_cache: cache.display().to_string(),
        ..RuntimeSettings::default()
    };
    ModelDefaults { runtime: runtime_settings, ..ModelDefaults::default() }
}

#[test]
fn a_network_that_was_trained_again_is_run_as_was_measured_for_its_earlier_weights() {
    let folder = TempDir::new().unwrap();
    let (models, cache) = (folder.path().join("models"), folder.path().join("cache"));
    fs::create_dir(&models).unwrap();
    add_model(&models, "net");
    add_model(&models, "net");
    let graph = |version: u64| models.join(format!("net/{version}/model.onnx"));
    let mut retrained = onnx::read(&graph(2)).unwrap();
    let tensors = &mut retrained.graph.as_mut().unwrap().initializer;
    let bias = tensors.iter_mut().find(|tensor| tensor.dims == [10]).unwrap();
    *bias = onnx::float_tensor(bias.name.clone(), &[10], &[0.25; 10]);
    let retrained = onnx::into_bytes(retrained);
    fs::remove_dir_all(models.join("net/2")).unwrap();
    let machine = Machine::new(runtime(), || 2);
    let load = |version: u64, cache: &Path| {
        let mut wanted = wanted_models(&models, None, &measured_into(cache)).unwrap();
        let wanted = wanted.pop().filter(|wanted| wanted.version == version).unwrap();
        machine.load(&wanted, &LoadSteps::new("net", version)).unwrap().model.info
    };

    let measured = load(1, &cache);
    fs::create_dir(models.join("net/2")).unwrap();
    fs::write(graph(2), retrained).unwrap();
    let taken_over = load(2, &cache);

    assert!(taken_over.choice.contains("measured with other weights"), "{}", taken_over.choice);
    assert_eq!(
        (taken_over.instances, taken_over.intra_threads, taken_over.max_batch_size),
        (measured.instances, measured.intra_threads, measured.max_batch_size)
    );
    let unknown = load(2, &folder.path().join("another cache"));
    assert!(!unknown.choice.contains("measured with other weights"), "{}", unknown.choice);
}

#[test]
fn what_is_measured_anew_passes_over_what_is_kept_and_takes_its_place() {
    let folder = TempDir::new().unwrap();
    let defaults = measured_into(&folder.path().join("cache"));
    let wanted = wanted_models(&folder.path().join("none"), None, &defaults).unwrap().remove(0);
    let machine = Machine::new(runtime(), || 2);
    let steps = LoadSteps::new(&wanted.name, wanted.version);
    let kept =
        || fs::read_dir(folder.path().join("cache")).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let is_earlier = |loaded: LoadedModel| {
        assert!(loaded.pace.is_some_and(|pace| pace.measured() > 0.0));
        loaded.model.info.choice.contains("measured at an earlier start")
    };

    assert!(!is_earlier(machine.load(&wanted, &steps).unwrap()));
    let first: Vec<_> = kept().collect();
    assert!(is_earlier(machine.load(&wanted, &steps).unwrap()));
    assert!(!is_earlier(machine.measure_anew(&wanted, &steps).unwrap()));
    let second: Vec<_> = kept().collect();
    assert!(first.len() == 2 && second.len() == 2, "for this file, and for the network with any weights");
    assert!(first.iter().all(|entry| !second.contains(entry)));
    assert!(is_earlier(machine.load(&wanted, &steps).unwrap()));
}
