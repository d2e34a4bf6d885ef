//! `resnetd quantize`, as a user runs it: an int8 version that answers as the fp32 one, or one clear line and nothing written.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use prost::Message;
use resnetd::{
    onnx::{self, ConvShape, DataType, GraphBuilder, TensorProto, f32_values, float_tensor, value_info},
    runtime::{Executor, GraphSource, SessionOptions},
    tensor::{Batch, Layout, Logits},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{openvino, runtime};

const CIFAR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cifar10");
const NAME: &str = "resnet20-cifar10";

fn calibration() -> PathBuf {
    Path::new(CIFAR).join("calibration")
}

fn resnetd(models: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resnetd"));
    let (verb, rest) = arguments.split_first().unwrap();
    command.arg(verb).arg("--models").arg(models).args(rest);
    command
}

fn quantize(models: &Path, calibration: &Path, more: &[&str]) -> Output {
    let mut command = resnetd(models, &["quantize", NAME, "--calibration"]);
    command.arg(calibration).args(more).output().unwrap()
}

fn resnetd_inspect(graph: &Path, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_resnetd")).arg("inspect").arg(graph).args(more).output().unwrap();
    assert_done(&output);
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

/// Refused with exit code 1, one line that has all of `words`, and nothing in `models`.
#[track_caller]
fn assert_refused(output: &Output, models: &Path, words: &[&str]) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && words.iter().all(|word| last.contains(word)), "{stderr}");
    let left: Vec<_> = fs::read_dir(models).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn report(models: &Path, version: u64) -> Value {
    let path = models.join(NAME).join(version.to_string()).join("quantization.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The ten images, each in a folder named after its class.
fn class_folders() -> TempDir {
    let root = TempDir::new().unwrap();
    for entry in fs::read_dir(CIFAR).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            let folder = root.path().join(path.file_stem().unwrap());
            fs::create_dir(&folder).unwrap();
            fs::copy(&path, folder.join("1.jpg")).unwrap();
        }
    }
    root
}

/// Sixteen images of nothing: what a network does with them says nothing of photos.
fn gray_images() -> TempDir {
    let root = TempDir::new().unwrap();
    for index in 0..16 {
        let file = root.path().join(format!("{index}.png"));
        image::RgbImage::from_pixel(32, 32, image::Rgb([124, 116, 104])).save(file).unwrap();
    }
    root
}

/// How far the highest version's probabilities of the ten images are from PyTorch's, on average. No class is far off.
fn mean_drift(models: &Path) -> f64 {
    let mut command = resnetd(models, &["classify", "--format", "json", "--top-k", "10"]);
    let output = command.arg(CIFAR).output().unwrap();
    assert_done(&output);
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let reference = fs::read_to_string(Path::new(CIFAR).join("probabilities.tsv")).unwrap();
    let (mut moved, mut count) = (0.0, 0.0);
    for line in reference.lines() {
        let mut fields = line.split('\t');
        let name = fields.next().unwrap();
        let wanted: Vec<f64> = fields.map(|field| field.parse().unwrap()).collect();
        let file = Path::new(CIFAR).join(format!("{name}.jpg"));
        let answer = answers.iter().find(|answer| answer["file"] == file.to_str().unwrap()).unwrap();
        assert_eq!(answer["classes"][0]["label"], name);
        for class in answer["classes"].as_array().unwrap() {
            let wanted = wanted[class["index"].as_u64().unwrap() as usize];
            let drift = (class["probability"].as_f64().unwrap() - wanted).abs();
            assert!(drift < 0.05, "{name}, {}: {drift}", class["label"]);
            (moved, count) = (moved + drift, count + 1.0);
        }
    }
    assert_eq!(count, 100.0);
    moved / count
}

#[test]
fn the_int8_version_gives_the_probabilities_of_the_fp32_reference() {
    let models = TempDir::new().unwrap();
    assert_done(&quantize(models.path(), &calibration(), &[]));
    let drift = mean_drift(models.path());
    assert!(drift < 0.005, "{drift}");
}

/// It judges between engines that round in different places.
#[test]
fn an_int8_network_without_its_rounding_is_nearer_to_fp32() {
    let models = TempDir::new().unwrap();
    assert_done(&quantize(models.path(), &calibration(), &[]));
    let rounding = mean_drift(models.path());
    let model = models.path().join(NAME);
    let exact = onnx::without_rounding(onnx::read(&model.join("2/model.onnx")).unwrap()).unwrap();
    fs::create_dir(model.join("3")).unwrap();
    onnx::write(&exact, &model.join("3/model.onnx")).unwrap();
    let exact = mean_drift(models.path());
    assert!(exact < rounding, "{exact} of {rounding}");
}

/// A version with 8-bit weights that was made elsewhere: without VNNI, 255 * 127 twice does not fit the processor's 16 bits.
#[test]
fn sums_of_8_bit_products_are_not_cut_off_on_any_processor() {
    let mut graph = GraphBuilder::new("white");
    let image = graph.input(value_info("image", DataType::Float, &[3, 4, 4]));
    let bytes = |name: &str, dims: &[i64], data_type: DataType, byte: u8| TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: data_type.into(),
        raw_data: vec![byte; dims.iter().product::<i64>() as usize].into(),
        ..TensorProto::default()
    };
    let zero = graph.initializer(bytes("zero", &[], DataType::Uint8, 0));
    let weight_zero = graph.initializer(bytes("weight_zero", &[], DataType::Int8, 0));
    let weight = graph.initializer(bytes("weight", &[16, 3, 3, 3], DataType::Int8, 127));
    let scales = [("unit", 1.0 / 255.0), ("weight_unit", 1.0 / 127.0), ("sum_unit", 27.0 / 255.0)];
    let [unit, weight_unit, sum_unit] =
        scales.map(|(name, scale)| graph.initializer(float_tensor(name, &[], &[scale])));
    let through_8_bits = |graph: &mut GraphBuilder, name: &str, value: &str, scale: &str| {
        let quantized = graph.node("QuantizeLinear", &format!("{name}_q"), &[value, scale, &zero], Vec::new());
        graph.node("DequantizeLinear", &format!("{name}_dq"), &[&quantized, scale, &zero], Vec::new())
    };
    let x = through_8_bits(&mut graph, "x", &image, &unit);
    let w = graph.node("DequantizeLinear", "w", &[&weight, &weight_unit, &weight_zero], Vec::new());
    let sums = graph.conv("conv", &x, &w, None, ConvShape { kernel: 3, stride: 1, padding: 0, groups: 1 });
    let sums = through_8_bits(&mut graph, "sums", &sums, &sum_unit);
    let mean = graph.global_average_pool("mean", &sums);
    let logits = graph.flatten("flat", &mean);
    graph.output(&logits, value_info("logits", DataType::Float, &[16]));
    let file = graph.finish(8, 17, &[]).encode_to_vec();

    let options = SessionOptions::reference(1, 1);
    let mut network = runtime().executor(GraphSource::Memory(&file), options).unwrap();
    let mut white = Batch::new(Layout::Nchw, 4, 4, 1);
    white.push().fill(1.0);
    let mut logits = Logits::default();
    network.run(&white, &mut logits).unwrap();

    for &logit in logits.rows().next().unwrap() {
        assert!((logit - 27.0).abs() < 1e-3, "27 ones add up to {logit}");
    }
}

