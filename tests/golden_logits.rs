//! The networks that `build` writes give the logits that torchvision, Chainer and the paper's own forms give.
//!
//! A test binary of its own: ONNX Runtime allows one environment a process, and these networks (up to 240 MB) run one at
//! a time, beside no test that measures time.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use ort::{environment::Environment, session::Session, value::TensorRef};
use resnetd::{
    onnx,
    resnet::{
        GraphOptions, GraphPrecision, Preprocessing, Recipe,
        architecture::{Architecture, IdentityPadding, MaxPool, Shortcut, Stem, StrideIn},
        build, network,
        state_dict::{StateDict, Weight},
        untrained,
    },
};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("fixtures/golden/logits.safetensors");
/// Of the largest value. The implementations agree to about 1e-5, their variants differ by 2e-3 and more.
const TOLERANCE: f32 = 1e-4;
/// Half precision has 11 bits: 5e-4 a number, and fifty layers.
const HALF_TOLERANCE: f32 = 1e-2;
/// What is asked of the conversion.
const CONVERTED_TOLERANCE: f32 = 5e-3;

const IMAGENET: [&str; 5] = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"];
const CIFAR: [&str; 5] = ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"];

/// Which names of the golden file each implementation covers.
const COVERED: [(&str, &[&str]); 9] = [
    ("torchvision", &IMAGENET),
    ("stride_in_1x1", IMAGENET.split_at(2).1),
    ("chainer_msra", IMAGENET.split_at(2).1),
    ("chainer_facebook", IMAGENET.split_at(2).1),
    ("identity_trailing", IMAGENET.split_at(3).0),
    ("identity_centered", IMAGENET.split_at(3).0),
    ("cifar_projection", &CIFAR),
    ("cifar_identity_trailing", &CIFAR),
    ("cifar_identity_centered", &CIFAR),
];

#[test]
fn torchvision_networks_give_torchvision_logits() {
    reproduce("torchvision", torchvision_weights, |_| {});
}

#[test]
fn stride_in_the_first_1x1_gives_the_logits_of_the_paper_form() {
    reproduce("stride_in_1x1", torchvision_weights, |network| network.stride_in = StrideIn::Conv1x1);
}

#[test]
fn chainer_networks_give_chainer_logits() {
    reproduce("chainer_msra", chainer_weights, |network| *network = chainer(network, StrideIn::Conv1x1));
}

#[test]
fn chainer_networks_with_downsample_fb_give_chainer_logits() {
    reproduce("chainer_facebook", chainer_weights, |network| *network = chainer(network, StrideIn::Conv3x3));
}

#[test]
fn identity_shortcuts_with_trailing_zeros_give_the_logits_of_option_a() {
    reproduce("identity_trailing", torchvision_weights, |network| {
        network.shortcut = Shortcut::Identity(IdentityPadding::Trailing);
    });
}

#[test]
fn identity_shortcuts_with_centered_zeros_give_the_logits_of_option_a() {
    reproduce("identity_centered", torchvision_weights, |network| {
        network.shortcut = Shortcut::Identity(IdentityPadding::Centered);
    });
}

#[test]
fn cifar_networks_give_pytorch_logits_with_every_shortcut() {
    for (implementation, shortcut) in [
        ("cifar_projection", Shortcut::Projection),
        ("cifar_identity_trailing", Shortcut::Identity(IdentityPadding::Trailing)),
        ("cifar_identity_centered", Shortcut::Identity(IdentityPadding::Centered)),
    ] {
        reproduce(implementation, torchvision_weights, |network| network.shortcut = shortcut);
    }
}

#[test]
fn batch_normalization_that_is_kept_gives_the_same_logits() {
    let architecture: Architecture = "resnet50".parse().unwrap();
    let options = GraphOptions { keep_bn: true, features: true, ..GraphOptions::default() };
    compare("torchvision.resnet50", &architecture, torchvision_weights(&architecture), options, TOLERANCE);
}

#[test]
fn half_precision_agrees_with_torchvision_to_its_own_precision() {
    for keep_bn in [false, true] {
        let architecture: Architecture = "resnet50".parse().unwrap();
        let options =
            GraphOptions { precision: GraphPrecision::Fp16, keep_bn, features: true, ..GraphOptions::default() };
        compare("torchvision.resnet50", &architecture, torchvision_weights(&architecture), options, HALF_TOLERANCE);
    }
}

#[test]
fn networks_that_are_converted_to_fp16_agree_with_torchvision_to_its_precision() {
    for (name, keep_bn) in [("resnet18", false), ("resnet50", false), ("resnet50", true), ("resnet101", true)] {
        let architecture: Architecture = name.parse().unwrap();
        let options = GraphOptions { keep_bn, features: true, ..GraphOptions::default() };
        let weights = torchvision_weights(&architecture);
        compare_converted(&format!("torchvision.{name}"), &architecture, weights, options);
    }
}

