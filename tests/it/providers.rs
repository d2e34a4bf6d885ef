//! Providers and tuning through the command line: what is missing is said, what is broken kills nobody, and a faster
//! engine gives the same answers.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::openvino::{self, PLUGIN};

const CAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/images/png_rgb.png");

/// `resnetd` on the built-in model, with a cache and plugins of its own.
struct Resnetd {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Resnetd {
    fn new() -> Self {
        Self { home: TempDir::new().expect("a folder"), variables: Vec::new() }
    }

    fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    fn engine(self, provider: &str, precision: &str) -> Self {
        self.with("RESNETD__RUNTIME__PROVIDER", provider).with("RESNETD__RUNTIME__PRECISION", precision)
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_resnetd"))
            .args(arguments)
            // An empty repository: the built-in model.
            .env("RESNETD__MODELS__DIR", self.home.path().join("models"))
            .env("RESNETD__RUNTIME__TUNE_CACHE", self.cache())
            .env("RESNETD__RUNTIME__TUNE", "true")
            .env("RESNETD__LOG__LEVEL", "info")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("the program starts")
    }

    /// Class index and probability of the cat, the most probable first, and the log.
    fn classify(&self) -> (Vec<(u64, f64)>, String) {
        let output = self.run(&["classify", CAT, "--format", "jsonl", "--top-k", "10"]);
        let log = text(&output.stderr);
        assert!(output.status.success(), "{log}");
        let stdout = text(&output.stdout);
        let line = stdout.lines().find(|line| line.starts_with('{')).expect("a result");
        let record: Value = serde_json::from_str(line).expect("JSON");
        let classes = record["classes"].as_array().expect("classes").iter();
        let class = |class: &Value| {
            (class["index"].as_u64().expect("an index"), class["probability"].as_f64().expect("a number"))
        };
        (classes.map(class).collect(), log + &stdout)
    }

