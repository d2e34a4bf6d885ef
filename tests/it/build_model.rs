//! What `build` writes, when it refuses, and what is on disk afterwards.

use std::{collections::BTreeMap, fs, path::Path};

use resnetd::{
    onnx,
    resnet::{
        BuildError, GraphOptions, IMAGENET_LABELS, Preprocessing, Recipe, WeightsError,
        architecture::{Architecture, IdentityPadding, Shortcut},
        build, detect,
        state_dict::Weight,
        untrained,
    },
};

/// Small and quick, and of the real family.
const NAME: &str = "resnet20-cifar";

fn recipe(architecture: &Architecture) -> Recipe {
    Recipe {
        architecture: architecture.clone(),
        options: GraphOptions::default(),
        preprocessing: Preprocessing::torchvision(architecture),
        name: "model".into(),
        version: None,
        labels: Some("plane\ncar\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n".into()),
        force: false,
    }
}

/// Everything under a folder: relative path and content.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.expect("a readable folder");
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(root).expect("inside the root").display().to_string();
            files.insert(name, fs::read(entry.path()).expect("a readable file"));
        }
    }
    files
}

#[test]
fn model_folder_has_graph_manifest_and_labels_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    let written = build(&recipe(&network), untrained(&network, 1), root.path()).unwrap();
    assert_eq!(written.version, 1);
    assert_eq!(written.model, root.path().join("model/1/model.onnx"));
    let files = files(root.path());
    assert_eq!(files.keys().collect::<Vec<_>>(), ["model/1/model.onnx", "model/labels.txt", "model/model.toml"]);

    let manifest: toml::Table = String::from_utf8_lossy(&files["model/model.toml"]).parse().unwrap();
    assert_eq!(manifest["input"]["crop_size"].as_integer(), Some(32));
    assert_eq!(manifest["output"]["labels"].as_str(), Some("labels.txt"));
}

#[test]
fn layers_have_the_names_of_torchvision_in_the_graph() {
    let root = tempfile::tempdir().unwrap();
    let network = Architecture {
        classes: 10,
        ..Architecture::imagenet("resnet50".parse::<Architecture>().unwrap().block, &[1, 2])
    };
    let written = build(&recipe(&network), untrained(&network, 1), root.path()).unwrap();
    let model = onnx::read(&written.model).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let names: Vec<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
    for name in ["conv1", "maxpool", "layer1.0.downsample.0", "layer2.1.conv2", "layer2.1.add", "avgpool", "fc"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!((graph.input[0].name.as_str(), graph.output[0].name.as_str()), ("input", "logits"));
    assert_eq!(model.metadata("architecture"), Some("resnet[1,2]-bottleneck"));
    assert!(graph.node.iter().all(|node| node.op_type != "BatchNormalization"));
}

#[test]
fn weights_of_another_network_are_listed_and_nothing_is_written() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    let mut weights = untrained(&network, 1);
    weights.tensors.remove("layer1.2.conv2.weight");
    weights.tensors.insert("layer9.0.conv1.weight".into(), Weight { shape: vec![1], data: vec![0.0] });
    weights.tensors.insert("bn1.num_batches_tracked".into(), Weight { shape: vec![], data: vec![7.0] });
    weights.tensors.insert("fc.bias".into(), Weight { shape: vec![4], data: vec![0.0; 4] });

    let error = build(&recipe(&network), weights, root.path()).unwrap_err();
    let BuildError::Weights(WeightsError::Mismatch { mismatch, .. }) = &error else { panic!("{error}") };
    assert_eq!(mismatch.missing.keys().collect::<Vec<_>>(), ["layer1.2.conv2.weight"]);
    assert_eq!(mismatch.extra.keys().collect::<Vec<_>>(), ["layer9.0.conv1.weight"]);
    let message = error.to_string();
    for part in ["missing    layer1.2.conv2.weight [16, 16, 3, 3]", "fc.bias: expected [10], found [4]"] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    assert!(files(root.path()).is_empty());
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    for (tensor, value) in [("conv1.weight", f32::NAN), ("fc.bias", f32::INFINITY), ("bn1.running_var", -1.0)] {
        let mut weights = untrained(&network, 1);
        weights.tensors.get_mut(tensor).unwrap().data[0] = value;
        let error = build(&recipe(&network), weights, root.path()).unwrap_err();
        assert!(matches!(error, BuildError::Weights(WeightsError::NotFinite { .. })), "{tensor}: {error}");
    }
    assert!(files(root.path()).is_empty());
}

