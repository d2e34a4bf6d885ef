//! `classify` with record batches: a batch in, a batch out, as a worker of Spark or Ray drives it.

use std::{
    fs,
    io::{Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, cast::AsArray, types::Float32Type};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    images::{self, CIFAR_CLASSES},
    program::resnetd,
};

/// `resnetd classify`, with an empty repository: the built-in model answers.
fn classify(folder: &TempDir, arguments: &[&str]) -> Command {
    fs::create_dir_all(folder.path().join("models")).unwrap();
    let mut command = resnetd(&["classify", "--models", "models"]);
    command.args(arguments).current_dir(folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn schema() -> Arc<Schema> {
    let fields = vec![Field::new("name", DataType::Utf8, false), Field::new("content", DataType::Binary, true)];
    Arc::new(Schema::new(fields))
}

fn batch(rows: &[(&str, Option<Vec<u8>>)]) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let contents: ArrayRef = Arc::new(BinaryArray::from_iter(rows.iter().map(|row| row.1.as_deref())));
    RecordBatch::try_new(schema(), vec![names, contents]).unwrap()
}

/// A batch of these classes' pictures.
fn pictures(classes: &[&str]) -> RecordBatch {
    let rows: Vec<_> = classes.iter().map(|class| (*class, Some(images::cifar(class).to_vec()))).collect();
    batch(&rows)
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("there is no {name} in {:?}", batch.schema()));
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

/// One that is driven in lock step; killed when dropped.
struct InStep {
    child: Child,
    batches: Option<StreamWriter<ChildStdin>>,
    answers: StreamReader<ChildStdout>,
}

impl Drop for InStep {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl InStep {
    /// Waits for the columns of the answers before anything is sent, as many drivers do.
    fn start(folder: &TempDir) -> Self {
        let mut child = classify(folder, &["--stdin", "--format", "arrow", "--key", "name"]).spawn().unwrap();
        let answers = StreamReader::try_new(child.stdout.take().unwrap(), None).unwrap();
        let batches = StreamWriter::try_new(child.stdin.take().unwrap(), &schema()).unwrap();
        Self { child, batches: Some(batches), answers }
    }

    fn ask(&mut self, batch: &RecordBatch) -> RecordBatch {
        let batches = self.batches.as_mut().unwrap();
        batches.write(batch).unwrap();
        batches.flush().unwrap();
        self.answers.next().unwrap().unwrap()
    }

    /// Ends the stream of batches; the exit code, and what is on stderr.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.batches.take().unwrap().into_inner().unwrap());
        assert!(self.answers.next().is_none());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

#[test]
fn each_batch_has_its_batch_of_answers_before_the_next_one_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for class in CIFAR_CLASSES {
        fs::write(folder.path().join(class).with_extension("jpg"), images::cifar(class)).unwrap();
    }
    let mut command = classify(&folder, &["--format", "jsonl"]);
    let of_files = command.args(CIFAR_CLASSES.map(|class| format!("{class}.jpg"))).output().unwrap();
    let of_files: Vec<Value> =
        String::from_utf8(of_files.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();

    let mut worker = InStep::start(&folder);
    let answers = worker.ask(&pictures(&CIFAR_CLASSES));
    assert_eq!(texts(&answers, "key"), some(&CIFAR_CLASSES));
    assert_eq!(texts(&answers, "label"), some(&CIFAR_CLASSES));
    let probabilities = answers.column_by_name("probability").unwrap().as_primitive::<Float32Type>().clone();
    for (row, of_file) in of_files.iter().enumerate() {
        let wanted = of_file["classes"][0]["probability"].as_f64().unwrap();
        assert!((f64::from(probabilities.value(row)) - wanted).abs() < 2e-6, "{of_file}");
        assert_eq!(answers.column_by_name("classes").unwrap().as_list::<i32>().value_length(row), 5);
    }
    assert_eq!(worker.ask(&batch(&[])).num_rows(), 0, "one without rows has one without rows");
    let bad = [("null", None), ("text", Some(b"no picture".to_vec())), ("cat", Some(images::cifar("cat").to_vec()))];
    let answers = worker.ask(&batch(&bad));
    assert_eq!(texts(&answers, "key"), some(&["null", "text", "cat"]));
    assert_eq!(texts(&answers, "label"), [None, None, Some("cat".to_owned())]);
    let codes = [Some("INVALID_ARGUMENT".to_owned()), Some("UNSUPPORTED_FORMAT".to_owned()), None];
    assert_eq!(texts(&answers, "code"), codes);
    assert!(texts(&answers, "error")[0].as_ref().unwrap().contains("the column is null there"));
    assert_eq!(worker.ask(&pictures(&["ship"])).num_rows(), 1);
    assert_eq!(worker.end(), (Some(0), String::new()));
}

#[test]
fn a_stream_that_is_cut_has_the_rows_of_what_was_whole_one_for_the_cut_and_another_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let whole = stream(&[pictures(&["ship", "frog"]), pictures(&["cat"])]);
    for (cut, words) in [(600, "inside a message"), (8, "without its end mark")] {
        let mut child = classify(&folder, &["--stdin", "--format", "arrow", "--key", "name"]).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&whole[..whole.len() - cut]).unwrap();
        let output = child.wait_with_output().unwrap();
        let batches: Vec<_> = StreamReader::try_new(&output.stdout[..], None).unwrap().map(Result::unwrap).collect();
        let labels: Vec<_> = batches.iter().flat_map(|batch| texts(batch, "label")).flatten().collect();
        let errors: Vec<_> = batches.iter().flat_map(|batch| texts(batch, "error")).flatten().collect();
        assert_eq!(labels, if cut == 8 { vec!["ship", "frog", "cat"] } else { vec!["ship", "frog"] });
        assert!(errors.len() == 1 && errors[0].contains(words), "{errors:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let place = format!("error: record {} on stdin: the stream ends", labels.len() + 1);
        assert!(output.status.code() == Some(1) && error.starts_with(&place), "{error}");
    }
}

#[test]
fn either_form_of_stream_has_answers_in_either_form() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = classify(&folder, &["--stdin", "--format", "jsonl"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&stream(&[pictures(&["dog", "deer"]), pictures(&["cat"])])).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|line| (&line["file"], &line["classes"][0]["label"])).collect();
    let wanted = [("0", "dog"), ("1", "deer"), ("2", "cat")].map(|(key, label)| (Value::from(key), Value::from(label)));
    assert_eq!(told, wanted.iter().map(|(key, label)| (key, label)).collect::<Vec<_>>());

    // Whoever sends one record and waits for it has it in a batch of its own.
    let mut child = classify(&folder, &["--stdin", "--format", "arrow"]).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answers = StreamReader::try_new(&mut stdout, None).unwrap();
    for class in ["bird", "truck"] {
        let picture = images::cifar(class);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let record = [&length(b"key")[..], b"key", &length(&picture), &picture].concat();
        stdin.write_all(&record).unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert_eq!((texts(&answer, "key"), texts(&answer, "label")), (some(&["key"]), some(&[class])));
    }
    drop(stdin);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn shards_have_their_rows_as_record_batches_too_and_a_cut_one_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = |name: &str| format!("{}/tests/fixtures/bulk/{name}", env!("CARGO_MANIFEST_DIR"));
    let shard = fs::read(fixture("webdataset.tar")).unwrap();
    fs::write(folder.path().join("whole.tar"), &shard).unwrap();
    let arguments = ["--format", "arrow", "--output", "answers.arrows"];
    let output = classify(&folder, &arguments).arg("whole.tar").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = |folder: &TempDir| {
        let file = fs::File::open(folder.path().join("answers.arrows")).unwrap();
        let batches: Vec<_> = StreamReader::try_new(file, None).unwrap().map(Result::unwrap).collect();
        let column = |name: &str| batches.iter().flat_map(|batch| texts(batch, name)).collect::<Vec<_>>();
        (column("label"), column("error").into_iter().flatten().count())
    };
    assert_eq!(rows(&folder), (some(&CIFAR_CLASSES), 0));

    fs::write(folder.path().join("whole.tar"), &shard[..shard.len() / 2]).unwrap();
    let output = classify(&folder, &arguments).arg("whole.tar").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("1 rows say where a shard was cut"), "{error}");
    assert_eq!(rows(&folder).1, 1);
}
