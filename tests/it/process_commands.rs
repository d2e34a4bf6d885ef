//! The commands as people run them: pipes that close, files that are not what they seem, results that replace nothing they
//! should not. Each test runs the program itself.

use std::{
    ffi::{CString, OsStr},
    fs,
    io::{Read, pipe},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use crate::support::{
    images,
    program::{catches_signals, ended, resnetd, terminate},
};

/// A folder with images, and an empty repository: the built-in model answers.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("models")).unwrap();
        fs::create_dir(folder.path().join("photos")).unwrap();
        let place = Self { folder };
        place.photo("ship.jpg");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn photo(&self, name: impl AsRef<OsStr>) {
        fs::write(self.at("photos").join(name.as_ref()), images::cifar("ship")).unwrap();
    }

    /// `resnetd classify photos` with further arguments.
    fn classify(&self, arguments: &[&str]) -> Command {
        let mut command = resnetd(&["classify", "photos", "--models", "models"]);
        command.args(arguments).current_dir(self.folder.path());
        command
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn stderr(output: &Output) -> String {
    text(&output.stderr)
}

fn make_fifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `mkfifo` reads a string that ends with a zero and lives until it returns.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o666) }, 0);
}

const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/resnet20-cifar10/1/model.onnx");

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let commands: [&[&str]; 8] = [
        &["classify", "photos", "--models", "models"],
        &["classify", "photos", "--models", "models", "--format", "json"],
        &["classify", "photos", "--models", "models", "--format", "jsonl"],
        &["classify", "photos", "--models", "models", "--format", "csv"],
        &["inspect", GRAPH],
        &["inspect", GRAPH, "--format", "json"],
        &["check-config"],
        &["build", "resnet20-cifar", "--weights", "untrained", "--output", "built"],
    ];
    for arguments in commands {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = resnetd(arguments);
        command.current_dir(place.folder.path()).stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    }
    assert!(place.at("built/resnet20-cifar/1/model.onnx").is_file());
}

#[test]
fn results_that_cannot_be_written_are_a_failure() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let place = Place::new();
    for mut command in [place.classify(&[]), resnetd(&["check-config"]), resnetd(&["inspect", GRAPH])] {
        let output = command.stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let text = stderr(&output);
        assert!(text.starts_with("error: ") && text.contains("No space left"), "{text}");
    }
    let output = place.classify(&["--output", "/dev/full"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
}

/// What is in the folder itself, by name.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_new_result_has_the_rights_that_the_umask_leaves_and_an_old_one_keeps_its_own() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_resnetd");
    let shell = format!("umask 027; exec {program} classify photos --models models --format csv --output \"$0\"");
    let classify = |name: &str| {
        let status = Command::new("sh").args(["-c", &shell, name]).current_dir(place.folder.path()).status();
        assert!(status.unwrap().success());
        assert!(fs::read_to_string(place.at(name)).unwrap().contains("ship.jpg,1,8,ship,"), "{name}");
        fs::metadata(place.at(name)).unwrap().mode() & 0o7777
    };
    assert_eq!(classify("new.csv"), 0o640);

    fs::write(place.at("private.csv"), "what was there before, and longer than what comes".repeat(100)).unwrap();
    fs::set_permissions(place.at("private.csv"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(classify("private.csv"), 0o600);
    assert_eq!(names(place.folder.path()), ["models", "new.csv", "photos", "private.csv"]);
}

#[test]
fn links_and_other_names_of_a_file_stay_what_they_are() {
    let place = Place::new();
    for name in ["target.csv", "one.csv"] {
        fs::write(place.at(name), "before").unwrap();
    }
    symlink("target.csv", place.at("link.csv")).unwrap();
    symlink("made.csv", place.at("dangling.csv")).unwrap();
    fs::hard_link(place.at("one.csv"), place.at("other.csv")).unwrap();
    for name in ["link.csv", "dangling.csv", "one.csv"] {
        assert!(place.classify(&["--format", "csv", "--output", name]).status().unwrap().success(), "{name}");
    }
    for link in ["link.csv", "dangling.csv"] {
        assert!(place.at(link).symlink_metadata().unwrap().is_symlink(), "{link}");
    }
    for name in ["target.csv", "made.csv", "one.csv", "other.csv"] {
        assert!(fs::read_to_string(place.at(name)).unwrap().starts_with("file,rank"), "{name}");
    }
    assert_eq!(fs::metadata(place.at("one.csv")).unwrap().nlink(), 2);
}

#[test]
fn a_fifo_and_a_device_are_written_through() {
    let place = Place::new();
    let fifo = place.at("fifo");
    make_fifo(&fifo);
    let reader = thread::spawn({
        let fifo = fifo.clone();
        move || fs::read_to_string(fifo).unwrap()
    });
    assert!(place.classify(&["--format", "csv", "--output", "fifo"]).status().unwrap().success());
    assert!(reader.join().unwrap().contains("ship.jpg,1,8,ship,"));
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());

    assert!(place.classify(&["--output", "/dev/null"]).status().unwrap().success());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert_eq!(names(place.folder.path()), ["fifo", "models", "photos"]);
}

#[tokio::test]
async fn a_signal_leaves_nothing_half_written_behind() {
    let place = Place::new();
    let photo = place.at("photos/ship.jpg");
    // Enough of them that it is never through by then.
    for number in 0..20_000 {
        fs::hard_link(&photo, place.at(&format!("photos/{number}.jpg"))).unwrap();
    }
    let mut child = place.classify(&["--output", "out.csv"]).stderr(Stdio::piped()).spawn().unwrap();
    catches_signals(&child).await;
    terminate(&child);
    let status = ended(&mut child).await;
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(143), "error: interrupted; nothing was written\n"));
    assert_eq!(names(place.folder.path()), ["models", "photos"]);
}

