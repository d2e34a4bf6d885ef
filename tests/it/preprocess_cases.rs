//! Odd files that Pillow 13 reads, each for a kind: we give its pixels, and refuse what it refuses.
//!
//! The files and what Pillow makes of them are in `fixtures/preprocess/cases/`, where a table tells the kinds, and, found by
//! the fuzzer of `interop/pictures`, in `fixtures/preprocess/fuzzed.jsonl`.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use resnetd::preprocess::{DecodeError, DecodeLimits, Orientation, decode};
use sha2::{Digest, Sha256};

use crate::support::images::png_chunk;

#[test]
fn odd_files_become_the_pixels_that_pillow_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess/cases");
    let expected = std::fs::read(folder.join("expected.json")).expect("the expected pixels");
    let expected: serde_json::Value = serde_json::from_slice(&expected).expect("a JSON file");
    let mut failures = Vec::new();
    let cases = expected.as_object().expect("an object");
    for (name, expected) in cases {
        let file = std::fs::read(folder.join(name)).expect("a case");
        let pixels = match decode(&file, Orientation::Apply, &DecodeLimits::default()) {
            Ok(pixels) => pixels,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let size = (u64::from(pixels.width()), u64::from(pixels.height()));
        let expected_size =
            (expected["width"].as_u64().expect("a width"), expected["height"].as_u64().expect("a height"));
        let hex: String = pixels.data().iter().map(|byte| format!("{byte:02x}")).collect();
        if size != expected_size {
            failures.push(format!("{name}: {size:?} pixels, expected {expected_size:?}"));
        } else if Some(&*hex) != expected["rgb"].as_str() {
            failures.push(format!("{name}: its pixels differ"));
        }
    }
    assert!(cases.len() >= 18, "only {} cases", cases.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn files_of_the_fuzzer_become_what_pillow_makes_of_them() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess/fuzzed.jsonl");
    let table = std::fs::read_to_string(table).expect("the table of files");
    let mut failures = Vec::new();
    for line in table.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        let file = STANDARD.decode(case["file"].as_str().expect("a file")).expect("base64");
        let ours = decode(&file, Orientation::Apply, &DecodeLimits::default());
        let ours = ours.map(|pixels| {
            let sha256: String = Sha256::digest(pixels.data()).iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({ "width": pixels.width(), "height": pixels.height(), "sha256": sha256 })
        });
        if ours.as_ref().ok() != Some(&case["pixels"]).filter(|pixels| !pixels.is_null()) {
            failures.push(format!("{} ({}): {ours:?}, expected {}", case["name"], case["what"], case["pixels"]));
        }
    }
    assert!(table.lines().count() >= 150, "only {} files", table.lines().count());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_a_png_says_of_its_colours_changes_none() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    let exif_of_adobe_rgb = b"II\x2a\0\x08\0\0\0\x01\0\x01\xa0\x03\0\x01\0\0\0\xff\xff\0\0\0\0\0\0";
    let mut profile = flate2::write::ZlibEncoder::new(b"a profile\0\0".to_vec(), flate2::Compression::best());
    std::io::Write::write_all(&mut profile, &[7; 400]).expect("memory");
    let chunks = [
        png_chunk(b"gAMA", &100_000u32.to_be_bytes()),
        png_chunk(b"gAMA", &22_000u32.to_be_bytes()),
        png_chunk(b"cHRM", &[50; 32]),
        png_chunk(b"sRGB", &[0]),
        png_chunk(b"iCCP", &profile.finish().expect("memory")),
        png_chunk(b"eXIf", exif_of_adobe_rgb),
        png_chunk(b"sBIT", &[5, 5, 5, 5]),
        png_chunk(b"cICP", &[9, 16, 0, 1]),
        png_chunk(b"bKGD", &[0; 6]),
    ];
    for name in ["png_rgb.png", "png_rgba.png", "png_gray.png", "png_palette.png"] {
        let file = std::fs::read(folder.join(name)).expect("a fixture");
        let plain = decode(&file, Orientation::Apply, &DecodeLimits::default()).expect("pixels");
        for chunk in &chunks {
            let tagged = [&file[..33], chunk, &file[33..]].concat();
            let pixels = decode(&tagged, Orientation::Apply, &DecodeLimits::default()).expect("pixels");
            assert!(pixels == plain, "{name} with {}", chunk[4..8].escape_ascii());
        }
    }
}

#[test]
fn a_jpeg_without_its_end_marker_is_refused_and_bytes_behind_it_are_not_looked_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["images/jpeg_420.jpg", "images/jpeg_progressive.jpg", "preprocess/images/jpeg_restart.jpg"] {
        let file = std::fs::read(folder.join(name)).expect("a fixture");
        assert_eq!(file[file.len() - 2..], [0xff, 0xd9], "{name}");
        let read = |bytes: &[u8]| decode(bytes, Orientation::Apply, &DecodeLimits::default());
        for missing in [1, 2] {
            let refused = read(&file[..file.len() - missing]);
            assert!(matches!(refused, Err(DecodeError::Corrupt { .. })), "{name} without {missing}: {refused:?}");
        }
        let behind = read(&[&file[..], b"what a camera adds"].concat()).expect("pixels");
        assert!(behind == read(&file).expect("pixels"), "{name}");
    }
}
