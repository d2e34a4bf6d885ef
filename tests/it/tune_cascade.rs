//! `resnetd tune --cascade`, as a user runs it.

use std::{fs, process::Output};

use resnetd::model::RESNET20_CIFAR10;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    images::{CIFAR_CLASSES, cifar},
    program::resnetd,
};

/// The built-in network as `large` and, with its colours the wrong way round, as `small`; ten images, the cat among the dogs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, color) in [("large", "rgb"), ("small", "bgr")] {
            let model = folder.path().join("models").join(name);
            fs::create_dir_all(model.join("1")).unwrap();
            fs::write(model.join("1/model.onnx"), RESNET20_CIFAR10.graph).unwrap();
            fs::write(model.join("labels.txt"), RESNET20_CIFAR10.labels).unwrap();
            let manifest = RESNET20_CIFAR10.manifest.replace("\"rgb\"", &format!("\"{color}\""));
            fs::write(model.join("model.toml"), manifest).unwrap();
        }
        for class in CIFAR_CLASSES {
            let shown = folder.path().join("data").join(if class == "cat" { "dog" } else { class });
            fs::create_dir_all(&shown).unwrap();
            fs::write(shown.join(format!("{class}.jpg")), cifar(class)).unwrap();
        }
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("models").join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = resnetd(arguments);
        command.args(["--models", "models"]).current_dir(self.0.path());
        command.env("XDG_CACHE_HOME", self.0.path().join("cache")).output().unwrap()
    }

    fn tune(&self, arguments: &[&str]) -> Output {
        self.run(&[&["tune", "large", "--data", "data", "--cascade"], arguments].concat())
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--data", "data", "--format", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Ends with exit code 1 and a line that has all of `words`.
    #[track_caller]
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.tune(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && words.iter().all(|word| last.contains(word)), "{stderr}");
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn its_figures_are_those_of_evaluate_and_its_lines_are_a_cascade() {
    let place = Place::new();
    let right = |name| 1.0 - number(&place.json(&["evaluate", name])["top1_error"]);
    let (large, small) = (right("large"), right("small"));
    let found = place.json(&["tune", "large", "--cascade", "small", "--max-drop", "0"]);
    assert!((number(&found["model_accuracy"]) - large).abs() < 1e-9 && (large - 0.9).abs() < 1e-6, "{found}");
    assert!((number(&found["first_accuracy"]) - small).abs() < 1e-9, "{found}");
    assert_eq!((&found["images"], &found["failed"]), (&10.into(), &0.into()));
    assert!((number(&found["wanted_accuracy"]) - large).abs() < 1e-9);
    let any = place.json(&["tune", "large", "--cascade", "small", "--accuracy", "0"]);
    assert_eq!((number(&any["chosen"]["threshold"]), number(&any["chosen"]["escalated"])), (0.0, 0.0));
    assert!((number(&any["chosen"]["accuracy"]) - small).abs() < 1e-9, "{any}");

    // What it prints for model.toml is read, and names the model that is asked first from then on.
    let table = place.tune(&["small", "--accuracy", "0"]);
    let text = String::from_utf8(table.stdout).unwrap();
    let lines = text.split_once("[cascade]").unwrap_or_else(|| panic!("{text}")).1;
    place.write("large/model.toml", &format!("{}\n[cascade]{lines}", RESNET20_CIFAR10.manifest));
    let again = place.json(&["tune", "large", "--cascade", "--accuracy", "0"]);
    assert_eq!((&again["first"], &again["chosen"]["threshold"]), (&"small".into(), &any["chosen"]["threshold"]));
}

#[test]
fn what_cannot_be_a_cascade_is_refused_with_the_reason() {
    let place = Place::new();
    place.refused(&[], &["--cascade FIRST", "[cascade] first"]);
    place.refused(&["large"], &["before itself"]);
    place.refused(&["tiny"], &["no model \"tiny\""]);
    place.refused(&["small", "--accuracy", "101"], &["--accuracy is 101"]);
    place.refused(&["small", "--accuracy", "95"], &["no threshold gives 95.00 %"]);
    place.write("small/labels.txt", &RESNET20_CIFAR10.labels.replace("truck", "lorry"));
    place.refused(&["small"], &["class 9 is `truck` in model `large` and `lorry` in `small`"]);
    assert_eq!(place.run(&["tune", "large", "--cascade", "small"]).status.code(), Some(2), "without images");
}