#[test]
fn the_built_in_model_is_copied_beside_its_int8_version() {
    let models = TempDir::new().unwrap();
    let evaluation = class_folders();
    let evaluate = evaluation.path().to_str().unwrap();
    assert_done(&quantize(models.path(), &calibration(), &["--evaluate", evaluate, "--method", "mse"]));

    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(NAME);
    for file in ["1/model.onnx", "model.toml", "labels.txt"] {
        assert_eq!(
            fs::read(models.path().join(NAME).join(file)).unwrap(),
            fs::read(source.join(file)).unwrap(),
            "{file}"
        );
    }
    let int8 = models.path().join(NAME).join("2/model.onnx");
    let inspected = resnetd_inspect(&int8, &[]);
    for row in ["quantized     from version 1", "top-1 ", "evaluation images, probabilities move by"] {
        assert!(inspected.contains(row), "{row} is missing in\n{inspected}");
    }
    let report = report(models.path(), 2);
    let inspected: Value = serde_json::from_str(&resnetd_inspect(&int8, &["--format", "json"])).unwrap();
    assert_eq!(inspected["quantization"], report);
    assert_eq!((&report["method"], &report["judged_on"]), (&"mse".into(), &"evaluation".into()));
    assert_eq!(report["answers"]["labelled"], 10);
    // The reference run gives each of the ten its own class.
    assert_eq!(report["answers"]["top1_fp32_percent"], 100.0);
    assert_eq!(report["calibration_images"], 40);
    let providers = report["images_per_second"].as_array().unwrap();
    assert_eq!(providers[0]["provider"], "cpu");
    assert_eq!(providers.len() > 1, openvino::folder().is_ok(), "{providers:?}");
    for speed in providers {
        assert!(speed["fp32"].as_f64().unwrap() > 0.0 && speed["int8"].as_f64().unwrap() > 0.0, "{speed}");
    }

    // The next one goes beside it, from the fp32 version; from the int8 one there is nothing to make.
    let again = quantize(models.path(), &calibration(), &[]);
    assert!(stderr(&again).contains("quantized already") && stderr(&again).contains("--version"), "{}", stderr(&again));
    assert_done(&quantize(
        models.path(),
        &calibration(),
        &["--version", "1", "--weight-bits", "7", "--method", "minmax"],
    ));
    assert!(models.path().join(NAME).join("3/model.onnx").is_file());
}