#[test]
fn existing_version_is_replaced_only_with_force() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    build(&recipe(&network), untrained(&network, 1), root.path()).unwrap();
    let before = files(root.path());

    let again = Recipe { version: Some(1), ..recipe(&network) };
    let error = build(&again, untrained(&network, 2), root.path()).unwrap_err();
    assert!(matches!(error, BuildError::VersionExists { .. }), "{error}");
    assert_eq!(files(root.path()), before);

    build(&Recipe { force: true, ..again }, untrained(&network, 2), root.path()).unwrap();
    let after = files(root.path());
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_ne!(after["model/1/model.onnx"], before["model/1/model.onnx"]);
}

#[test]
fn next_version_leaves_what_the_owner_wrote_into_the_manifest() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    let first = Recipe { version: Some(7), ..recipe(&network) };
    build(&first, untrained(&network, 1), root.path()).unwrap();
    let manifest = root.path().join("model/model.toml");
    let edited = fs::read_to_string(&manifest).unwrap() + "\n# ours\n[batching]\nmax_batch_size = 4\n";
    fs::write(&manifest, &edited).unwrap();

    let written = build(&recipe(&network), untrained(&network, 2), root.path()).unwrap();
    assert_eq!(written.version, 8);
    assert_eq!(fs::read_to_string(&manifest).unwrap(), edited);
}

#[test]
fn version_that_needs_other_pixels_than_its_siblings_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    build(&recipe(&network), untrained(&network, 1), root.path()).unwrap();
    let before = files(root.path());

    let other = Recipe { preprocessing: Preprocessing::caffe(&network), ..recipe(&network) };
    let error = build(&other, untrained(&network, 2), root.path()).unwrap_err();
    assert!(matches!(&error, BuildError::Disagrees { path } if path.ends_with("model.toml")), "{error}");
    assert_eq!(files(root.path()), before);
}

#[test]
fn labels_that_do_not_count_the_classes_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    for (labels, expected) in [
        ("one\ntwo\n", "2 labels for 10 classes"),
        (IMAGENET_LABELS, "1000 labels for 10 classes"),
        ("a\n\nc\nd\ne\nf\ng\nh\ni\nj\n", "line 2 of the labels is empty"),
    ] {
        let wrong = Recipe { labels: Some(labels.into()), ..recipe(&network) };
        let error = build(&wrong, untrained(&network, 1), root.path()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(files(root.path()).is_empty());
}

#[test]
fn names_that_leave_the_repository_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let network: Architecture = NAME.parse().unwrap();
    for name in ["", ".", "..", "../up", "a/b", ".hidden", "-flag", "caf\u{e9}"] {
        let wrong = Recipe { name: name.into(), ..recipe(&network) };
        let error = build(&wrong, untrained(&network, 1), root.path()).unwrap_err();
        assert!(matches!(error, BuildError::Name { .. }), "{name:?}: {error}");
    }
}

#[test]
fn architecture_is_found_from_the_tensors_alone() {
    for name in [
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "resnet20-cifar",
        "resnet110-cifar",
        "resnet[1,2,3]-basic-w32",
        "resnet[2,1]-bottleneck-cifar",
    ] {
        let mut network: Architecture = name.parse().unwrap();
        network.classes = 7;
        for shortcut in [Shortcut::Projection, Shortcut::Identity(IdentityPadding::Trailing)] {
            network.shortcut = shortcut;
            // Shapes are all that is looked at: no need for the values of 130 million weights.
            let shapes = network.tensors().into_iter().map(|(name, shape)| (name, Weight { shape, data: vec![] }));
            let found = detect(&resnetd::resnet::state_dict::StateDict { tensors: shapes.collect() }).unwrap();
            assert_eq!(found, network);
        }
    }
}

#[test]
fn tensors_of_no_resnet_are_refused_by_name() {
    let weight = |shape: &[usize]| Weight { shape: shape.to_vec(), data: vec![] };
    type Shapes = [(&'static str, &'static [usize])];
    let cases: [(&Shapes, &str); 4] = [
        (&[("features.0.weight", &[64, 3, 3, 3])], "there is no conv1.weight"),
        (&[("conv1.weight", &[64, 3, 5, 5])], "5x5"),
        (&[("conv1.weight", &[64, 3, 7])], "expected 4 dimensions"),
        (&[("conv1.weight", &[64, 3, 7, 7]), ("fc.weight", &[10, 64])], "there is no layer1.0.conv1.weight"),
    ];
    for (tensors, expected) in cases {
        let tensors = tensors.iter().map(|(name, shape)| ((*name).to_owned(), weight(shape))).collect();
        let error = detect(&resnetd::resnet::state_dict::StateDict { tensors }).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn untrained_weights_follow_from_the_seed() {
    let network: Architecture = NAME.parse().unwrap();
    assert_eq!(untrained(&network, 3), untrained(&network, 3));
    assert_ne!(untrained(&network, 3), untrained(&network, 4));
}
