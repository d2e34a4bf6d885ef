//! What the examples for Spark and Ray stand on (`examples/bulk`), without the engines: one job to an output, and no row that is made up
//! when a worker dies in the middle of its partition.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::support::images::{self, CIFAR_CLASSES};

/// Python with the modules of `examples/bulk`; `None`, and a word about it, where there is no Python.
fn python(test: &str, folder: &TempDir, script: &str) -> Option<Command> {
    let is_there = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    if is_there.is_err() {
        writeln!(std::io::stderr(), "SKIPPED {test}: there is no python3").expect("stderr");
        return None;
    }
    let mut command = Command::new("python3");
    // -B: nothing is written into the source tree.
    command.args(["-B", "-c", script]).current_dir(folder.path());
    command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bulk"));
    command.env("BINARY", env!("CARGO_BIN_EXE_resnetd"));
    Some(command)
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A job over `pictures`; it says how many chunks it has to do, and works until its stdin ends.
const JOB: &str = "
import sys, types, pathlib, chunks
options = types.SimpleNamespace(input=pathlib.Path('pictures'), output=pathlib.Path('answers'), chunk=4, model=None, top_k=int(sys.argv[1]), column='image', key='key')
job = chunks.Job(options)
print(len(list(job.todo())), flush=True)
sys.stdin.read()
";

#[test]
fn two_jobs_do_not_write_one_output_and_one_that_was_killed_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    for class in CIFAR_CLASSES {
        fs::write(folder.path().join(format!("pictures/{class}.jpg")), images::cifar(class)).unwrap();
    }
    let job = |top_k: &str| {
        let mut command = python("two_jobs_do_not_write_one_output", &folder, JOB)?;
        command.arg(top_k).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(command)
    };
    let Some(mut first) = job("5") else { return };
    let mut first = first.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(first.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "3\n", "ten pictures in chunks of four");

    let second = job("5").unwrap().output().unwrap();
    assert!(!second.status.success() && told(&second).contains("another job is writing"), "{}", told(&second));

    // Killed, it leaves the lock and what it has done.
    first.kill().unwrap();
    first.wait().unwrap();
    let done = folder.path().join("answers/chunk=1");
    fs::create_dir_all(&done).unwrap();
    fs::write(done.join("_SUCCESS"), "").unwrap();
    let again = job("5").unwrap().output().unwrap();
    assert!(again.status.success() && told(&again) == "2\n", "{}", told(&again));
    let other = job("3").unwrap().output().unwrap();
    assert!(
        !other.status.success() && told(&other).contains("of other files, or of other options"),
        "{}",
        told(&other)
    );
}

/// A hundred pictures through a process that is killed after the sixtieth was handed over, then through a new one. Says what came out
/// of each, `!` and the error in the place of a row.
const PARTITION: &str = "
import os, pathlib, signal, classifiers
pictures = [(path.stem, path.read_bytes()) for path in sorted(pathlib.Path('pictures').iterdir())] * 10
def through(killed_at):
    local = classifiers.Local(os.environ['BINARY'], models='models', top_k=1)
    def pairs():
        for number, pair in enumerate(pictures):
            if number == killed_at:
                local.process.send_signal(signal.SIGKILL)
                local.process.wait()
            yield pair
    try:
        for row in local.classify(pairs()):
            assert row['error'] is None, row
            print(row['key'], row['label'])
    except RuntimeError as error:
        print('!', error)
    local.close()
through(60)
through(None)
";

#[test]
fn a_worker_that_dies_in_the_middle_of_a_partition_is_an_error_and_the_next_try_has_every_row() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    for class in CIFAR_CLASSES {
        fs::write(folder.path().join(format!("pictures/{class}.jpg")), images::cifar(class)).unwrap();
    }
    let Some(mut command) = python("a_worker_that_dies_in_the_middle", &folder, PARTITION) else { return };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut classes = CIFAR_CLASSES;
    classes.sort_unstable();
    let wanted: Vec<_> = std::iter::repeat_n(classes.map(|class| format!("{class} {class}")), 10).flatten().collect();
    let lines: Vec<_> = text.lines().collect();
    let error = lines.iter().position(|line| line.starts_with('!')).unwrap_or_else(|| panic!("{text}"));
    assert!(lines[error].contains("resnetd ended in the middle: exit code -9"), "{text}");
    assert!(error <= 60 && lines[..error] == wanted[..error], "{text}");
    assert_eq!(lines[error + 1..], wanted, "{text}");
}