#[test]
fn converted_networks_with_padded_shortcuts_and_of_chainer_agree_too() {
    let options = || GraphOptions { features: true, ..GraphOptions::default() };
    let cifar = Architecture { shortcut: Shortcut::Identity(IdentityPadding::Centered), .."resnet56".parse().unwrap() };
    compare_converted("cifar_identity_centered.resnet56", &cifar, torchvision_weights(&cifar), options());
    let chainer = chainer(&"resnet50".parse().unwrap(), StrideIn::Conv1x1);
    compare_converted("chainer_msra.resnet50", &chainer, chainer_weights(&chainer), options());
}

#[test]
fn untrained_networks_stay_in_range_at_every_depth() {
    for name in ["resnet18", "resnet152", "resnet110-cifar", "resnext50_32x4d"] {
        let architecture: Architecture = name.parse().unwrap();
        let logits = run_untrained(&architecture);
        let largest = logits.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
        assert!((0.01..1000.0).contains(&largest), "{name}: the largest logit is {largest}");
        let (first, second) = logits.split_at(architecture.classes);
        assert_ne!(first, second, "{name}: two images, one answer");
    }
}

#[test]
fn every_golden_tensor_is_covered() {
    let in_file: BTreeSet<String> = golden().names().iter().map(|name| (*name).to_owned()).collect();
    let covered: BTreeSet<String> = COVERED
        .iter()
        .flat_map(|(implementation, names)| names.iter().map(move |name| format!("{implementation}.{name}")))
        .flat_map(|name| [format!("{name}.logits"), format!("{name}.features")])
        .collect();
    assert_eq!(in_file, covered);
    assert_eq!(covered.len(), 70);
}

/// Compares all networks of an implementation with the golden file.
fn reproduce(implementation: &str, weights: fn(&Architecture) -> StateDict, variant: impl Fn(&mut Architecture)) {
    let (_, names) = COVERED.iter().find(|(name, _)| *name == implementation).unwrap();
    for name in *names {
        let mut architecture: Architecture = name.parse().unwrap();
        variant(&mut architecture);
        let options = GraphOptions { features: true, ..GraphOptions::default() };
        compare(&format!("{implementation}.{name}"), &architecture, weights(&architecture), options, TOLERANCE);
    }
}

fn chainer(network: &Architecture, stride_in: StrideIn) -> Architecture {
    Architecture {
        stem: Stem::ImageNet(MaxPool::Ceil),
        stride_in,
        bn_epsilon: 2e-5,
        conv1_bias: true,
        ..network.clone()
    }
}

fn run_untrained(architecture: &Architecture) -> Vec<f32> {
    let _turn = one_at_a_time();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    resnetd::onnx::write(&network(architecture, untrained(architecture, 0), &GraphOptions::default()).unwrap(), &model)
        .unwrap();
    let size = architecture.input_size;
    let input = rule(&format!("input{size}"), &[2, 3, size, size], |u| 4.0 * u - 2.0);
    run(&model, &[2, 3, size, size], &input).remove("logits").unwrap()
}

/// Holds the memory of one network, not of one a test thread.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds a model folder, runs the file in it on the two golden images, and compares what comes out.
fn compare(name: &str, architecture: &Architecture, weights: StateDict, options: GraphOptions, tolerance: f32) {
    compare_edited(name, architecture, weights, options, tolerance, |_| {});
}

/// The same for the fp32 file, converted to fp16 as it is for a GPU; each image also keeps its first class.
fn compare_converted(name: &str, architecture: &Architecture, weights: StateDict, options: GraphOptions) {
    compare_edited(name, architecture, weights, options, CONVERTED_TOLERANCE, |path| {
        let bytes = std::fs::metadata(path).unwrap().len();
        let model = onnx::to_fp16(onnx::read(path).unwrap()).unwrap();
        onnx::write(&model, path).unwrap();
        assert!(std::fs::metadata(path).unwrap().len() * 100 < bytes * 51, "{name} is not halved");
    });
}

fn compare_edited(
    name: &str,
    architecture: &Architecture,
    weights: StateDict,
    options: GraphOptions,
    tolerance: f32,
    edit: impl FnOnce(&Path),
) {
    let _turn = one_at_a_time();

    let repository = tempfile::tempdir().unwrap();
    let recipe = Recipe {
        architecture: architecture.clone(),
        options,
        preprocessing: Preprocessing::torchvision(architecture),
        name: name.into(),
        version: None,
        labels: None,
        force: false,
    };
    let written = build(&recipe, weights, repository.path()).unwrap();
    edit(&written.model);
    let size = architecture.input_size;
    let input = rule(&format!("input{size}"), &[2, 3, size, size], |u| 4.0 * u - 2.0);
    let found = run(&written.model, &[2, 3, size, size], &input);
    for output in ["logits", "features"] {
        let expected = golden_values(&format!("{name}.{output}"));
        assert_eq!(found[output].len(), expected.len(), "{name}.{output}");
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let error = expected.iter().zip(&found[output]).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
        assert!(error <= tolerance * largest, "{name}.{output}: off by {error}, the largest is {largest}");
        let first_classes = |values: &[f32]| {
            let rows = values.chunks(values.len() / 2).map(|row| row.iter().copied().enumerate());
            rows.map(|row| row.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0).collect::<Vec<_>>()
        };
        assert_eq!(first_classes(&found[output]), first_classes(&expected), "{name}.{output}");
    }
}