/// A library beside the plugin that is cut off.
#[cfg(target_os = "linux")]
#[test]
fn a_provider_that_is_there_and_broken_has_the_reason_in_its_row() {
    let (models, plugins) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let program = fs::read(env!("CARGO_BIN_EXE_resnetd")).unwrap();
    let plugin = plugins.path().join(openvino::PLUGIN);
    fs::write(&plugin, &program[..program.len() / 2]).unwrap();
    let mut command = resnetd(models.path(), &["quantize", NAME, "--calibration"]);
    let output = command.arg(calibration()).env("RESNETD_PLUGIN_DIR", plugins.path()).output().unwrap();

    assert_done(&output);
    let report = report(models.path(), 2);
    let [cpu, openvino] = &report["images_per_second"].as_array().unwrap()[..] else { panic!("{report}") };
    assert!(cpu["int8"].as_f64().unwrap() > 0.0 && cpu.get("failure").is_none(), "{cpu}");
    assert_eq!((&openvino["provider"], &openvino["int8"]), (&"openvino".into(), &Value::Null));
    assert!(openvino["failure"].as_str().unwrap().contains("cut off"), "{openvino}");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("openvino fails here: ") && table.contains("cut off"), "{table}");
}

#[test]
fn answers_that_do_not_hold_are_written_only_by_force() {
    let models = TempDir::new().unwrap();
    let (gray, evaluation) = (gray_images(), class_folders());
    let evaluate = ["--evaluate", evaluation.path().to_str().unwrap(), "--keep-fp32", "0"];
    let refused = quantize(models.path(), gray.path(), &evaluate);
    assert_refused(&refused, models.path(), &["nothing was written", "top-1 falls from 100.00 %", "--force"]);

    assert_done(&quantize(models.path(), gray.path(), &[&evaluate[..], &["--force"]].concat()));
    assert!(report(models.path(), 2)["objection"].as_str().unwrap().contains("top-1 falls"));
}

/// The built-in model, with weights of one layer that 8 bits cannot hold: behind a channel that is always zero they are a
/// thousand times the others, which matters to nobody in fp32 and rounds all the others to nothing in 8 bits.
fn model_with_a_layer_that_needs_fp32(models: &Path, before: &str, layer: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(NAME);
    let target = models.join(NAME);
    fs::create_dir_all(target.join("1")).unwrap();
    for file in ["model.toml", "labels.txt"] {
        fs::copy(source.join(file), target.join(file)).unwrap();
    }
    let mut model = onnx::read(&source.join("1/model.onnx")).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let inputs = |name: &str| graph.node.iter().find(|node| node.name == name).unwrap().input.clone();
    let (before, layer) = (inputs(before), inputs(layer));
    let mut edit = |name: &str, change: &dyn Fn(&[usize], &mut [f32])| {
        let tensor = graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap();
        let shape: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let mut values = f32_values(tensor).unwrap();
        change(&shape, &mut values);
        *tensor = float_tensor(name, &shape, &values);
    };
    edit(&before[1], &|shape, values| {
        let first = values.len() / shape[0];
        values[..first].fill(0.0);
    });
    edit(&before[2], &|_, values| values[0] = 0.0);
    edit(&layer[1], &|shape, values| {
        let kernel = shape[2] * shape[3];
        values.chunks_exact_mut(shape[1] * kernel).for_each(|output| output[..kernel].fill(1000.0));
    });
    onnx::write(&model, &target.join("1/model.onnx")).unwrap();
}

