//! Which ResNet a graph is: other people's exports, the networks that `build` writes, and what is no ResNet at all.
//!
//! Parameters and multiplications are held to the numbers that torchvision publishes with its weights.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use resnetd::{
    inspect::{BatchNorm, Inspection, ResNet, Shortcut, StemKind, StrideIn, inspect, inspect_file},
    onnx::{self, DataType, GraphBuilder, ModelProto, value_info},
    resnet::{
        GraphOptions, GraphPrecision,
        architecture::{self, Architecture, IdentityPadding, MaxPool},
        network,
        state_dict::{StateDict, Weight},
    },
    tensor::Layout,
};
use tempfile::TempDir;

use crate::support::processor_time;

fn fixture(name: &str) -> Inspection {
    inspect_file(&path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx").join(name).with_extension("onnx")
}

fn resnet(inspection: &Inspection) -> &ResNet {
    inspection.resnet.as_ref().unwrap_or_else(|| panic!("no ResNet: {:?}", inspection.no_resnet))
}

/// What `build` writes for an architecture, with zeros for weights.
fn built(architecture: &Architecture, options: &GraphOptions) -> ModelProto {
    let tensors = architecture
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let data = vec![0.0; shape.iter().product()];
            (name, Weight { shape, data })
        })
        .collect();
    network(architecture, StateDict { tensors }, options).unwrap()
}

fn named(name: &str) -> Architecture {
    Architecture::from_str(name).unwrap()
}

