//! `classify` over shards of many pictures, and its rows in Parquet: what is cut, what is killed, what is done twice.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row},
};
use tempfile::TempDir;

use crate::support::{
    images::{self, CIFAR_CLASSES},
    program::{glance, resnetd},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bulk").join(name)
}

/// `resnetd classify`, with an empty repository: the built-in model answers.
fn classify(folder: &TempDir, arguments: &[&str]) -> Command {
    fs::create_dir_all(folder.path().join("models")).unwrap();
    let mut command = resnetd(&["classify", "--models", "models"]);
    command.args(arguments).current_dir(folder.path());
    command
}

/// A folder with the fixtures in it.
fn place() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["flat.parquet", "hf.parquet", "webdataset.tar", "packed.tar.gz"] {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(row: &Row, name: &str) -> Option<String> {
    row.get_column_iter().find(|(column, _)| *column == name).and_then(|(_, field)| match field {
        Field::Str(text) => Some(text.clone()),
        Field::Null => None,
        field => panic!("{name} is {field}"),
    })
}

/// The rows of a file, as the crate's reader of records gives them.
fn rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn keys(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| text(row, "key").unwrap()).collect()
}

/// What Pillow, NumPy and ONNX Runtime in Python say of the pictures.
fn expected(class: &str) -> Vec<f32> {
    let table = include_str!("../fixtures/cifar10/probabilities.tsv");
    let line = table.lines().find_map(|line| line.strip_prefix(class)?.strip_prefix('\t')).unwrap();
    line.split('\t').map(|number| number.parse().unwrap()).collect()
}

/// Labels in the order of the rows of JSON Lines, `file` first.
fn labelled(output: &Output) -> Vec<(String, String)> {
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (text(&line["file"]), text(&line["classes"][0]["label"]))
    };
    String::from_utf8_lossy(&output.stdout).lines().map(line).collect()
}

#[test]
fn each_row_of_a_parquet_file_has_one_in_the_output_with_classes_or_its_error() {
    let folder = place();
    let output = classify(&folder, &["flat.parquet", "--key", "id", "--output", "out.parquet"]).output().unwrap();
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), "2 of 12 pictures have an error in their row\n"));
    let rows = rows(&folder.path().join("out.parquet"));
    let keys = keys(&rows);
    assert_eq!(keys[..6], ["airplane", "automobile", "bird", "nothing", "cat", "damaged"]);
    assert_eq!((keys.len(), &*keys[11]), (12, "truck"));
    for (row, key) in rows.iter().zip(&keys) {
        let fields: Vec<_> = row.get_column_iter().map(|(name, _)| &**name).collect();
        assert_eq!(fields, ["key", "class_index", "label", "probability", "classes", "error", "code"]);
        let [(_, index), (_, probability), (_, classes)] = ["class_index", "probability", "classes"]
            .map(|name| row.get_column_iter().find(|(n, _)| *n == name).unwrap());
        let Some(place) = CIFAR_CLASSES.iter().position(|class| class == key) else {
            assert!(matches!((index, probability, classes), (Field::Null, Field::Null, Field::Null)), "{row}");
            let (code, words) = match &**key {
                "nothing" => ("INVALID_ARGUMENT", "the column is null there"),
                _ => ("UNSUPPORTED_FORMAT", "ff d8"),
            };
            assert_eq!(text(row, "code").as_deref(), Some(code));
            assert!(text(row, "error").unwrap().contains(words), "{row}");
            continue;
        };
        assert_eq!((text(row, "label").as_deref(), text(row, "error")), (Some(&**key), None));
        assert!(matches!(index, Field::Int(index) if *index as usize == place), "{row}");
        let wanted = expected(key);
        let Field::Float(probability) = probability else { panic!("{row}") };
        assert!((probability - wanted[place]).abs() < 1e-4, "{row}");
        let Field::ListInternal(classes) = classes else { panic!("{row}") };
        assert_eq!(classes.elements().len(), 5);
        for class in classes.elements() {
            let Field::Group(class) = class else { panic!("{class}") };
            let values: Vec<_> = class.get_column_iter().map(|(_, field)| field).collect();
            let [Field::Int(index), Field::Str(label), Field::Float(probability)] = values[..] else {
                panic!("{class}")
            };
            assert_eq!(label, CIFAR_CLASSES[*index as usize]);
            assert!((probability - wanted[*index as usize]).abs() < 1e-4, "{class}");
        }
    }
    let there: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there.len(), 6, "what was done is kept no longer: {there:?}");
}

