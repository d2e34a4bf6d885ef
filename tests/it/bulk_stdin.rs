//! `classify --stdin`, as a worker of Spark or Ray drives it: records in, a line for each out.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::{
    images::{self, CIFAR_CLASSES},
    program::resnetd,
};

fn record(key: &str, picture: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&length(key.as_bytes())[..], key.as_bytes(), &length(picture), picture].concat()
}

/// One with an empty repository: the built-in model answers.
fn worker(folder: &tempfile::TempDir) -> Command {
    fs::create_dir_all(folder.path().join("models")).unwrap();
    let mut command = resnetd(&["classify", "--stdin", "--format", "jsonl", "--models", "models"]);
    command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a worker says of a whole stream.
fn said(folder: &tempfile::TempDir, stream: &[u8]) -> Output {
    let mut child = worker(folder).spawn().unwrap();
    // It takes the stream as it works, and answers are few: neither pipe fills up.
    child.stdin.take().unwrap().write_all(stream).unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &[u8]) -> Vec<Value> {
    output
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

/// One that is driven in lock step; killed when dropped.
struct InStep {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Drop for InStep {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl InStep {
    fn ask(&mut self, key: &str, picture: &[u8]) -> String {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(&record(key, picture)).unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }
}

#[test]
fn a_driver_that_waits_for_each_line_gets_the_one_that_classify_writes_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<_> = CIFAR_CLASSES.iter().map(|class| format!("{class}.jpg")).collect();
    for (class, name) in CIFAR_CLASSES.iter().zip(&names) {
        fs::write(folder.path().join(name), images::cifar(class)).unwrap();
    }
    fs::create_dir(folder.path().join("models")).unwrap();
    let mut command = resnetd(&["classify", "--format", "jsonl", "--models", "models"]);
    let of_files = command.args(&names).current_dir(folder.path()).output().unwrap();
    assert!(of_files.status.success());
    let of_files = String::from_utf8(of_files.stdout).unwrap();

    let mut child = worker(&folder).spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
    let mut worker = InStep { child, stdin, lines: BufReader::new(stdout) };
    for ((class, name), of_file) in CIFAR_CLASSES.iter().zip(&names).zip(of_files.lines()) {
        let line = worker.ask(name, &images::cifar(class));
        assert_eq!(line.trim_end(), of_file);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["file"], &line["classes"][0]["label"]), (&Value::from(&**name), &Value::from(*class)));
    }
    drop(worker.stdin.take());
    assert_eq!(worker.lines.read_line(&mut String::new()).unwrap(), 0);
    let mut said = String::new();
    worker.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((worker.child.wait().unwrap().code(), said), (Some(0), String::new()));
}

#[test]
fn a_bad_picture_has_a_line_with_its_error_and_the_stream_goes_on_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [record("empty", b""), record("text", b"no picture"), record("cut", &images::cifar("cat")[..200])];
    let mut stream = Vec::new();
    for number in 0..40 {
        stream.extend(record(&number.to_string(), &images::cifar(CIFAR_CLASSES[number % 10])));
        stream.extend(bad.get(number).into_iter().flatten());
    }
    let output = said(&folder, &stream);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output.stdout);
    let keys: Vec<_> = lines.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert_eq!(keys[..6], ["0", "empty", "1", "text", "2", "cut"]);
    assert_eq!(keys[6..], (3..40).map(|number| number.to_string()).collect::<Vec<_>>());
    for (place, code) in [(1, "INVALID_ARGUMENT"), (3, "UNSUPPORTED_FORMAT"), (5, "INVALID_ARGUMENT")] {
        let line = &lines[place];
        assert_eq!((line["code"].as_str(), line.get("classes")), (Some(code), None), "{line}");
        assert!(!line["error"].as_str().unwrap().is_empty());
    }
    for line in &lines[6..] {
        let number: usize = line["file"].as_str().unwrap().parse().unwrap();
        assert_eq!(line["classes"][0]["label"], CIFAR_CLASSES[number % 10]);
        assert_eq!(line["classes"].as_array().unwrap().len(), 5);
    }
}

#[test]
fn a_stream_that_is_cut_is_told_from_one_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let whole = [record("a", &images::cifar("ship")), record("b", &images::cifar("cat"))].concat();
    let output = said(&folder, &whole[..whole.len() - 1]);
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output.stdout);
    assert_eq!((lines.len(), &lines[0]["classes"][0]["label"]), (2, &Value::from("ship")));
    assert_eq!(lines[1]["file"], "b");
    assert!(lines[1]["error"].as_str().unwrap().contains("ends inside a record"), "{}", lines[1]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: record 2 on stdin: the stream ends inside a record"), "{error}");

    let output = said(&folder, b"");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "nothing to do is no failure");
}

#[test]
fn a_picture_over_the_limit_is_passed_over_and_what_makes_no_lines_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = worker(&folder);
    command.env("RESNETD__LIMITS__MAX_BODY_BYTES", "20000");
    let mut child = command.spawn().unwrap();
    let stream = [record("large", &vec![0; 40_000_000]), record("b", &images::cifar("cat"))].concat();
    child.stdin.take().unwrap().write_all(&stream).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output.stdout);
    assert_eq!((&lines[0]["code"], &lines[1]["classes"][0]["label"]), (&Value::from("TOO_LARGE"), &Value::from("cat")));

    for (arguments, words) in [
        (&["--stdin", "--format", "csv"][..], "give --format jsonl, or arrow"),
        (&["--stdin", "--format", "jsonl", "a.jpg"], "cannot be used with"),
        (&["--format", "jsonl"], "required"),
        (&["--format", "parquet", "a.jpg"], "name one with --output"),
    ] {
        fs::write(folder.path().join("a.jpg"), images::cifar("cat")).unwrap();
        let mut command = resnetd(&["classify", "--models", "models"]);
        let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(words), "{arguments:?}: {error}");
    }
}