/// Every output of the model, row-major, by name.
fn run(model: &Path, shape: &[usize; 4], input: &[f32]) -> BTreeMap<String, Vec<f32>> {
    static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
        let library = std::env::var_os("ORT_DYLIB_PATH").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/libonnxruntime.so.1.31.1"),
            Into::into,
        );
        ort::init_from(library).unwrap().with_telemetry(false).build().unwrap()
    });
    let mut session = Session::builder(&ENVIRONMENT).unwrap().commit_from_file(model).unwrap();
    let outputs = session.run(ort::inputs!["input" => TensorRef::from_array_view((*shape, input)).unwrap()]).unwrap();
    outputs
        .iter()
        .map(|(name, value)| (name.to_owned(), value.try_extract_tensor::<f32>().unwrap().1.to_vec()))
        .collect()
}

fn golden() -> SafeTensors<'static> {
    SafeTensors::deserialize(GOLDEN).unwrap()
}

fn golden_values(name: &str) -> Vec<f32> {
    let file = golden();
    let data = file.tensor(name).unwrap().data();
    data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The golden weights under torchvision's names.
fn torchvision_weights(architecture: &Architecture) -> StateDict {
    weights(architecture, str::to_owned)
}

/// The golden weights of Chainer, whose values follow from Chainer's names, under torchvision's.
fn chainer_weights(architecture: &Architecture) -> StateDict {
    weights(architecture, chainer_name)
}

fn weights(architecture: &Architecture, name_there: fn(&str) -> String) -> StateDict {
    let tensors = architecture.tensors().into_iter().map(|(name, shape)| {
        let data = golden_weight(&name_there(&name), &shape);
        (name, Weight { shape, data })
    });
    StateDict { tensors: tensors.collect() }
}

/// What Chainer's `save_npz` calls a tensor of torchvision.
fn chainer_name(name: &str) -> String {
    let (layer, field) = name.rsplit_once('.').unwrap();
    let layer = layer.replace("downsample.0", "conv4").replace("downsample.1", "bn4").replace("fc", "fc6");
    let field = match (layer.contains("bn"), field) {
        (false, "weight") => "W",
        (false, "bias") => "b",
        (true, "weight") => "gamma",
        (true, "bias") => "beta",
        (true, "running_mean") => "avg_mean",
        (true, "running_var") => "avg_var",
        _ => panic!("{name} is no tensor of a ResNet"),
    };
    let Some(rest) = layer.strip_prefix("layer") else { return format!("{layer}/{field}") };
    let [stage, module, link] = rest.split('.').collect::<Vec<_>>()[..] else { panic!("{name} has no place") };
    let stage = stage.parse::<usize>().unwrap() + 1;
    let module = if module == "0" { "a".to_owned() } else { format!("b{module}") };
    format!("res{stage}/{module}/{link}/{field}")
}

/// The weight rule: values follow from the name and the shape alone.
fn golden_weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let is_gamma = name.ends_with("gamma") || (name.ends_with(".weight") && shape.len() == 1);
    match *shape {
        [_, inputs, height, width] => {
            let bound = (6.0 / (inputs * height * width) as f64).sqrt();
            rule(name, shape, |u| (2.0 * u - 1.0) * bound)
        }
        [_, inputs] => {
            let bound = (3.0 / inputs as f64).sqrt();
            rule(name, shape, |u| (2.0 * u - 1.0) * bound)
        }
        _ if name.ends_with("running_var") || name.ends_with("avg_var") => rule(name, shape, |u| 0.75 + 0.5 * u),
        _ if is_gamma => rule(name, shape, |u| 0.4 + 0.2 * u),
        _ => rule(name, shape, |u| 0.1 * (2.0 * u - 1.0)),
    }
}

/// `value(u(name, i))` for each place: FNV-1a of the name, splitmix64 of its sum with the place, the top 24 bits.
fn rule(name: &str, shape: &[usize], value: impl Fn(f64) -> f64) -> Vec<f32> {
    let hash = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    (1..=shape.iter().product::<usize>() as u64)
        .map(|place| {
            let mut z = hash.wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            value((z >> 40) as f64 / f64::from(1 << 24)) as f32
        })
        .collect()
}