#[test]
fn pictures_come_out_of_every_kind_of_shard_by_their_names() {
    let folder = place();
    for (arguments, key) in [
        (
            &["webdataset.tar"][..],
            (|place, class| format!("webdataset.tar:{class}/{place:03}.jpg")) as fn(usize, &str) -> String,
        ),
        (&["packed.tar.gz"], |place, class| format!("packed.tar.gz:{class}/{place:03}.jpg")),
        (&["hf.parquet"], |place, _| format!("hf.parquet:{place}")),
        (&["hf.parquet", "--column", "image", "--key", "number"], |place, _| (100 + place).to_string()),
        (&["hf.parquet", "--column", "image.bytes", "--key", "image.path"], |_, class| format!("{class}.jpg")),
    ] {
        let output = classify(&folder, arguments).args(["--format", "jsonl"]).output().unwrap();
        assert_eq!(stderr(&output), "", "{arguments:?}");
        let wanted: Vec<_> =
            CIFAR_CLASSES.iter().enumerate().map(|(place, class)| (key(place, class), (*class).to_owned())).collect();
        assert_eq!(labelled(&output), wanted, "{arguments:?}");
    }
    // In a folder they are found, and the pictures beside them.
    fs::create_dir(folder.path().join("all")).unwrap();
    fs::rename(folder.path().join("webdataset.tar"), folder.path().join("all/b.tar")).unwrap();
    fs::write(folder.path().join("all/a.jpg"), images::cifar("ship")).unwrap();
    let output = classify(&folder, &["all", "--format", "jsonl"]).output().unwrap();
    let found = labelled(&output);
    assert_eq!((found.len(), &*found[0].0, &*found[10].0), (11, "all/a.jpg", "all/b.tar:truck/009.jpg"));
}