#[test]
fn the_layer_that_ruins_the_answers_is_found_and_stays_fp32() {
    let models = TempDir::new().unwrap();
    model_with_a_layer_that_needs_fp32(models.path(), "layer2.1.conv1", "layer2.1.conv2");

    let all_in_8_bits = quantize(models.path(), &calibration(), &["--keep-fp32", "0"]);
    assert_eq!(all_in_8_bits.status.code(), Some(1));
    assert!(stderr(&all_in_8_bits).contains("nothing was written: the top class stays for"), "{all_in_8_bits:?}");
    assert!(!models.path().join(NAME).join("2").exists());

    let output = quantize(models.path(), &calibration(), &[]);
    assert_done(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("in fp32 stay layer2.1.conv2"), "{output:?}");
    let report = report(models.path(), 2);
    assert_eq!((&report["kept_fp32"], &report["objection"]), (&json!(["layer2.1.conv2"]), &Value::Null));
    assert!(report["answers"]["agreement_percent"].as_f64().unwrap() >= 98.5, "{report}");
    let graph = onnx::read(&models.path().join(NAME).join("2/model.onnx")).unwrap().graph.unwrap();
    let weights = |layer: &str| {
        let node = graph.node.iter().find(|node| node.name == layer).unwrap();
        graph.initializer.iter().find(|tensor| tensor.name == node.input[1])
    };
    assert!(weights("layer2.1.conv2").is_some_and(|tensor| tensor.data_type == i32::from(DataType::Float)));
    assert!(weights("layer2.1.conv1").is_none(), "the others' weights come out of DequantizeLinear");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_with_one_line_and_nothing_left_behind() {
    let (models, images) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for entry in walkdir::WalkDir::new(calibration()).into_iter().flatten().filter(|e| e.path().is_file()) {
        fs::copy(entry.path(), images.path().join(format!("{}.jpg", fs::read_dir(images.path()).unwrap().count() + 1)))
            .unwrap();
    }
    // It complains of this one when the work has begun and most of it is still to come.
    fs::write(images.path().join("0.jpg"), "broken").unwrap();
    let mut command = resnetd(models.path(), &["quantize", NAME, "--calibration"]);
    let mut child = command.arg(images.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("passed over"));

    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();

    assert!(kill.success());
    assert_eq!(lines.collect::<Vec<_>>(), ["error: interrupted; nothing was written"]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_the_work() {
    let models = TempDir::new().unwrap();
    let file = models.path().join("file");
    fs::write(&file, "").unwrap();
    // With three images, minutes later, the images would be what is wrong.
    let images = TempDir::new().unwrap();
    fs::copy(Path::new(CIFAR).join("cat.jpg"), images.path().join("1.jpg")).unwrap();
    let output = quantize(&file, images.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = stderr(&output);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&format!("cannot read the model repository {}", file.display())), "{stderr}");
    assert_eq!(stderr.matches("os error").count(), 1, "{stderr}");
}

#[test]
fn damaged_images_are_named_counted_and_passed_over() {
    let (models, images) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (index, entry) in
        walkdir::WalkDir::new(calibration()).into_iter().flatten().filter(|e| e.path().is_file()).enumerate()
    {
        fs::copy(entry.path(), images.path().join(format!("{index}.jpg"))).unwrap();
    }
    fs::write(images.path().join("empty.jpg"), "").unwrap();
    fs::write(images.path().join("text.png"), "no image").unwrap();

    let output = quantize(models.path(), images.path(), &[]);

    assert_done(&output);
    let stderr = stderr(&output);
    assert!(stderr.contains("empty.jpg: the image is empty") && stderr.contains("text.png: "), "{stderr}");
    assert_eq!(report(models.path(), 2)["unreadable_images"], 2);
}

#[test]
fn too_few_calibration_images_are_refused() {
    let (models, images) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert_refused(&quantize(models.path(), images.path(), &[]), models.path(), &["no images found"]);
    for index in 0..3 {
        fs::copy(Path::new(CIFAR).join("cat.jpg"), images.path().join(format!("{index}.jpg"))).unwrap();
    }
    let few = quantize(models.path(), images.path(), &[]);
    assert_refused(&few, models.path(), &["3 of 3 calibration images", "at least 16"]);
    for index in 3..20 {
        fs::write(images.path().join(format!("{index}.jpg")), "broken").unwrap();
    }
    let broken = quantize(models.path(), images.path(), &[]);
    assert_refused(&broken, models.path(), &["3 of 20 calibration images", "at least 16"]);
}

#[test]
fn folders_that_are_no_class_are_named() {
    let models = TempDir::new().unwrap();
    let evaluation = class_folders();
    fs::rename(evaluation.path().join("dog"), evaluation.path().join("wolf")).unwrap();
    let output = quantize(models.path(), &calibration(), &["--evaluate", evaluation.path().to_str().unwrap()]);
    assert_refused(&output, models.path(), &["1 of the folders", "wolf", "airplane"]);
}

#[test]
fn a_layer_that_is_not_there_cannot_stay_fp32() {
    let models = TempDir::new().unwrap();
    let output = quantize(models.path(), &calibration(), &["--keep-fp32", "layer9.conv1"]);
    assert_refused(&output, models.path(), &["layer9.conv1", "layer1.0.conv1"]);
}

/// The disk is full: the shell allows no file beyond 50 KB, and writing fails as on a full disk.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_leaves_nothing_behind() {
    let models = TempDir::new().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_resnetd"), "quantize", NAME])
        .arg("--calibration")
        .arg(calibration())
        .arg("--models")
        .arg(models.path())
        .output()
        .unwrap();
    assert_refused(&output, models.path(), &["cannot write", "has room"]);
    assert_eq!(stderr(&output).matches("os error").count(), 1, "the cause is said once: {}", stderr(&output));
}
