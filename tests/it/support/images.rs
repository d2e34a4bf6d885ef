//! Images of the size that the scripted network takes.

use std::io::Cursor;

use bytes::Bytes;

pub(crate) use super::scripted_model::SIDE;

/// A PNG of the right size.
pub(crate) fn png() -> Bytes {
    png_of(|x, y| [x as u8 * 16, y as u8 * 16, 128])
}

/// The same, all of one gray.
pub(crate) fn gray(value: u8) -> Bytes {
    png_of(|_, _| [value; 3])
}

fn png_of(pixel: impl Fn(u32, u32) -> [u8; 3]) -> Bytes {
    let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| image::Rgb(pixel(x, y)));
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, image::ImageFormat::Png).expect("PNG in memory");
    file.into_inner().into()
}

/// The classes of CIFAR-10, one image of each in `tests/fixtures/cifar10`.
pub(crate) const CIFAR_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// A JPEG of 500x375 pixels.
pub(crate) fn photo() -> Bytes {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/preprocess/images/photo_500x375.jpg");
    std::fs::read(path).expect("the fixture").into()
}

/// A 32x32 JPEG of the CIFAR-10 test set.
pub(crate) fn cifar(class: &str) -> Bytes {
    let path = format!("{}/tests/fixtures/cifar10/{class}.jpg", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("the fixture").into()
}

/// A chunk of a PNG with its checksum.
pub(crate) fn png_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(content);
    let length = u32::try_from(content.len()).expect("a short chunk");
    [&length.to_be_bytes()[..], kind, content, &crc.sum().to_be_bytes()].concat()
}