    /// What it says when it cannot start.
    fn refusal(&self) -> String {
        let output = self.run(&["classify", CAT]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = text(&output.stderr);
        stderr.lines().find(|line| line.starts_with("error: ")).expect("one line that says what is wrong").to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Past the harness, which would keep it to itself: a test that did not run must not look like one that passed.
fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").expect("stderr");
}

/// The folder of the OpenVINO plugin, or a line that says that a test is skipped.
fn openvino(test: &str) -> Option<PathBuf> {
    openvino::folder().inspect_err(|why| skipped(test, why)).ok()
}

fn probability(classes: &[(u64, f64)], index: u64) -> f64 {
    classes.iter().find(|class| class.0 == index).expect("every class is listed").1
}

#[test]
fn a_provider_that_is_not_there_is_an_error_that_says_how_to_get_it() {
    let empty = TempDir::new().expect("a folder");
    let resnetd = Resnetd::new().engine("openvino", "auto").with("RESNETD_PLUGIN_DIR", empty.path().to_string_lossy());
    let refusal = resnetd.refusal();
    for part in [PLUGIN, &*empty.path().to_string_lossy(), "make runtime-openvino", "onnxruntime-ep-openvino"] {
        assert!(refusal.contains(part), "{part} is missing in: {refusal}");
    }
}

#[test]
fn gpu_providers_are_refused_clearly_where_there_is_no_gpu() {
    if Path::new("/dev/nvidiactl").exists() {
        skipped("gpu_providers_are_refused_clearly_where_there_is_no_gpu", "there is a GPU");
        return;
    }
    for provider in ["cuda", "tensorrt"] {
        let refusal = Resnetd::new().engine(provider, "auto").refusal();
        assert!(refusal.contains(provider) && refusal.contains("no NVIDIA GPU"), "{refusal}");
    }
}

#[test]
fn an_arithmetic_that_the_provider_lacks_is_refused_with_what_to_set() {
    let refusal = Resnetd::new().engine("cpu", "bf16").refusal();
    assert!(refusal.contains("no bf16 arithmetic") && refusal.contains("openvino"), "{refusal}");
}

#[test]
fn half_a_plugin_is_an_error_where_it_is_asked_for_and_a_warning_where_it_is_not() {
    let folder = TempDir::new().expect("a folder");
    let program = fs::read(env!("CARGO_BIN_EXE_resnetd")).expect("the program");
    fs::write(folder.path().join(PLUGIN), &program[..program.len() / 2]).expect("a file");
    let half = || Resnetd::new().with("RESNETD_PLUGIN_DIR", folder.path().to_string_lossy());

    let refusal = half().engine("openvino", "fp32").refusal();
    assert!(refusal.contains("cut off") && refusal.contains("make runtime-openvino"), "{refusal}");

    let (_, log) = half().classify();
    assert!(log.contains("WARN") && log.contains("cut off") && log.contains("provider=\"cpu\""), "{log}");
}

#[test]
fn a_library_that_is_no_plugin_is_an_error_in_one_line() {
    let folder = TempDir::new().expect("a folder");
    // It is whole, and made for this processor, and knows nothing of ONNX Runtime.
    fs::copy(env!("CARGO_BIN_EXE_resnetd"), folder.path().join(PLUGIN)).expect("a file");
    let resnetd = Resnetd::new().engine("openvino", "fp32").with("RESNETD_PLUGIN_DIR", folder.path().to_string_lossy());
    let refusal = resnetd.refusal();
    assert!(refusal.contains(PLUGIN) && refusal.contains("cannot be used"), "{refusal}");
}

#[test]
fn openvino_in_fp32_answers_as_the_processor_does_and_in_bf16_nearly() {
    let Some(folder) = openvino("openvino_in_fp32_answers_as_the_processor_does_and_in_bf16_nearly") else { return };
    let engine = |provider: &str, precision: &str| {
        let resnetd = Resnetd::new().engine(provider, precision).with("RESNETD__RUNTIME__TUNE", "false");
        resnetd.with("RESNETD_PLUGIN_DIR", folder.to_string_lossy()).classify()
    };
    let (reference, _) = engine("cpu", "fp32");
    for (precision, tolerance) in [("fp32", 1e-4), ("bf16", 0.02)] {
        let (answers, log) = engine("openvino", precision);
        assert!(log.contains("provider=\"openvino\"") && log.contains(precision), "{log}");
        for &(index, want) in &reference {
            let got = probability(&answers, index);
            assert!((got - want).abs() <= tolerance, "class {index} in {precision}: {got} and {want}");
        }
    }
}

#[test]
fn what_was_measured_is_kept_for_the_next_start_and_a_damaged_cache_is_measured_anew() {
    let empty = TempDir::new().expect("a folder");
    let resnetd = Resnetd::new().with("RESNETD_PLUGIN_DIR", empty.path().to_string_lossy());
    let again = |log: &str| log.contains("measured at an earlier start");
    assert!(!again(&resnetd.classify().1));
    assert!(again(&resnetd.classify().1));

    let files: Vec<_> = fs::read_dir(resnetd.cache()).expect("a cache").map(|entry| entry.unwrap().path()).collect();
    // For this file, and for the same network with other weights.
    assert_eq!(files.len(), 2, "{files:?}");
    files.iter().for_each(|file| fs::write(file, "{\"key\": 1").expect("a file"));
    let log = resnetd.classify().1;
    assert!(log.contains("damaged") && !again(&log), "{log}");
    assert!(again(&resnetd.classify().1));
}

#[test]
fn tuning_can_be_turned_off() {
    let resnetd = Resnetd::new().with("RESNETD__RUNTIME__TUNE", "false");
    let (_, log) = resnetd.classify();
    assert!(log.contains("tune is off") && log.contains("provider=\"cpu\""), "{log}");
    assert!(!resnetd.cache().exists());
}

#[test]
fn tune_prints_what_it_measured_and_the_server_takes_it() {
    let empty = TempDir::new().expect("a folder");
    // One shape and one batch: the test is about the way, not the figures.
    let resnetd = Resnetd::new()
        .with("RESNETD_PLUGIN_DIR", empty.path().to_string_lossy())
        .with("RESNETD__RUNTIME__INTRA_THREADS", "1")
        .with("RESNETD__BATCHING__MAX_BATCH_SIZE", "2");
    let output = resnetd.run(&["tune", "resnet20-cifar10", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let document: Value = serde_json::from_str(&stdout[stdout.find('{').unwrap_or_default()..]).expect("JSON");

    assert_eq!((&document["goal"], &document["chosen"]["provider"]), (&"throughput".into(), &"cpu".into()));
    let rows = document["measurements"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["intra_threads"] == 1 && row["batch_size"].as_u64() <= Some(2)), "{rows:?}");
    assert!(rows.contains(&document["chosen"]));
    if rows.iter().any(|row| row["instances"] != rows[0]["instances"]) {
        assert!(resnetd.classify().1.contains("measured at an earlier start"));
    }
}

#[test]
fn tune_names_the_models_there_are() {
    let output = Resnetd::new().run(&["tune", "resnet5O"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there is resnet20-cifar10"), "{}", text(&output.stderr));
    let output = Resnetd::new().run(&["tune", "resnet20-cifar10", "--goal", "p99"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("p99=MS"), "{}", text(&output.stderr));
}
