//! Pixels as a file: PNG, and WebP without loss.

use std::io::{self, Write as _};

use flate2::{Compression, Crc, write::ZlibEncoder};
use image_webp::{ColorType, WebPEncoder};

use crate::tensor::Pixels;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Portable Network Graphics.
    Png,
    /// Without loss.
    WebP,
}

impl FileFormat {
    /// As `content-type` says it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::WebP => "image/webp",
        }
    }
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// WebP has 16,384 pixels a side at most.
    #[error("{width}x{height} pixels are no WebP: {cause}; take PNG")]
    WebP {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// In the encoder's words.
        cause: String,
    },
    /// Cannot be, in memory.
    #[error("the picture cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// The file.
///
/// # Errors
/// [`EncodeError`].
pub fn encoded(pixels: &Pixels, format: FileFormat) -> Result<Vec<u8>, EncodeError> {
    match format {
        FileFormat::Png => Ok(png(pixels)?),
        FileFormat::WebP => {
            let (width, height) = (pixels.width(), pixels.height());
            let mut file = Vec::new();
            let outcome = WebPEncoder::new(&mut file).encode(pixels.data(), width, height, ColorType::Rgb8);
            outcome.map_err(|cause| EncodeError::WebP { width, height, cause: cause.to_string() })?;
            Ok(file)
        }
    }
}

/// One chunk of pixels, each row as its difference from the one above: of photos the quickest filter that helps.
fn png(pixels: &Pixels) -> io::Result<Vec<u8>> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    const UP: u8 = 2;
    /// 8 bits a sample, RGB, the only compression and set of filters that there are, not interlaced.
    const FORM: [u8; 5] = [8, 2, 0, 0, 0];
    let stride = pixels.width() as usize * 3;
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut above = vec![0u8; stride];
    let mut filtered = Vec::with_capacity(stride + 1);
    for row in pixels.data().chunks_exact(stride.max(1)) {
        filtered.clear();
        filtered.push(UP);
        filtered.extend(row.iter().zip(&above).map(|(value, above)| value.wrapping_sub(*above)));
        rows.write_all(&filtered)?;
        above.copy_from_slice(row);
    }
    let mut file = SIGNATURE.to_vec();
    let size = [pixels.width().to_be_bytes(), pixels.height().to_be_bytes()].concat();
    chunk(&mut file, *b"IHDR", &[&size[..], &FORM].concat());
    chunk(&mut file, *b"IDAT", &rows.finish()?);
    chunk(&mut file, *b"IEND", &[]);
    Ok(file)
}

fn chunk(file: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let mut sum = Crc::new();
    sum.update(&name);
    sum.update(data);
    file.extend(name);
    file.extend(data);
    file.extend(sum.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use image_webp::WebPDecoder;

    use super::*;

    fn picture() -> Pixels {
        let data = (0..37 * 21 * 3).map(|place| (place * 7 % 251) as u8).collect();
        Pixels::new(37, 21, data).unwrap()
    }

    #[test]
    fn a_png_is_read_by_others_as_it_was() {
        let file = encoded(&picture(), FileFormat::Png).unwrap();
        let read = image::load_from_memory(&file).unwrap().into_rgb8();
        assert_eq!((read.width(), read.height()), (37, 21));
        assert_eq!(&*read.into_raw(), picture().data());
    }

    #[test]
    fn a_webp_loses_nothing_and_one_that_is_too_large_is_refused() {
        let file = encoded(&picture(), FileFormat::WebP).unwrap();
        let mut decoder = WebPDecoder::new(io::Cursor::new(file)).unwrap();
        let mut read = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.read_image(&mut read).unwrap();
        assert_eq!(read, picture().data());
        let wide = Pixels::new(20_000, 1, vec![0; 60_000]).unwrap();
        let refusal = encoded(&wide, FileFormat::WebP).unwrap_err().to_string();
        assert!(refusal.contains("20000x1") && refusal.contains("take PNG"), "{refusal}");
        assert!(encoded(&wide, FileFormat::Png).is_ok());
    }
}
