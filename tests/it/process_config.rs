//! What is in force, as the program itself says and does it.

use std::{fs, net::TcpListener, path::Path, process::Output};

use crate::support::{images, program::resnetd};

const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/resnet20-cifar10");

/// A copy of the built-in model in versions 1 and 2, with more in its `model.toml`.
fn model(repository: &Path, name: &str, more: &str) {
    let folder = repository.join(name);
    for version in ["1", "2"] {
        fs::create_dir_all(folder.join(version)).unwrap();
        fs::copy(format!("{BUILT_IN}/1/model.onnx"), folder.join(version).join("model.onnx")).unwrap();
    }
    fs::copy(format!("{BUILT_IN}/labels.txt"), folder.join("labels.txt")).unwrap();
    fs::write(folder.join("model.toml"), more).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn check_config(repository: &Path, arguments: &[&str]) -> Output {
    resnetd(&["check-config", "--models", repository.to_str().unwrap()]).args(arguments).output().unwrap()
}

#[test]
fn check_config_goes_on_after_a_bad_model_and_prints_what_is_in_force_for_the_others() {
    let repository = tempfile::tempdir().unwrap();
    model(repository.path(), "a-bad", "[input]\ncrop_size = 5000\n");
    model(repository.path(), "b-good", "[batching]\nqueue_capacity = 7\n[versions]\npolicy = \"all\"\n");
    model(repository.path(), "c-typo", "[input]\n\ncrop = = 1\n");
    model(repository.path(), "d-missing", "[versions]\npolicy = [1, 7]\n");
    model(repository.path(), "e-leaking", "[output]\nlabels = \"../../../../etc/passwd\"\n");
    model(repository.path(), "f-good", "[input]\ncolor = \"bgr\"\n");

    let output = check_config(repository.path(), &[]);

    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    for (name, reason) in [
        ("a-bad", "`input.crop_size` is 5000, allowed is 0 to 4096"),
        ("c-typo", "line 3, column 8: "),
        ("d-missing", "policy names [7], and there is [1, 2]"),
        ("e-leaking", "leaves the model's folder"),
    ] {
        let line = said.lines().find(|line| line.contains(&format!("/{name}: ")));
        assert!(line.is_some_and(|line| line.starts_with("error: ") && line.contains(reason)), "{name}: {said}");
    }
    assert!(said.ends_with("error: 4 of 6 models would not be served; each is named above\n"), "{said}");
    assert_eq!(said.lines().count(), 5, "{said}");

    let in_force: toml::Table = text(&output.stdout).parse().unwrap();
    assert_eq!(in_force["server"]["http"].as_str(), Some("127.0.0.1:8000"));
    let models = in_force["model"].as_table().unwrap();
    assert_eq!(models.keys().map(String::as_str).collect::<Vec<_>>(), ["b-good", "f-good"]);
    let (first, second) = (&models["b-good"], &models["f-good"]);
    // From model.toml, from the configuration, from the graph, and the default of each key.
    assert_eq!(first["batching"]["queue_capacity"].as_integer(), Some(7));
    assert_eq!(second["batching"]["queue_capacity"].as_integer(), Some(256));
    assert_eq!(second["input"]["crop_size"].as_integer(), Some(32));
    assert_eq!(second["input"]["layout"].as_str(), Some("nchw"));
    assert!((second["input"]["mean"][0].as_float().unwrap() - 0.406).abs() < 1e-6, "blue comes first");
    let served = |model: &toml::Value| model["served_versions"].as_array().unwrap().len();
    assert_eq!((served(first), served(second)), (2, 1));
}

#[test]
fn check_config_states_a_presets_values_and_warns_where_a_graph_looks_otherwise_trained() {
    let repository = tempfile::tempdir().unwrap();
    for (name, model_toml) in [("said", "[input]\npreset = \"keras-caffe\"\n"), ("unsaid", "")] {
        let folder = repository.path().join(name);
        fs::create_dir_all(folder.join("1")).unwrap();
        let keras = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx/keras_resnet50.onnx");
        fs::copy(keras, folder.join("1/model.onnx")).unwrap();
        fs::write(folder.join("model.toml"), model_toml).unwrap();
    }
    let output = check_config(repository.path(), &[]);
    let warnings = text(&output.stderr);
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(warnings.contains("/unsaid: ") && warnings.contains("preset = \"keras-caffe\""), "{warnings}");
    let printed = text(&output.stdout);
    let said = &printed[printed.find("# said").unwrap()..printed.find("# unsaid").unwrap()];
    for line in [
        "preset = \"keras-caffe\"",
        "resize_size = 224",
        "interpolation = \"nearest\"",
        "color = \"bgr\"",
        "scale = 1.0",
    ] {
        assert!(said.lines().any(|printed| printed == line), "{line}: {said}");
    }
    assert!(said.contains("103.939") && said.contains("layout = \"nhwc\""), "{said}");
}

#[test]
fn check_config_refuses_what_would_silence_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resnetd.toml");
    fs::write(&file, "[log]\nlevel = \"warning\"\n").unwrap();
    let output = check_config(folder.path(), &["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with(&format!("error: {}: `log.level`: \"warning\" is no level", file.display())), "{said}");
}

#[test]
fn the_level_of_the_log_holds_for_a_command_wherever_it_was_set() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ship.jpg"), images::cifar("ship")).unwrap();
    let classify = |level: &str, in_file: bool| {
        let file = folder.path().join("resnetd.toml");
        fs::write(&file, if in_file { format!("[log]\nlevel = {level:?}\n") } else { String::new() }).unwrap();
        let mut command = resnetd(&["classify", "ship.jpg", "--models", ".", "--config", "resnetd.toml"]);
        if !in_file {
            command.env("RESNETD__LOG__LEVEL", level);
        }
        let output = command.current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stderr)
    };
    for in_file in [true, false] {
        assert!(classify("info", in_file).contains(" INFO "), "{in_file}");
        assert_eq!(classify("error", in_file), "", "{in_file}");
    }
}

#[test]
fn a_host_may_be_called_by_its_name() {
    // A port that is taken, so that the server ends at once; it says where it tried to listen.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", taken.local_addr().unwrap().port());
    let output = resnetd(&["serve", "--http", &address, "--grpc", "127.0.0.1:0"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{} is in use", taken.local_addr().unwrap())), "{said}");

    let output = resnetd(&["serve", "--http", ":8000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("0.0.0.0:8000"), "{output:?}");
}

#[test]
fn limits_of_what_is_loaded_that_cannot_be_meant_are_refused_with_what_to_set() {
    for (settings, said) in [
        (
            "load = \"on_demand\"\nmax_loaded = 0",
            "`models.max_loaded`: is 0, and nothing could be loaded: set 1 or more",
        ),
        ("max_loaded = 5", "`models.max_loaded`: is 5 and `models.load` is \"all\": set load = \"on_demand\""),
        ("max_bytes = 1000", "`models.max_bytes`: is 1000 and `models.load` is \"all\""),
        ("load = \"lazy\"", "on_demand"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        fs::write(&file, format!("[models]\n{settings}\n")).unwrap();
        let output = resnetd(&["check-config", "--config", file.to_str().unwrap()]).output().unwrap();
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(said) && complaint.lines().count() == 1, "{complaint}");
    }
}