#[test]
fn what_cannot_be_classified_is_named_and_the_others_are_classified() {
    let place = Place::new();
    let photos = place.at("photos");
    symlink("nothing", photos.join("dangling.jpg")).unwrap();
    symlink(".", photos.join("up")).unwrap();
    make_fifo(&photos.join("fifo.jpg"));
    place.photo(OsStr::from_bytes(b"z\xff.jpg"));
    place.photo("a\nb\u{1b}[2J.jpg");

    let output = place.classify(&[]).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let (results, said) = (text(&output.stdout), stderr(&output));
    let first_words: Vec<_> =
        results.lines().filter_map(|line| line.strip_prefix("photos/")?.split(' ').next()).collect();
    assert_eq!(first_words, ["a\\nb\\u{1b}[2J.jpg", "ship.jpg", "z\\xff.jpg"], "{results}");
    for (name, reason) in [
        ("photos/dangling.jpg", "a link to nothing"),
        ("photos/up", "a link to photos, which it lies in"),
        ("photos/fifo.jpg", "it is a FIFO, not a file"),
    ] {
        assert!(said.contains(&format!("{name}: {reason}\n")), "{said}");
    }
    assert!(said.ends_with("error: 3 of 6 files could not be classified; each is named above\n"), "{said}");

    for (format, names) in [("csv", 3 * 5 + 1), ("jsonl", 3)] {
        let output = place.classify(&["--format", format]).output().unwrap();
        let results = text(&output.stdout);
        assert_eq!(results.lines().count(), names, "{results}");
        assert!(!results.contains('\u{1b}'), "{results}");
    }
    let output = place.classify(&["--format", "json"]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document[0]["file"], "photos/a\nb\u{1b}[2J.jpg", "JSON keeps the name");
}

#[test]
fn a_fifo_that_is_named_itself_is_refused_by_name() {
    let place = Place::new();
    make_fifo(&place.at("fifo"));
    let commands: [&[&str]; 3] =
        [&["classify", "fifo", "--models", "models"], &["inspect", "fifo"], &["build", "auto", "--weights", "fifo"]];
    for arguments in commands {
        let output = resnetd(arguments).current_dir(place.folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains("fifo: ") && said.contains("it is a FIFO, not a file"), "{said}");
    }
}

/// Runs it without the right to read everything, where this test itself has that.
fn as_nobody(command: &mut Command) -> &mut Command {
    const NOBODY: u32 = 65_534;
    // SAFETY: it takes nothing and gives a number.
    if unsafe { libc::geteuid() } == 0 { command.uid(NOBODY).gid(NOBODY) } else { command }
}

#[test]
fn a_folder_that_may_not_be_read_is_named_and_the_others_are_searched() {
    let place = Place::new();
    for folder in ["photos/lost+found", "models/lost+found"] {
        fs::create_dir(place.at(folder)).unwrap();
        fs::set_permissions(place.at(folder), fs::Permissions::from_mode(0o0)).unwrap();
    }
    let output = as_nobody(&mut place.classify(&["--format", "csv"])).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("photos/lost+found: Permission denied"), "{said}");
    assert!(said.contains("passed over models/lost+found: Permission denied"), "{said}");
    assert!(text(&output.stdout).contains("ship.jpg,1,8,ship,"), "{output:?}");
    for folder in ["photos/lost+found", "models/lost+found"] {
        fs::set_permissions(place.at(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
}
