//! Gray images in a box that is not square equal Pillow's `convert("L")`, resize and crop, bit for bit.

use std::{fs, path::Path};

use resnetd::preprocess::{DecodeLimits, Spec, preprocess};
use sha2::{Digest, Sha256};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

#[test]
fn gray_pixels_are_those_that_pillow_makes_before_it_resizes() {
    let cases = fs::read_to_string(Path::new(FIXTURES).join("preprocess/gray.tsv")).unwrap();
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let [file, cover, crop, sha256] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let spec = Spec { resize_box: Some(sides(cover)), crop_box: Some(sides(crop)), gray: true, ..Spec::default() };
        let bytes = fs::read(Path::new(FIXTURES).join(file)).unwrap();
        let Ok(pixels) = preprocess(&bytes, &spec, &DecodeLimits::default()) else {
            // What is read at all is the subject of other tests.
            continue;
        };
        let gray: Vec<u8> = pixels.data().chunks_exact(3).map(|pixel| pixel[0]).collect();
        let got: String = Sha256::digest(&gray).iter().map(|byte| format!("{byte:02x}")).collect();
        if got != sha256 || pixels.data().chunks_exact(3).any(|pixel| pixel[1] != pixel[0] || pixel[2] != pixel[0]) {
            wrong.push(file);
        }
    }
    assert!(cases.lines().count() > 50 && wrong.is_empty(), "{wrong:?}");
}

/// `19x10`: height and width.
fn sides(text: &str) -> [u32; 2] {
    let (height, width) = text.split_once('x').unwrap();
    [height, width].map(|side| side.parse().unwrap())
}
