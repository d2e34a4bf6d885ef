//! What an image becomes, against Pillow 13: every format, every kind of resize, to the last bit.
//!
//! The reference is in `fixtures/preprocess/`: a checksum for each case, and for the smaller ones the pixels
//! themselves, so that a difference can be told in levels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use resnetd::preprocess::{DecodeLimits, Interpolation, Orientation, ResizeMode, Spec, preprocess};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// One line of `cases.tsv`.
struct Case {
    key: String,
    file: String,
    spec: Spec,
    size: (u32, u32),
    sha256: String,
}

impl Case {
    fn parse(line: &str) -> Self {
        let fields: Vec<_> = line.split('\t').collect();
        let [file, resize, crop, mode, interpolation, orientation, width, height, sha256] = fields[..] else {
            panic!("nine fields in {line:?}");
        };
        let side = |text: &str| (text != "-").then(|| text.parse().expect("a side"));
        let spec = Spec {
            resize_size: side(resize),
            crop_size: side(crop),
            resize_mode: if mode == "stretch" { ResizeMode::Stretch } else { ResizeMode::ShorterSide },
            interpolation: match interpolation {
                "bilinear" => Interpolation::Bilinear,
                "bicubic" => Interpolation::Bicubic,
                _ => Interpolation::Nearest,
            },
            orientation: if orientation == "apply" { Orientation::Apply } else { Orientation::Ignore },
            ..Spec::default()
        };
        Self {
            key: fields[..6].join("|"),
            file: file.to_owned(),
            spec,
            size: (width.parse().expect("a width"), height.parse().expect("a height")),
            sha256: sha256.to_owned(),
        }
    }

    /// Compares with the reference; the difference in words if there is one.
    fn check(&self, bytes: &[u8], expected: &SafeTensors<'_>) -> Result<(), String> {
        let pixels = preprocess(bytes, &self.spec, &DecodeLimits::default()).map_err(|error| error.to_string())?;
        if (pixels.width(), pixels.height()) != self.size {
            return Err(format!("{}x{} pixels, expected {:?}", pixels.width(), pixels.height(), self.size));
        }
        let sha256: String = Sha256::digest(pixels.data()).iter().map(|byte| format!("{byte:02x}")).collect();
        if sha256 == self.sha256 {
            return Ok(());
        }
        let Ok(reference) = expected.tensor(&self.key) else { return Err("differs".to_owned()) };
        let off = |a: u8, b: u8| a.abs_diff(b);
        let differences: Vec<_> =
            pixels.data().iter().zip(reference.data()).map(|(&a, &b)| off(a, b)).filter(|&d| d > 0).collect();
        let worst = differences.iter().max().copied().unwrap_or(0);
        Err(format!("{} of {} values differ, by up to {worst}", differences.len(), pixels.data().len()))
    }
}

/// Checks the cases that `wanted` picks and counts them; panics with a line for each that differs.
fn check_all(wanted: impl Fn(&Case) -> bool) -> usize {
    let folder = fixtures().join("preprocess");
    let table = std::fs::read_to_string(folder.join("cases.tsv")).expect("the table of cases");
    let tensors = std::fs::read(folder.join("expected.safetensors")).expect("the expected pixels");
    let expected = SafeTensors::deserialize(&tensors).expect("a safetensors file");
    let mut files: HashMap<String, Vec<u8>> = HashMap::new();
    let (mut count, mut failures) = (0, Vec::new());
    for case in table.lines().filter(|line| !line.starts_with('#')).map(Case::parse).filter(|case| wanted(case)) {
        let bytes = files
            .entry(case.file.clone())
            .or_insert_with(|| std::fs::read(fixtures().join(&case.file)).expect("an image of the fixtures"));
        count += 1;
        if let Err(difference) = case.check(bytes, &expected) {
            failures.push(format!("{}: {difference}", case.key));
        }
    }
    assert!(count > 0, "no case was picked");
    assert!(failures.is_empty(), "{} of {count} cases differ from Pillow:\n{}", failures.len(), failures.join("\n"));
    count
}

fn is_photo(case: &Case) -> bool {
    case.file.starts_with("images/")
}

fn is_decoding(case: &Case) -> bool {
    case.spec.resize_size.is_none() && case.spec.crop_size.is_none()
}

#[test]
fn photos_in_every_format_become_what_torchvision_makes_of_them() {
    // The 83 reference tensors: three evaluation transforms and the plain decoding.
    let sides = [(None, None), (Some(256), Some(224)), (Some(232), Some(224)), (Some(32), Some(32))];
    let count = check_all(|case| {
        let evaluation = case.spec.interpolation == Interpolation::Bilinear
            && case.spec.resize_mode == ResizeMode::ShorterSide
            && case.spec.orientation == Orientation::Apply;
        is_photo(case) && evaluation && sides.contains(&(case.spec.resize_size, case.spec.crop_size))
    });
    assert!(count >= 83, "only {count} cases");
}

#[test]
fn every_corner_of_the_formats_decodes_to_pillows_pixels() {
    check_all(|case| !is_photo(case) && is_decoding(case));
}

#[test]
fn every_kind_of_resize_equals_pillows() {
    check_all(|case| !is_decoding(case));
}
