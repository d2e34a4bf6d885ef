//! `resnetd evaluate`, as a user runs it: figures that other programs compute too, runs that go on where they were interrupted,
//! and one clear line where something is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use resnetd::{
    evaluate::{ExaminedNetwork, Journal, JournalKey, LabelledImage, Spectator, Views, evaluate},
    model::{Manifest, RESNET20_CIFAR10},
    runtime::GraphSource,
    settings::{Batching, RuntimeSettings},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    images, program,
    program::{ended, glance, resnetd},
    runtime,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const NAME: &str = "resnet20-cifar10";
const LABELS: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// An empty repository and a folder of images; nothing of the user's is read or written.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.at("models")).unwrap();
        fs::create_dir(place.at("data")).unwrap();
        place
    }

    /// With the ten images, each in the folder of its class but for the cat, which is said to be a dog.
    fn with_a_cat_among_the_dogs() -> Self {
        let place = Self::new();
        for (index, label) in LABELS.into_iter().enumerate() {
            let folder = match label {
                "cat" => "dog".to_owned(),
                "ship" => index.to_string(),
                other => other.to_owned(),
            };
            place.put(&format!("{folder}/{label}.jpg"), &images::cifar(label));
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file among the images.
    fn put(&self, name: &str, content: &[u8]) {
        let file = self.at("data").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = resnetd(&["evaluate", NAME, "--models", "models", "--data", "data"]);
        command.args(arguments).current_dir(self.folder.path()).env("XDG_CACHE_HOME", self.at("cache"));
        command
    }

    fn evaluate(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.evaluate(&[arguments, &["--format", "json"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Refused with exit code 1 and one line that has all of `words`.
    #[track_caller]
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.evaluate(arguments);
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(output.stdout.is_empty());
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && words.iter().all(|word| last.contains(word)), "{stderr}");
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn near(value: &Value, wanted: f64) -> bool {
    (value.as_f64().unwrap() - wanted).abs() < 1e-5
}

#[test]
fn figures_are_those_of_numpy() {
    let place = Place::with_a_cat_among_the_dogs();
    let report = place.json(&[]);
    assert_eq!(report["model"], NAME);
    assert_eq!((&report["images"], &report["failed"]), (&10.into(), &0.into()));
    // The network knows the ten images, and a dog is its second guess for the cat.
    assert!(near(&report["top1_error"], 0.1) && near(&report["top5_error"], 0.0), "{report}");
    // From cifar10/probabilities.tsv with numpy: digitize(confidence, linspace(0, 1, 16), right=True), and for each bin
    // images / 10 * abs(right.mean() - confidence.mean()), summed.
    assert!(near(&report["ece"], 0.134_009_4), "{}", report["ece"]);
    let dog = &report["per_class"].as_array().unwrap().iter().find(|class| class["label"] == "dog").unwrap();
    assert_eq!((&dog["images"], dog["index"].as_u64()), (&2.into(), Some(5)));
    assert!(near(&dog["top1_error"], 0.5));
    let confusion = &report["confusion"];
    assert_eq!((&confusion[5][3], &confusion[5][5], &confusion[8][8]), (&1.into(), &1.into(), &1.into()));
    assert!(report["images_per_second"].as_f64().unwrap() > 0.0);
    assert!(!place.at("cache/resnetd/evaluate").read_dir().unwrap().any(|_| true), "what is done is done");
}

#[test]
fn a_list_beside_flat_images_says_the_same_as_class_folders() {
    let (folders, flat) = (Place::with_a_cat_among_the_dogs(), Place::new());
    let mut list = "file,class\n".to_owned();
    for label in LABELS {
        flat.put(&format!("{label}.jpg"), &images::cifar(label));
        list += &format!("{label}.jpg,{}\n", if label == "cat" { "Dog" } else { label });
    }
    flat.put("labels.csv", list.as_bytes());
    let (one, other) = (folders.json(&[]), flat.json(&[]));
    for key in ["images", "top1_error", "ece", "confusion"] {
        assert_eq!(one[key], other[key], "{key}");
    }
    fs::rename(flat.at("data/labels.csv"), flat.at("labels.csv")).unwrap();
    fs::write(flat.at("val.txt"), "cat.jpg 3\ndog.jpg 5\n").unwrap();
    let report = flat.json(&[]);
    assert_eq!((&report["images"], &report["unlabelled"]), (&10.into(), &0.into()), "the table goes first");
    fs::remove_file(flat.at("labels.csv")).unwrap();
    let report = flat.json(&[]);
    assert_eq!((&report["images"], &report["unlabelled"]), (&2.into(), &8.into()));
}

#[test]
fn a_bad_file_is_named_counted_and_passed_over() {
    let place = Place::with_a_cat_among_the_dogs();
    place.put("dog/half.jpg", &images::cifar("dog")[..300]);
    place.put("truck/empty.png", b"");
    let output = place.evaluate(&["--format", "json", "--output", "report.json"]);
    let text = stderr(&output);
    assert!(output.status.success() && text.contains("half.jpg") && text.contains("empty.png"), "{text}");
    let report: Value = serde_json::from_slice(&fs::read(place.at("report.json")).unwrap()).unwrap();
    assert_eq!((&report["images"], &report["failed"]), (&10.into(), &2.into()));
    assert_eq!(report["failures"][0]["file"], "dog/half.jpg");
    let mut left: Vec<_> = place.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["data", "models", "report.json"], "nothing is left beside it");
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_the_remedy() {
    let place = Place::new();
    place.refused(&[], &["--data", "no images found"]);
    place.put("loose.jpg", &images::cifar("cat"));
    place.refused(&[], &["none of the 1 images", "labels.csv", "airplane"]);
    place.put("wolf/1.jpg", &images::cifar("dog"));
    place.refused(&[], &["1 of 1 folders", "wolf", "airplane"]);
    fs::rename(place.at("data/wolf"), place.at("data/10")).unwrap();
    place.refused(&[], &["10 (an index beyond the last class, 9)"]);
    fs::rename(place.at("data/10"), place.at("data/dog")).unwrap();
    place.refused(&["--version", "7"], &["no version 7", "[1]"]);
    place.refused(&["--against", "7"], &["--against", "no version 7"]);
    place.refused(&["--against", "1"], &["--against 1 is the version"]);
    place.refused(&["--output", "nowhere/report.html"], &["cannot write nowhere/report.html"]);
    place.put("labels.csv", b"loose.jpg,cat\nloose.jpg,dog\n");
    place.refused(&[], &["labels.csv line 2", "in line 1"]);
    place.put("labels.csv", b"loose.jpg,12\n");
    place.refused(&[], &["labels.csv line 1", "12 is an index beyond the last class, 9"]);
    place.put("labels.csv", b"other.jpg,cat\n");
    place.refused(&[], &["none of the 1 images", "other.jpg"]);

    let missing = resnetd(&["evaluate", NAME, "--models"]).arg(place.at("models")).args(["--data", "nowhere"]).output();
    assert!(stderr(&missing.unwrap()).contains("there is no such file or folder"));
    for wrong in [&["--crops", "10", "--scales", "32"][..], &["--crops", "5"], &["--scales", "0"], &["--scales", "a"]] {
        assert_eq!(place.evaluate(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn images_that_all_cannot_be_read_are_a_failure() {
    let place = Place::new();
    place.put("cat/1.jpg", b"no picture");
    place.refused(&[], &["none of the 1 images could be read"]);
}

/// Two versions of one graph, of which the second thinks that cats are dogs and dogs cats.
fn with_a_second_version(place: &Place) {
    use resnetd::onnx::{decode, f32_values, float_tensor, into_bytes};
    let folder = place.at("models").join(NAME);
    let mut model = decode(RESNET20_CIFAR10.graph.into()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    for weight in graph.initializer.iter_mut().filter(|weight| weight.dims.first() == Some(&10)) {
        let mut values = f32_values(weight).unwrap().to_vec();
        let row = values.len() / 10;
        for place in 0..row {
            values.swap(3 * row + place, 5 * row + place);
        }
        let dims: Vec<usize> = weight.dims.iter().map(|&dim| dim as usize).collect();
        *weight = float_tensor(weight.name.clone(), &dims, &values);
    }
    for (version, bytes) in [("1", RESNET20_CIFAR10.graph.to_vec()), ("2", into_bytes(model))] {
        fs::create_dir_all(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("model.onnx"), bytes).unwrap();
    }
    fs::write(folder.join("labels.txt"), RESNET20_CIFAR10.labels).unwrap();
    fs::write(folder.join("model.toml"), RESNET20_CIFAR10.manifest).unwrap();
}

#[test]
fn two_versions_are_compared_image_by_image() {
    let place = Place::with_a_cat_among_the_dogs();
    with_a_second_version(&place);
    let report = place.json(&["--version", "1", "--against", "2"]);
    // The second version takes the cat for the dog that it is said to be, and the dog for a cat.
    assert!(near(&report["top1_error"], 0.1) && near(&report["against"]["top1_error"], 0.1));
    let comparison = &report["comparison"];
    for (key, count) in [("both_right", 8), ("only_version_right", 1), ("only_against_right", 1), ("both_wrong", 0)] {
        assert_eq!(comparison[key], count, "{key}");
    }
    assert_eq!(
        (&comparison["mcnemar"]["method"], &comparison["mcnemar"]["p"]),
        (&"exact_binomial".into(), &1.0.into())
    );
    let differ = comparison["differ"].as_array().unwrap();
    let files: Vec<_> = differ.iter().map(|image| image["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["dog/cat.jpg", "dog/dog.jpg"]);
    assert_eq!((&differ[0]["version"]["label"], &differ[0]["against"]["label"]), (&"cat".into(), &"dog".into()));

    let table = place.evaluate(&["--version", "1", "--against", "2"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("dog/cat.jpg (dog): cat, dog") && table.contains("may be chance"), "{table}");
}

#[test]
fn the_page_holds_nothing_from_elsewhere_and_names_are_no_markup() {
    let place = Place::with_a_cat_among_the_dogs();
    with_a_second_version(&place);
    let labels = RESNET20_CIFAR10.labels.replace("dog", "<script>alert(1)</script>");
    fs::write(place.at("models").join(NAME).join("labels.txt"), labels).unwrap();
    fs::rename(place.at("data/dog"), place.at("data/5")).unwrap();
    place.put("5/<img src=x onerror=alert(2)>.jpg", b"no picture");
    let output = place.evaluate(&["--format", "html", "--output", "report.html", "--version", "1", "--against", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(place.at("report.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&lt;img src=x"));
    for foreign in ["<script", "<img", "http:", "https:", "url(", "@import", "<link", "NaN"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.matches("<svg").count() == 4 && page.contains("McNemar"), "two plots for each version");
    for tag in ["svg", "table", "details", "div", "g", "tr"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

/// A network of 8x8 pixels without pooling, and nothing but its weights.
fn graph_of_one_size(classes: usize) -> Vec<u8> {
    use resnetd::onnx::{DataType, GraphBuilder, float_tensor, into_bytes, value_info};
    let mut graph = GraphBuilder::new("flat");
    let x = graph.input(value_info("x", DataType::Float, &[3, 8, 8]));
    let flat = graph.flatten("flat", &x);
    let weight = graph.initializer(float_tensor("w", &[classes, 192], &vec![0.01; classes * 192]));
    let bias =
        graph.initializer(float_tensor("b", &[classes], &(0..classes).map(|class| class as f32).collect::<Vec<_>>()));
    let y = graph.linear("y", &flat, &weight, &bias);
    graph.output(&y, value_info("y", DataType::Float, &[classes]));
    into_bytes(graph.finish(8, 17, &[]))
}

#[test]
fn what_a_network_cannot_do_is_refused_before_the_images_are_run() {
    let place = Place::new();
    for (version, classes) in [("1", 2), ("2", 3)] {
        let folder = place.at("models").join(NAME).join(version);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model.onnx"), graph_of_one_size(classes)).unwrap();
    }
    place.put("1/cat.jpg", &images::cifar("cat"));
    place.refused(&["--scales", "8,16", "--version", "1"], &["no other size than its own", "--crops 10"]);
    place.refused(&["--against", "1"], &["version 2 has 3 classes and version 1 has 2"]);
    // Without labels, classes are called by their index; the last bias is the largest.
    let report = place.json(&["--version", "1", "--crops", "10"]);
    assert_eq!((&report["top1_error"], &report["protocol"]), (&0.0.into(), &"10-crop".into()));
    let folder = place.at("models").join(NAME);
    fs::write(folder.join("labels.txt"), "cat\ndog\n").unwrap();
    place.refused(&[], &["3 classes and 2 labels"]);
}

/// Every image is to be read.
struct Quiet;

impl Spectator for Quiet {
    fn advance(&self, _: usize) {}

    fn passed_over(&self, file: &Path, reason: &str) {
        panic!("{}: {reason}", file.display());
    }
}

fn built_in(resize_size: u32, views: Views) -> ExaminedNetwork {
    let manifest = Manifest::parse(
        &RESNET20_CIFAR10.manifest.replace("resize_size = 32", &format!("resize_size = {resize_size}")),
        Path::new("model.toml"),
        &Batching::default(),
        &RuntimeSettings::default(),
    );
    let graph = GraphSource::Memory(RESNET20_CIFAR10.graph);
    ExaminedNetwork::open(&runtime(), graph, &manifest.unwrap(), None, views, 2).unwrap()
}

fn photo(name: &str) -> LabelledImage {
    LabelledImage { file: Path::new(FIXTURES).join("images").join(name), name: name.to_owned(), class: 3 }
}

#[test]
fn ten_crops_and_scales_give_the_probabilities_of_pillow_and_onnx_runtime_in_python() {
    let expected = fs::read_to_string(Path::new(FIXTURES).join("evaluate/views.tsv")).unwrap();
    for (kind, views) in [("10-crop", Views::TenCrops), ("multi-scale", Views::Scales(vec![32, 48, 64]))] {
        let mut network = built_in(40, views);
        let lines: Vec<Vec<&str>> = expected.lines().map(|line| line.split('\t').collect()).collect();
        let lines: Vec<_> = lines.iter().filter(|line| line[0] == kind).collect();
        let images: Vec<_> = lines.iter().map(|line| photo(line[1])).collect();
        let answers = evaluate(&mut network, &images, None, 2, &Quiet).unwrap();
        assert_eq!(images.len(), 6);
        for (line, verdict) in lines.iter().zip(&answers.verdicts) {
            let wanted: Vec<f32> = line[2..].iter().map(|value| value.parse().unwrap()).collect();
            let top = &verdict.as_ref().unwrap().top;
            assert_eq!(top.len(), 5);
            for &(class, probability) in top {
                let off = (probability - wanted[class]).abs();
                assert!(off < 2e-5, "{kind} {}: class {class}: {probability} instead of {}", line[1], wanted[class]);
            }
        }
    }
}

#[test]
fn what_an_earlier_run_did_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = JournalKey {
        resnetd: "1".to_owned(),
        libraries: String::new(),
        model: NAME.to_owned(),
        digest: String::new(),
        images_and_answers: String::new(),
        protocol: "1-crop".to_owned(),
        data: folder.path().to_owned(),
    };
    let images = ["jpeg_420.jpg", "jpeg_tall.jpg", "jpeg_wide.jpg", "png_rgb.png"].map(photo);
    let mut network = built_in(32, Views::OneCrop);
    let whole = evaluate(&mut network, &images, None, 2, &Quiet).unwrap();
    let journal = || Journal::open(&folder.path().join("journal"), &key).unwrap();
    let first = evaluate(&mut network, &images[..3], Some(&mut journal()), 2, &Quiet).unwrap();
    assert_eq!(first.resumed, 0);
    let second = evaluate(&mut network, &images, Some(&mut journal()), 2, &Quiet).unwrap();
    assert_eq!((second.resumed, &second.verdicts), (3, &whole.verdicts));
}

#[tokio::test]
async fn an_interrupted_run_goes_on_where_it_stopped() {
    let place = Place::with_a_cat_among_the_dogs();
    for index in 0..4000 {
        fs::hard_link(place.at("data/bird/bird.jpg"), place.at(&format!("data/bird/{index}.jpg"))).unwrap();
    }
    let arguments = ["--format", "json", "--output", "report.json"];
    let mut child = place.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let journal = place.at("report.json.v1.journal");
    glance("the first images are answered", async || {
        fs::read_to_string(&journal).is_ok_and(|text| text.lines().count() > 20)
    })
    .await;
    program::terminate(&child);
    assert_eq!(ended(&mut child).await.code(), Some(128 + libc::SIGTERM));
    assert!(journal.exists() && !place.at("report.json").exists());

    let output = place.evaluate(&arguments);
    assert!(output.status.success() && stderr(&output).contains("going on after"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&fs::read(place.at("report.json")).unwrap()).unwrap();
    assert_eq!((&report["images"], &report["failed"]), (&4010.into(), &0.into()));
    assert!(report["resumed"].as_u64().unwrap() >= 20 && !journal.exists());
}