#[test]
fn networks_have_the_parameters_and_multiplications_that_torchvision_publishes() {
    // `num_params` and `_ops` (in 10^9) of the weights' metadata in torchvision 0.29.
    let published = [
        ("resnet18", 11_689_512, 1.814),
        ("resnet34", 21_797_672, 3.664),
        ("resnet50", 25_557_032, 4.089),
        ("resnet101", 44_549_160, 7.801),
        ("resnet152", 60_192_808, 11.514),
        ("resnext50_32x4d", 25_028_904, 4.23),
        ("wide_resnet50_2", 68_883_240, 11.398),
    ];
    for (name, parameters, giga_macs) in published {
        let model = built(&named(name), &GraphOptions { keep_bn: true, ..GraphOptions::default() });
        let inspection = inspect(&model).unwrap();
        assert_eq!(inspection.architecture(), name);
        assert_eq!(inspection.parameters, parameters, "{name}");
        let macs = inspection.macs.unwrap() as f64 / 1e9;
        assert!((macs - giga_macs).abs() < 6e-4, "{name}: {macs}");
        assert_eq!(inspection.batch_norm, BatchNorm::Kept, "{name}");
        assert_eq!(inspection.unusual, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_form_that_build_writes_is_told_apart() {
    let bottleneck =
        |stride_in, pool| Architecture { stride_in, stem: architecture::Stem::ImageNet(pool), ..named("resnet50") };
    for (form, expected, pool) in [
        (bottleneck(architecture::StrideIn::Conv3x3, MaxPool::Padded), StrideIn::Conv3x3, "padding 1"),
        (bottleneck(architecture::StrideIn::Conv1x1, MaxPool::Ceil), StrideIn::Conv1x1, "no padding, ceil mode"),
    ] {
        let inspection = inspect(&built(&form, &GraphOptions::default())).unwrap();
        assert_eq!(resnet(&inspection).stride_in, Some(expected));
        assert!(resnet(&inspection).stem.pool.as_ref().unwrap().contains(pool), "{:?}", resnet(&inspection).stem);
        assert_eq!(inspection.batch_norm, BatchNorm::Folded);
    }

    for (padding, expected) in [
        (architecture::Shortcut::Projection, Shortcut::Projection),
        (architecture::Shortcut::Identity(IdentityPadding::Trailing), Shortcut::IdentityTrailing),
        (architecture::Shortcut::Identity(IdentityPadding::Centered), Shortcut::IdentityCentered),
    ] {
        for name in ["resnet18", "resnet50", "resnet20-cifar", "resnet110-cifar"] {
            let form = Architecture { shortcut: padding, ..named(name) };
            let inspection = inspect(&built(&form, &GraphOptions::default())).unwrap();
            assert_eq!(inspection.architecture(), name);
            assert_eq!(resnet(&inspection).shortcut, expected, "{name}");
        }
    }
}

#[test]
fn networks_without_a_common_name_are_spelled_out_as_build_spells_them() {
    for name in [
        "resnet[1,2,3]-basic",
        "resnet[2,2,2,2]-bottleneck",
        "resnet[2,2,2,2]-basic-cifar-w64",
        "resnet18-w32",
        "resnext101_32x8d",
        "resnet32-cifar",
        "resnet[1,1]-bottleneck-4x32d",
    ] {
        let inspection = inspect(&built(&named(name), &GraphOptions::default())).unwrap();
        assert_eq!(inspection.architecture(), name);
    }
}

#[test]
fn half_precision_weights_are_seen() {
    let options = GraphOptions { precision: GraphPrecision::Fp16, ..GraphOptions::default() };
    let inspection = inspect(&built(&named("resnet20-cifar"), &options)).unwrap();
    assert_eq!((inspection.architecture(), inspection.precision.as_str()), ("resnet20-cifar", "fp16"));
}

#[test]
fn the_classes_the_input_and_the_stages_are_those_of_table_1() {
    let inspection = fixture("torchscript_resnet50");
    let network = resnet(&inspection);
    assert_eq!((network.depth, network.classes), (50, Some(1000)));
    let stages: Vec<_> =
        network.stages.iter().map(|s| (s.modules, s.channels, s.inner_channels, s.size.unwrap())).collect();
    assert_eq!(
        stages,
        [(3, 256, 64, [56, 56]), (4, 512, 128, [28, 28]), (6, 1024, 256, [14, 14]), (3, 2048, 512, [7, 7])]
    );
    let image = inspection.input.as_ref().unwrap();
    assert_eq!((image.name.as_str(), image.layout, image.batch), ("input", Layout::Nchw, None));
    assert_eq!((image.channels, image.height, image.width, image.size_assumed), (3, 224, 224, false));
    assert_eq!((inspection.opset, inspection.softmax), (Some(17), false));
    assert!(inspection.producer.starts_with("pytorch"), "{}", inspection.producer);
}

#[test]
fn exports_of_every_framework_are_recognised() {
    use BatchNorm::{Folded, Kept};
    use StrideIn::{Conv1x1, Conv3x3};
    let expected = [
        ("torchscript_resnet50", "resnet50", Some(Conv3x3), Folded, "fp32", Layout::Nchw),
        ("torchscript_resnet18_bn", "resnet18", None, Kept, "fp32", Layout::Nchw),
        ("torchscript_resnext50_32x4d", "resnext50_32x4d", Some(Conv3x3), Folded, "fp32", Layout::Nchw),
        ("dynamo_resnet34", "resnet34", None, Folded, "fp32", Layout::Nchw),
        ("tf2onnx_resnet50", "resnet50", Some(Conv1x1), Kept, "fp32", Layout::Nhwc),
        ("keras_resnet50", "resnet50", Some(Conv1x1), Kept, "fp32", Layout::Nhwc),
        ("caffe2_resnet50", "resnet50", Some(Conv3x3), Kept, "fp32", Layout::Nchw),
        ("timm_resnet50d", "resnet50d", Some(Conv3x3), Folded, "fp32", Layout::Nchw),
        ("timm_seresnet50", "seresnet50", Some(Conv3x3), Folded, "fp32", Layout::Nchw),
        ("timm_legacy_seresnet50", "seresnet50", Some(Conv1x1), Folded, "fp32", Layout::Nchw),
        ("qdq_resnet50", "resnet50", Some(Conv3x3), Folded, "int8 QDQ", Layout::Nchw),
        ("qoperator_resnet18", "resnet18", None, Folded, "int8 QOperator", Layout::Nchw),
        ("ort_fused_resnet18", "resnet18", None, Folded, "fp32", Layout::Nchw),
    ];
    for (name, architecture, stride_in, batch_norm, precision, layout) in expected {
        let inspection = fixture(name);
        assert_eq!(inspection.architecture(), architecture, "{name}: {:?}", inspection.no_resnet);
        let network = resnet(&inspection);
        assert_eq!(network.stride_in, stride_in, "{name}");
        assert_eq!(network.shortcut, Shortcut::Projection, "{name}");
        assert!(!network.pre_activation, "{name}");
        assert_eq!(network.classes, Some(1000), "{name}");
        assert_eq!(inspection.batch_norm, batch_norm, "{name}");
        assert_eq!(inspection.precision, precision, "{name}");
        assert_eq!(inspection.input.as_ref().unwrap().layout, layout, "{name}");
    }
    // The 25,557,032 numbers of ResNet-50, less a scale for each of the 26,560 channels whose normalisation was folded.
    for name in ["torchscript_resnet50", "qdq_resnet50"] {
        assert_eq!(fixture(name).parameters, 25_530_472, "{name}");
    }
    // What Keras' `summary()` calls trainable: with a bias for each convolution.
    for name in ["tf2onnx_resnet50", "keras_resnet50"] {
        assert_eq!(fixture(name).parameters, 25_583_592, "{name}");
    }
}

#[test]
fn an_option_a_shortcut_that_pytorch_computes_in_the_graph_is_understood() {
    let inspection = fixture("torchscript_resnet20_centered");
    assert_eq!(inspection.architecture(), "resnet20-cifar");
    assert_eq!(resnet(&inspection).shortcut, Shortcut::IdentityCentered);
    assert_eq!(resnet(&inspection).stem.kind, StemKind::Cifar);
    assert_eq!(inspection.macs, Some(40_551_040));
}

#[test]
fn pre_activation_is_seen_even_where_quantisation_removed_the_activations() {
    let inspection = fixture("qdq_resnet50v2");
    assert_eq!(inspection.architecture(), "resnet50v2");
    assert!(resnet(&inspection).pre_activation);
    assert_eq!(inspection.contradiction("resnet50"), None);
}

#[test]
fn what_is_no_resnet_is_called_unknown_with_the_reason() {
    for (name, reason) in [
        ("torchscript_mobilenet_v2", "depthwise"),
        ("torchscript_densenet121", "58 Concat join branches"),
        ("torchscript_regnet_x_400mf", "RegNet"),
        ("torchscript_fcn_resnet50", "its backbone is resnet50, but Conv follows"),
        ("timm_resnest50d", "another network"),
    ] {
        let inspection = fixture(name);
        assert_eq!(inspection.architecture(), "unknown", "{name}");
        let said = inspection.no_resnet.as_ref().unwrap();
        assert!(said.contains(reason), "{name}: {said}");
        assert!(inspection.operators["Conv"] > 0);
        assert!(inspection.contradiction("resnet50").is_some(), "{name}");
    }
}

#[test]
fn metadata_that_contradicts_the_graph_is_unusual() {
    let mut model = built(&named("resnet18"), &GraphOptions::default());
    for entry in model.metadata_props.iter_mut().filter(|entry| entry.key == "architecture") {
        entry.value = "resnet50".into();
    }
    let unusual = inspect(&model).unwrap().unusual;
    assert_eq!(unusual, ["the file says architecture = resnet50, its graph is resnet18"]);
}

#[test]
fn hundreds_of_thousands_of_nodes_take_no_more_than_seconds() {
    let mut graph = GraphBuilder::new("long");
    let mut x = graph.input(value_info("input", DataType::Float, &[3, 8, 8]));
    let far_back = x.clone();
    for index in 0..100_000 {
        x = graph.relu(&format!("relu{index}"), &x);
        x = graph.add(&format!("add{index}"), &x, &far_back);
    }
    graph.output(&x, value_info("out", DataType::Float, &[3, 8, 8]));
    let started = processor_time();
    let inspection = inspect(&graph.finish(8, 17, &[])).unwrap();
    assert_eq!(inspection.architecture(), "unknown");
    let taken = processor_time() - started;
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}

#[test]
fn a_cycle_and_nonsense_sizes_are_errors_or_unknown_and_never_a_panic() {
    let mut model = built(&named("resnet20-cifar"), &GraphOptions::default());
    let graph = model.graph.as_mut().unwrap();
    let last = graph.node.last().unwrap().output[0].clone();
    graph.node[0].input[0] = last;
    assert!(inspect(&model).unwrap_err().to_string().contains("cycle"));

    let nonsense = [i64::MAX, i64::MIN, -1, 0, 1 << 40];
    for value in nonsense {
        let mut model = built(&named("resnet[1,1]-bottleneck"), &GraphOptions::default());
        let graph = model.graph.as_mut().unwrap();
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            attribute.ints.fill(value);
            if attribute.i.is_some() {
                attribute.i = Some(value);
            }
        }
        let _ = inspect(&model);
        for tensor in &mut graph_of(&mut model).initializer {
            tensor.dims.fill(value);
        }
        let _ = inspect(&model);
        for node in &mut graph_of(&mut model).node {
            node.input.truncate(1);
        }
        let _ = inspect(&model);
    }
}

fn graph_of(model: &mut ModelProto) -> &mut onnx::GraphProto {
    model.graph.as_mut().unwrap()
}

#[test]
fn every_cut_of_a_file_is_an_error_or_an_inspection() {
    let bytes = fs::read(path("torchscript_resnet20_centered")).unwrap();
    for end in (0..bytes.len()).step_by(61) {
        if let Ok(model) = onnx::decode(Bytes::copy_from_slice(&bytes[..end])) {
            let _ = inspect(&model);
        }
    }
}

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_resnetd")).arg("inspect").args(arguments).output().unwrap()
}

#[test]
fn the_command_prints_a_table_or_json() {
    let file = path("tf2onnx_resnet50");
    let table = String::from_utf8(command(&[file.to_str().unwrap()]).stdout).unwrap();
    let shapes = ["[N, 224, 224, 3] NHWC", " [N, 1000]"];
    for row in ["architecture  resnet50", "1x1 convolution", "25,583,592", "3,857,973,248"].into_iter().chain(shapes) {
        assert!(table.contains(row), "{row} is missing in\n{table}");
    }
    let json = command(&[file.to_str().unwrap(), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["architecture"], "resnet50");
    assert_eq!(json["resnet"]["stride_in"], "1x1");
    assert_eq!(json["resnet"]["shortcut"], "projection");
    assert_eq!(json["input"]["layout"], "nhwc");
}

/// The built-in model's file, copied into a repository, with a cache of its own.
struct Repository {
    folder: TempDir,
}

impl Repository {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let version = folder.path().join("models/net/1");
        fs::create_dir_all(&version).unwrap();
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/resnet20-cifar10");
        for file in ["1/model.onnx", "model.toml", "labels.txt"] {
            fs::copy(built_in.join(file), folder.path().join("models/net").join(file)).unwrap();
        }
        Self { folder }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn graph(&self) -> PathBuf {
        self.folder.path().join("models/net/1/model.onnx")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_resnetd"))
            .args(arguments)
            .env("RESNETD__RUNTIME__TUNE_CACHE", self.cache())
            .env("RESNETD__RUNTIME__TUNE", "true")
            .env("RESNETD__RUNTIME__TUNE_TIME_LIMIT_MS", "100")
            .output()
            .unwrap()
    }

    /// The table, the JSON and what is said on stderr.
    fn inspect(&self) -> (String, serde_json::Value, String) {
        let graph = self.graph();
        let graph = graph.to_str().unwrap();
        let table = self.run(&["inspect", graph]);
        assert!(table.status.success(), "{table:?}");
        let json = self.run(&["inspect", graph, "--format", "json"]);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(table.stdout), serde_json::from_slice(&json.stdout).unwrap(), text(table.stderr))
    }
}

#[test]
fn what_tuning_chose_for_exactly_this_file_is_shown() {
    let repository = Repository::new();
    let (table, json, stderr) = repository.inspect();
    assert!(!table.contains("tuned") && json.get("tuned").is_none() && stderr.is_empty(), "{table}{stderr}");

    let cat = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cifar10/cat.jpg");
    let models = repository.folder.path().join("models");
    let [cat, models] = [&cat, &models].map(|path| path.to_str().unwrap());
    let served = repository.run(&["classify", cat, "--models", models]);
    assert!(served.status.success(), "{served:?}");
    let (table, json, stderr) = repository.inspect();
    assert_eq!(stderr, "");
    let [entry] = &json["tuned"].as_array().unwrap()[..] else { panic!("{json}") };
    let chosen = &entry["found"]["chosen"];
    assert!(chosen["images_per_second"].as_f64().unwrap() > 0.0, "{entry}");
    let provider = chosen["provider"].as_str().unwrap();
    for part in [
        &format!("tuned         for throughput: {provider} "),
        entry["found"]["reason"].as_str().unwrap(),
        entry["key"]["processor"].as_str().unwrap(),
        " session",
    ] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }

    // Another file is another model.
    let mut graph = onnx::read(&repository.graph()).unwrap();
    graph.producer_version.push('2');
    onnx::write(&graph, &repository.graph()).unwrap();
    assert!(repository.inspect().1.get("tuned").is_none());
}

