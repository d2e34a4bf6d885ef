//! Odd files that Pillow 13 reads, each for a kind: we give its pixels.
//!
//! The files and what Pillow makes of them are in `fixtures/preprocess/cases/`, where a table tells the kinds.

use std::path::Path;

use resnetd::preprocess::{DecodeLimits, Orientation, decode};

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