#[test]
fn what_is_whole_of_a_cut_shard_is_classified_and_the_others_go_on() {
    let folder = place();
    let tar = fs::read(fixture("webdataset.tar")).unwrap();
    // In the middle of the fourth picture; between two members; before the end mark.
    let data =
        tar.windows(4).enumerate().filter(|(_, start)| start == b"\xff\xd8\xff\xe0").map(|(at, _)| at).nth(3).unwrap();
    let end = tar.len() - tar.iter().rev().take_while(|byte| **byte == 0).count();
    let member = end.next_multiple_of(512);
    for (cut, whole, words) in [
        (data + 100, 3, "after 100 of"),
        (data - 512, 3, "without tar's end mark"),
        (member, 10, "without tar's end mark"),
        (0, 0, "without tar's end mark"),
        (data - 100, 3, "cannot be read from here on"),
    ] {
        fs::write(folder.path().join("cut.tar"), &tar[..cut]).unwrap();
        fs::remove_file(folder.path().join("out.parquet")).ok();
        let arguments = ["cut.tar", "packed.tar.gz", "--output", "out.parquet"];
        let output = classify(&folder, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{cut}");
        assert!(stderr(&output).contains("error: not all could be read: 1 rows say where"), "{}", stderr(&output));
        let rows = rows(&folder.path().join("out.parquet"));
        assert_eq!(rows.len(), whole + 1 + 10, "{cut}");
        let keys = keys(&rows);
        assert!(
            keys[whole].starts_with("cut.tar") && text(&rows[whole], "error").unwrap().contains(words),
            "{}",
            rows[whole]
        );
        assert_eq!(keys[whole + 1], "packed.tar.gz:airplane/000.jpg");
    }
    // As text, the cut is named and the rest is written.
    let output = classify(&folder, &["cut.tar", "--format", "jsonl"]).output().unwrap();
    assert_eq!((labelled(&output).len(), output.status.code()), (3, Some(1)));
    assert!(stderr(&output).ends_with("error: 1 of 4 pictures could not be classified; each is named above\n"));
}

#[test]
fn a_damaged_or_foreign_parquet_file_is_named_and_no_row_is_missed() {
    let folder = place();
    let whole = fs::read(fixture("hf.parquet")).unwrap();
    let rows_of = |content: &[u8], arguments: &[&str]| {
        fs::write(folder.path().join("bad.parquet"), content).unwrap();
        let output = classify(&folder, &["bad.parquet", "flat.parquet", "--output", "out.parquet"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let rows = rows(&folder.path().join("out.parquet"));
        fs::remove_file(folder.path().join("out.parquet")).unwrap();
        rows
    };
    let rows = rows_of(&whole[..whole.len() - 20], &[]);
    assert_eq!((rows.len(), &*keys(&rows)[0]), (13, "bad.parquet"));
    assert!(text(&rows[0], "error").unwrap().contains("it is no whole Parquet file"), "{}", rows[0]);
    // The bytes of the second group's pictures begin somewhere behind those of the first.
    let mut damaged = whole.clone();
    let middle = whole.len() * 2 / 5;
    damaged[middle..middle + 2000].fill(0xa5);
    let rows = rows_of(&damaged, &[]);
    assert_eq!(rows.len(), 10 + 12, "each row that was announced is there");
    assert_eq!(keys(&rows)[..10], (0..10).map(|row| format!("bad.parquet:{row}")).collect::<Vec<_>>());
    assert!(rows[..10].iter().any(|row| text(row, "error").is_some()), "the damage is seen");

    let output = classify(&folder, &["flat.parquet", "--column", "photo"]).output().unwrap();
    let words = "there is no column `photo`; there is id, image";
    assert!(stderr(&output).contains(words), "{}", stderr(&output));
    let output = classify(&folder, &["hf.parquet", "--column", "number"]).output().unwrap();
    assert!(stderr(&output).contains("column `number` is no column of bytes"), "{}", stderr(&output));
}

/// A shard of so many pictures, every fiftieth of them damaged.
fn large_shard(path: &Path, pictures: usize) {
    let mut shard = tar::Builder::new(File::create(path).unwrap());
    let content: Vec<_> = CIFAR_CLASSES.iter().map(|class| images::cifar(class)).collect();
    for number in 0..pictures {
        let picture = if number % 50 == 49 { &b"no picture"[..] } else { &content[number % 10] };
        let mut header = tar::Header::new_gnu();
        header.set_size(picture.len() as u64);
        header.set_cksum();
        shard.append_data(&mut header, format!("{number:05}.jpg"), picture).unwrap();
    }
    shard.finish().unwrap();
}

#[tokio::test]
async fn work_that_was_killed_goes_on_where_it_was_and_ends_with_the_same_file() {
    const PICTURES: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    large_shard(&at("a.tar"), PICTURES / 2);
    fs::copy(fixture("flat.parquet"), at("b.parquet")).unwrap();
    large_shard(&at("c.tar"), PICTURES / 2);
    let arguments = ["a.tar", "b.parquet", "c.tar", "--output"];
    let whole = classify(&folder, &arguments).arg("whole.parquet").output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));

    // Killed as soon as something is kept, three times.
    let journal = at("out.parquet.journal");
    for _ in 0..3 {
        let before = fs::metadata(&journal).map_or(2_000, |there| there.len());
        let mut child = classify(&folder, &arguments).arg("out.parquet").stderr(Stdio::null()).spawn().unwrap();
        let through = async || {
            let kept = fs::metadata(&journal).map_or(0, |there| there.len());
            kept > before || child.try_wait().unwrap().is_some()
        };
        glance("something is kept", through).await;
        // It may have ended.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let text = fs::read(&journal).unwrap_or_default();
    if let Some(cut) = text.len().checked_sub(9) {
        fs::write(&journal, &text[..cut]).unwrap();
    }
    let output = classify(&folder, &arguments).arg("out.parquet").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.is_empty() || stderr(&output).starts_with("going on after "), "{}", stderr(&output));
    assert!(!journal.exists());
    assert!(fs::read(at("out.parquet")).unwrap() == fs::read(at("whole.parquet")).unwrap(), "the files differ");
    let rows = rows(&at("out.parquet"));
    assert_eq!(rows.len(), PICTURES + 12);
    let keys = keys(&rows);
    for (number, key) in keys[..PICTURES / 2].iter().enumerate() {
        assert_eq!(*key, format!("a.tar:{number:05}.jpg"));
        let wanted = (number % 50 != 49).then(|| CIFAR_CLASSES[number % 10].to_owned());
        assert_eq!(self::text(&rows[number], "label"), wanted, "{key}");
    }
}

#[test]
fn two_runs_do_not_write_one_output_and_what_other_work_did_is_not_lost() {
    let folder = place();
    let journal = folder.path().join("out.parquet.journal");
    let busy = File::create(&journal).unwrap();
    busy.lock().unwrap();
    let run = |arguments: &[&str]| {
        let output = classify(&folder, arguments).args(["--output", "out.parquet"]).output().unwrap();
        (output.status.code(), stderr(&output))
    };
    let (code, error) = run(&["hf.parquet"]);
    assert_eq!(code, Some(1));
    assert_eq!(error, "error: another run is writing out.parquet.journal; wait for it, or name another --output\n");
    assert!(!folder.path().join("out.parquet").exists());
    drop(busy);

    // What is kept of one answer of this work.
    let head = || fs::read_to_string(&journal).unwrap();
    fs::write(&journal, "").unwrap();
    assert_eq!(run(&["hf.parquet"]).0, Some(0));
    assert!(!journal.exists());
    fs::write(&journal, "a letter\n").unwrap();
    let (code, error) = run(&["hf.parquet"]);
    assert!(code == Some(1) && error.contains("is no journal of this command"), "{error}");
    assert_eq!(head(), "a letter\n");

    let (code, error) = run(&["out.parquet"]);
    assert!(code == Some(1) && error.contains("would be read and replaced"), "{error}");
}