#[test]
fn a_damaged_measurement_or_report_is_said_and_the_rest_is_shown() {
    let repository = Repository::new();
    let digest = resnetd::tune::cache::digest(&fs::read(repository.graph()).unwrap());
    fs::create_dir(repository.cache()).unwrap();
    fs::write(repository.cache().join("half.json"), format!("{{\"key\": {{\"model\": \"{digest}\"")).unwrap();
    fs::write(repository.cache().join("another.json"), "{\"key\": {\"model\": \"00").unwrap();
    fs::write(repository.graph().with_file_name("quantization.json"), "{").unwrap();
    let (table, json, stderr) = repository.inspect();
    assert!(table.contains("architecture  resnet20-cifar"), "{table}");
    assert!(json.get("tuned").is_none() && json.get("quantization").is_none(), "{json}");
    assert!(stderr.contains("half.json are damaged") && stderr.contains("quantization.json is damaged"), "{stderr}");
    assert!(!stderr.contains("another.json"), "{stderr}");
}

#[test]
fn a_damaged_foreign_or_missing_file_gives_one_line_and_exit_1() {
    let folder = TempDir::new().unwrap();
    let whole = fs::read(path("torchscript_resnet50")).unwrap();
    let cases =
        [("cut.onnx", &whole[..whole.len() / 2]), ("photo.onnx", b"\x89PNG\r\n\x1a\n".as_slice()), ("empty.onnx", b"")];
    for (name, bytes) in cases {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    for name in ["cut.onnx", "photo.onnx", "empty.onnx", "missing.onnx"] {
        let output = command(&[folder.path().join(name).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{name}: {said}");
        assert!(said.contains(name), "{said}");
    }
}
