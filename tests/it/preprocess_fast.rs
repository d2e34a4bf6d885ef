//! `decode = "fast"`: a JPEG decoded at a half, a quarter or an eighth equals what Pillow's `draft` makes of it, bit for bit;
//! everything else is as it was.

use std::{fs, path::Path};

use resnetd::preprocess::{DecodeLimits, Decoding, Format, Orientation, ResizeMode, Spec, preprocess, probe};
use sha2::{Digest, Sha256};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn fast() -> Spec {
    Spec { decode: Decoding::Fast, ..Spec::default() }
}

#[test]
fn pictures_that_are_decoded_smaller_equal_pillows_drafts() {
    let cases = fs::read_to_string(Path::new(FIXTURES).join("preprocess/fast.tsv")).unwrap();
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [file, resize, crop, mode, orientation, sha256] = fields[..] else { panic!("{line}") };
        let spec = Spec {
            resize_size: Some(resize.parse().unwrap()),
            crop_size: (crop != "-").then(|| crop.parse().unwrap()),
            resize_mode: if mode == "stretch" { ResizeMode::Stretch } else { ResizeMode::ShorterSide },
            orientation: if orientation == "apply" { Orientation::Apply } else { Orientation::Ignore },
            ..fast()
        };
        let pixels = preprocess(&fs::read(Path::new(FIXTURES).join(file)).unwrap(), &spec, &DecodeLimits::default());
        let got: Result<String, _> =
            pixels.map(|pixels| Sha256::digest(pixels.data()).iter().map(|byte| format!("{byte:02x}")).collect());
        if got.as_deref().ok() != Some(sha256) {
            wrong.push(line);
        }
    }
    assert!(cases.lines().count() > 400 && wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
}

#[test]
fn pictures_of_other_formats_are_decoded_exactly() {
    let mut count = 0;
    for folder in ["images", "preprocess/images"] {
        for file in fs::read_dir(Path::new(FIXTURES).join(folder)).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let is_coded_otherwise =
                ["arithmetic", "lossless"].iter().any(|coding| path.ends_with(format!("jpeg_{coding}.jpg")));
            if probe(&bytes).unwrap().format == Format::Jpeg && !is_coded_otherwise {
                continue;
            }
            let prepared = |decode| {
                let spec = Spec { resize_size: Some(7), crop_size: Some(5), decode, ..Spec::default() };
                preprocess(&bytes, &spec, &DecodeLimits::default()).map_err(|error| error.to_string())
            };
            assert_eq!(prepared(Decoding::Fast), prepared(Decoding::Exact), "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn a_damaged_picture_is_refused_however_small_it_is_decoded() {
    let bytes = fs::read(Path::new(FIXTURES).join("images/jpeg_420.jpg")).unwrap();
    for resize in [16, 64, 128] {
        let spec = Spec { resize_size: Some(resize), crop_size: Some(resize), ..fast() };
        assert!(preprocess(&bytes, &spec, &DecodeLimits::default()).is_ok());
        // The end marker stands at the end, so that what is missing is in the pixels.
        for cut in [bytes.len() / 4, bytes.len() / 2, bytes.len() - 40] {
            let damaged = [&bytes[..cut], &[0xff, 0xd9]].concat();
            let error = preprocess(&damaged, &spec, &DecodeLimits::default()).map(drop).unwrap_err();
            assert!(error.to_string().contains("its pixels end early"), "{error}");
        }
    }
}
