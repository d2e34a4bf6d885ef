//! Images of the size that the scripted network takes.

use std::io::Cursor;

use bytes::Bytes;

/// The side of the scripted network's input, in pixels.
pub(crate) const SIDE: u32 = 8;

/// A PNG of the right size.
pub(crate) fn png() -> Bytes {
    let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| image::Rgb([x as u8 * 16, y as u8 * 16, 128]));
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, image::ImageFormat::Png).expect("PNG in memory");
    file.into_inner().into()
}
