//! What is no image, is a damaged one, or is too large: refused with a reason, in bounded memory, without a panic.

use std::path::Path;

use resnetd::preprocess::{DecodeError, DecodeLimits, Format, Orientation, Spec, cost, decode, preprocess, probe};

use crate::support::images::png_chunk;

fn image(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).expect("a fixture")
}

fn refusal(bytes: &[u8]) -> DecodeError {
    preprocess(bytes, &Spec::default(), &DecodeLimits::default()).expect_err("a refusal")
}

/// Every image of the fixtures, in every format.
fn all_images() -> Vec<(String, Vec<u8>)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders = ["images", "preprocess/images"].map(|folder| fixtures.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder of images"));
    let mut images: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .map(|path| (path.display().to_string(), std::fs::read(path).expect("an image")))
        .collect();
    images.sort();
    images
}

/// A small generator with a fixed start (splitmix64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// The first bytes of a PNG, up to and with its header; no pixels follow.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    bytes
}

#[test]
fn an_empty_body_is_refused_with_the_remedy() {
    let error = refusal(b"");
    assert!(matches!(error, DecodeError::Empty));
    assert!(error.to_string().contains("send the content of an image file"), "{error}");
}

#[test]
fn what_is_no_image_is_named_in_the_refusal() {
    let cases: [(&[u8], &str); 5] = [
        (b"hello, is this a cat?", "text (\"hello, is this a cat?\")"),
        (b"{\"instances\": [{\"b64\": \"aGVsbG8=\"}]}", "text (\"{\\\"instances"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video"),
        (&[0x80, 0x01, 0x02, 0x03, 0x04], "80 01 02 03 04"),
    ];
    for (bytes, named) in cases {
        let error = refusal(bytes);
        assert!(matches!(error, DecodeError::UnsupportedFormat { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(error.to_string().contains("send JPEG, PNG, WebP, GIF, BMP or TIFF"), "{error}");
    }
}

#[test]
fn a_picture_of_a_format_that_is_not_read_is_refused_with_what_to_convert_it_to() {
    let cases: [(&[u8], &str); 12] = [
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"\xff\x0a\0", "JPEG XL"),
        (b"\0\0\x01\0\x01\0", "Windows icon"),
        (b"\0\0\x02\0\0\0\0\0\0\0\0\0\x10\0\x10\0\x18\0", "TGA"),
        (b"P7\nWIDTH 1\n", "PAM"),
        (b"Pf\n1 1\n", "PFM"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"DDS \x7c\0\0\0", "DDS"),
        (b"\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0", "DIB"),
    ];
    for (bytes, named) in cases {
        let error = refusal(bytes);
        assert!(matches!(error, DecodeError::UnsupportedFormat { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(error.to_string().ends_with("convert it to JPEG or PNG"), "{error}");
    }
}

#[test]
fn oversized_image_is_refused_before_decoding() {
    // Only the header is there: whoever tried to decode it would complain of missing pixels instead.
    let error = refusal(&png_header(60_000, 60_000));
    let DecodeError::TooLarge { width: 60_000, height: 60_000, limit: 100_000_000 } = error else {
        panic!("refused for another reason: {error}");
    };
    assert!(error.to_string().contains("60000x60000 pixels, at most 100000000"), "{error}");
}

#[test]
fn every_format_is_refused_from_its_header_when_it_claims_too_much() {
    let mut jpeg = image("preprocess/images/jpeg_8x8.jpg");
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame header");
    jpeg[frame + 5..frame + 9].fill(0xff);
    let mut gif = image("preprocess/images/gif_gray.gif");
    gif[6..10].fill(0xff);
    let mut bmp = image("preprocess/images/bmp_24.bmp");
    bmp[18..22].copy_from_slice(&50_000i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&50_000i32.to_le_bytes());
    let mut webp = image("preprocess/images/webp_lossy_alpha.webp");
    webp[24..30].copy_from_slice(&[0xfe, 0x3f, 0, 0xfe, 0x3f, 0]);
    let frame = webp.windows(3).position(|start| start == [0x9d, 0x01, 0x2a]).expect("a frame header");
    webp[frame + 3..frame + 7].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let mut tiff = b"II\x2a\0\x08\0\0\0\x06\0".to_vec();
    for (tag, value) in [(256u16, 60_000u32), (257, 60_000), (258, 8), (262, 1), (273, 8), (279, 9)] {
        tiff.extend([tag.to_le_bytes(), 4u16.to_le_bytes()].concat());
        tiff.extend([1u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    tiff.extend([0; 4]);
    for (name, bytes) in [("jpeg", jpeg), ("gif", gif), ("bmp", bmp), ("webp", webp), ("tiff", tiff)] {
        let error = refusal(&bytes);
        assert!(matches!(error, DecodeError::TooLarge { .. }), "{name}: {error}");
    }
}

#[test]
fn a_file_too_short_for_what_it_claims_is_refused_by_its_header() {
    // 100 megapixels each, in files of some hundred bytes: no decoder is asked.
    let claim = |mut file: Vec<u8>, at: usize, size: &[u8]| {
        file[at..at + size.len()].copy_from_slice(size);
        file
    };
    let jpeg = image("preprocess/images/jpeg_8x8.jpg");
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame header");
    let gif = image("preprocess/images/gif_gray.gif");
    let frame_of_gif = gif.windows(5).position(|block| block == b",\0\0\0\0").expect("an image block");
    let cases = [
        ("JPEG", claim(jpeg, frame + 5, &[0x27, 0x10, 0x27, 0x10])),
        ("GIF", claim(gif, frame_of_gif + 5, &[0x10, 0x27, 0x10, 0x27])),
        ("BMP", claim(image("preprocess/images/bmp_24.bmp"), 18, &[0x10, 0x27, 0, 0, 0x10, 0x27, 0, 0])),
    ];
    for (name, file) in cases {
        let header = probe(&file).expect("a header");
        assert_eq!(header.pixels(), 100_000_000, "{name}");
        let error = DecodeLimits::default().admit(&header).expect_err("a refusal");
        assert!(error.to_string().contains("bytes at least"), "{name}: {error}");
        assert_eq!(refusal(&file).to_string(), error.to_string(), "{name}");
    }
}

#[test]
fn numbers_of_a_header_that_overflow_make_no_estimate_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess/damaged");
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = files.filter(|path| path.extension().is_none_or(|ending| ending != "md")).collect();
    assert!(files.len() >= 5, "only {} files", files.len());
    let no_limits = DecodeLimits { max_pixels: u64::MAX };
    for path in files {
        let bytes = std::fs::read(&path).expect("a damaged file");
        // What cannot be read has no estimate; what can is refused for its size, or for not having it.
        if let Ok(header) = probe(&bytes) {
            let _ = cost(&header, &Spec::default(), &no_limits);
            assert!(DecodeLimits::default().admit(&header).is_err(), "{}", path.display());
        }
        refusal(&bytes);
    }
}

#[test]
fn a_png_whose_second_header_asks_for_more_memory_is_refused() {
    let png = image("preprocess/images/png_1x1.png");
    let mut second = png[16..29].to_vec();
    second[12] = 1;
    let bytes = [&png[..33], &png_chunk(b"IHDR", &second), &png[33..]].concat();
    assert!(refusal(&bytes).to_string().contains("contradict"), "{}", refusal(&bytes));
    // The same header twice says nothing new, and Pillow reads it.
    let bytes = [&png[..33], &png_chunk(b"IHDR", &png[16..29]), &png[33..]].concat();
    assert!(preprocess(&bytes, &Spec::default(), &DecodeLimits::default()).is_ok());
}

#[test]
fn texts_of_a_png_are_unpacked_up_to_a_limit_of_all_together() {
    let png = image("preprocess/images/png_1x1.png");
    let mut packed = flate2::write::ZlibEncoder::new(b"a\0\0".to_vec(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &vec![b' '; 1 << 20]).expect("memory");
    let text = png_chunk(b"zTXt", &packed.finish().expect("memory"));
    let with = |count: usize| [&png[..33], &text.repeat(count), &png[33..]].concat();
    assert!(preprocess(&with(64), &Spec::default(), &DecodeLimits::default()).is_ok());
    // In 12 MB there is room for 11,000 of them, which would take seconds.
    assert!(refusal(&with(65)).to_string().contains("zTXt"), "{}", refusal(&with(65)));
}

/// A little-endian TIFF of nothing but these fields, each a LONG.
fn tiff_of(fields: &[(u16, u32)]) -> Vec<u8> {
    let mut tiff = b"II\x2a\0\x08\0\0\0".to_vec();
    tiff.extend((fields.len() as u16).to_le_bytes());
    for (tag, value) in fields {
        tiff.extend([tag.to_le_bytes(), 4u16.to_le_bytes()].concat());
        tiff.extend([1u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    tiff.extend([0; 4]);
    tiff
}

#[test]
fn a_tiff_without_width_or_height_is_refused_in_every_way_of_storing() {
    for (width, height) in [(0, 5), (5, 0), (0, 0)] {
        for storage in
            [[(273, 8), (278, 5), (279, 9)], [(273, 8), (278, 0), (279, 9)], [(322, 16), (323, 16), (324, 8)]]
        {
            for compression in [1, 5, 7] {
                let start = [(256, width), (257, height), (258, 8), (259, compression), (262, 1)];
                let error = refusal(&tiff_of(&[&start[..], &storage].concat()));
                assert!(matches!(error, DecodeError::Corrupt { .. }), "{error}");
            }
        }
    }
}

#[test]
fn a_tile_far_beyond_its_picture_is_refused() {
    let tiff = tiff_of(&[(256, 1), (257, 1), (258, 8), (262, 1), (322, 4_000_000_000), (323, 16), (324, 8), (325, 9)]);
    assert!(matches!(refusal(&tiff), DecodeError::Corrupt { .. }), "{}", refusal(&tiff));
}

#[test]
fn what_is_large_in_any_way_is_not_decoded_in_place() {
    let small = image("preprocess/images/png_1x1.png");
    assert!(probe(&small).expect("a header").is_quick());
    let mut padded = small[..33].to_vec();
    // Twelve megabytes of text between header and pixels.
    for _ in 0..12 {
        padded.extend(1_000_000u32.to_be_bytes());
        padded.extend(b"tEXt");
        padded.resize(padded.len() + 1_000_004, b'x');
    }
    padded.extend(&small[33..]);
    let header = probe(&padded).expect("a header");
    assert_eq!(header.pixels(), 1);
    assert!(!header.is_quick());
    assert!(!probe(&image("images/jpeg_420.jpg")).expect("a header").is_quick());
}

#[test]
fn a_header_is_looked_for_in_a_bounded_part_of_the_file() {
    let jpeg = image("preprocess/images/jpeg_8x8.jpg");
    // Junk between the segments, of which Pillow skips any amount.
    let with_junk = |count: usize| [&jpeg[..2], &vec![0; count], &jpeg[2..]].concat();
    let mut bytes = with_junk(1000);
    bytes.splice(2..2, [0xff, 0xfe, 0, 2]);
    assert_eq!(probe(&bytes).expect("a header").pixels(), 64);
    let error = probe(&[&bytes[..6], &vec![0; 20_000_000], &bytes[6..]].concat()).expect_err("a refusal");
    assert!(error.to_string().contains("before its size"), "{error}");
    // Tiny segments by the million.
    let comments = [0xff, 0xfe, 0, 2].repeat(4_000_000);
    let error = probe(&[&jpeg[..2], &comments, &jpeg[2..]].concat()).expect_err("a refusal");
    assert!(error.to_string().contains("before its size"), "{error}");
    // A GIF whose frame stands behind a megabyte of comments is decoded all the same, if its screen tells its size.
    let gif = image("preprocess/images/gif_gray.gif");
    let palette = 6 << (gif[10] & 7);
    let comment = [&b"!\xfe"[..], &[&[255][..], &[b'x'; 255]].concat().repeat(5000), &[0]].concat();
    let behind = [&gif[..13 + palette], &comment, &gif[13 + palette..]].concat();
    assert_eq!(probe(&behind).expect("a header").pixels(), probe(&gif).expect("a header").pixels());
    let [one, other] = [&gif, &behind].map(|file| decode(file, Orientation::Ignore, &DecodeLimits::default()));
    assert_eq!(one.expect("pixels"), other.expect("pixels"));
}

#[test]
fn the_limit_counts_pixels_and_includes_itself() {
    let photo = image("images/jpeg_420.jpg");
    let header = probe(&photo).expect("a header");
    assert_eq!(header.format, Format::Jpeg);
    let exactly = DecodeLimits { max_pixels: header.pixels() };
    assert!(preprocess(&photo, &Spec::default(), &exactly).is_ok());
    let one_less = DecodeLimits { max_pixels: header.pixels() - 1 };
    let error = preprocess(&photo, &Spec::default(), &one_less).expect_err("a refusal");
    assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}");
}

#[test]
fn a_sliver_is_cropped_without_its_resized_whole_being_made() {
    // 1x2000 pixels with a shorter side of 4096 would be 4096x8192000 pixels, 100 GB.
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0".to_vec();
    bmp.extend(2000i32.to_le_bytes());
    bmp.extend(b"\x01\0\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    bmp.extend([30, 20, 10, 0].repeat(2000));
    let spec = Spec { resize_size: Some(4096), crop_size: Some(32), ..Spec::default() };
    let pixels = preprocess(&bmp, &spec, &DecodeLimits::default()).expect("a small crop");
    assert!(pixels.data().chunks(3).all(|pixel| pixel == [10, 20, 30]));

    let whole = Spec { crop_size: None, ..spec };
    let error = preprocess(&bmp, &whole, &DecodeLimits::default()).expect_err("a refusal");
    assert!(matches!(error, DecodeError::TooLarge { width: 4096, height: 8_192_000, .. }), "{error}");
}

#[test]
fn half_a_file_is_corrupt_in_every_format() {
    // Photos only: a file of a few pixels may have all of them in its first half.
    for (name, bytes) in all_images().into_iter().filter(|(name, _)| !name.contains("preprocess/")) {
        let error =
            preprocess(&bytes[..bytes.len() / 2], &Spec::default(), &DecodeLimits::default()).map(|_| name.clone());
        match error {
            Err(DecodeError::Corrupt { format, .. }) => assert_eq!(format, probe(&bytes).expect("a header").format),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_jpeg_is_corrupt_wherever_its_scan_is_cut() {
    // Never half a picture with gray below it, as lenient decoders give.
    for name in ["images/jpeg_420.jpg", "images/jpeg_progressive.jpg", "preprocess/images/jpeg_restart.jpg"] {
        let bytes = image(name);
        let scan = bytes.windows(2).position(|marker| marker == [0xff, 0xda]).expect("a scan");
        // The last few bytes are the end marker and padding.
        for part in 0..40 {
            let end = scan + (bytes.len() - 8 - scan) * part / 39;
            let result = preprocess(&bytes[..end], &Spec::default(), &DecodeLimits::default());
            assert!(matches!(result, Err(DecodeError::Corrupt { .. })), "{name} cut at {end}: {result:?}");
        }
    }
}

#[test]
fn damaged_images_end_in_an_answer_or_a_refusal() {
    let limits = DecodeLimits { max_pixels: 4_000_000 };
    let spec = Spec { resize_size: Some(40), crop_size: Some(32), ..Spec::default() };
    let mut random = Random(20_251_124);
    for (name, original) in all_images() {
        // Large files take longer and hold no more structure.
        let rounds = if original.len() < 3000 { 120 } else { 12 };
        for round in 0..rounds {
            let mut bytes = original.clone();
            if round % 3 == 0 {
                bytes.truncate(random.below(original.len()));
            }
            for _ in 0..random.below(8) {
                // Half of the damage goes to the headers.
                let end = if random.below(2) == 0 { bytes.len().min(200) } else { bytes.len() };
                if end > 0 {
                    let at = random.below(end);
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            match preprocess(&bytes, &spec, &limits) {
                Ok(pixels) => assert_eq!((pixels.width(), pixels.height()), (32, 32), "{name}, round {round}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn decoding_alone_keeps_the_images_size_and_turns_it_upright() {
    let photo = image("images/jpeg_exif6.jpg");
    let header = probe(&photo).expect("a header");
    let upright = decode(&photo, Orientation::Apply, &DecodeLimits::default()).expect("pixels");
    assert_eq!((upright.width(), upright.height()), (header.height, header.width));
    let stored = decode(&photo, Orientation::Ignore, &DecodeLimits::default()).expect("pixels");
    assert_eq!((stored.width(), stored.height()), (header.width, header.height));
}
