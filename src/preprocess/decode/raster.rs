//! PNG, WebP, GIF and BMP through the `image` crate.

use std::io::Cursor;

use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits as ImageLimits};

use super::{Decoded, room};
use crate::preprocess::error::DecodeError;
use crate::preprocess::format::Format;
use crate::preprocess::header::Header;
use crate::preprocess::orientation::Turn;

/// Working memory that a decoder may take beside its output: a row, a dictionary, a palette.
const SLACK_BYTES: u64 = 16 << 20;

pub(super) fn decode(
    bytes: &[u8],
    header: Header,
    pixels: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<Decoded, DecodeError> {
    let format = header.format;
    let corrupt = |error| DecodeError::corrupt(format, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), image_format(format));
    let mut limits = ImageLimits::default();
    limits.max_image_width = Some(header.width);
    limits.max_image_height = Some(header.height);
    // Eight bytes are the largest pixel that is read (16-bit RGBA); some decoders hold the image twice.
    limits.max_alloc = Some(header.pixels() * 16 + SLACK_BYTES);
    reader.limits(limits);

    let mut decoder = reader.into_decoder().map_err(corrupt)?;
    let turn = match format {
        Format::Png => png_exif(bytes).map(Turn::from_exif).unwrap_or_default(),
        _ => decoder.orientation().map(Turn::from).unwrap_or_default(),
    };
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    let count = width as usize * height as usize;
    if color == ColorType::Rgb8 {
        decoder.read_image(room(pixels, count * 3)).map_err(corrupt)?;
    } else {
        let samples = room(scratch, count * usize::from(color.bytes_per_pixel()));
        decoder.read_image(samples).map_err(corrupt)?;
        to_rgb(samples, color, room(pixels, count * 3))
            .ok_or_else(|| DecodeError::corrupt(format, format_args!("{color:?} samples are not read")))?;
    }
    Ok(Decoded { width, height, turn, turn_is_intrinsic: false })
}

fn image_format(format: Format) -> ImageFormat {
    match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::WebP => ImageFormat::WebP,
        Format::Gif => ImageFormat::Gif,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
    }
}

/// Pillow's `convert("RGB")`: gray is repeated, alpha dropped, and of 16 bits the upper 8 are taken. Except where there
/// is gray alone: Pillow clips 16-bit gray at 255, and so do we, because the models were trained on what it gives.
fn to_rgb(samples: &[u8], color: ColorType, rgb: &mut [u8]) -> Option<()> {
    /// One output pixel for each `N` bytes.
    fn each<const N: usize>(samples: &[u8], rgb: &mut [u8], convert: impl Fn(&[u8; N]) -> [u8; 3]) {
        for (sample, rgb) in samples.as_chunks::<N>().0.iter().zip(rgb.as_chunks_mut::<3>().0) {
            *rgb = convert(sample);
        }
    }
    /// The upper byte of a 16-bit sample in native order.
    fn upper(low: u8, high: u8) -> u8 {
        u16::from_ne_bytes([low, high]).to_be_bytes()[0]
    }
    match color {
        ColorType::L8 => each(samples, rgb, |&[gray]| [gray; 3]),
        ColorType::La8 => each(samples, rgb, |&[gray, _]| [gray; 3]),
        ColorType::Rgba8 => each(samples, rgb, |&[red, green, blue, _]| [red, green, blue]),
        ColorType::L16 => each(samples, rgb, |&sample| [u16::from_ne_bytes(sample).min(255) as u8; 3]),
        ColorType::La16 => each(samples, rgb, |&[a, b, _, _]| [upper(a, b); 3]),
        ColorType::Rgb16 => each(samples, rgb, |&[a, b, c, d, e, f]| [upper(a, b), upper(c, d), upper(e, f)]),
        ColorType::Rgba16 => {
            each(samples, rgb, |&[a, b, c, d, e, f, _, _]| [upper(a, b), upper(c, d), upper(e, f)]);
        }
        _ => return None,
    }
    Some(())
}

/// The content of a PNG's `eXIf` chunk, which may stand before the pixels or after them.
fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let kind = rest.get(4..8)?;
        let content = rest.get(8..)?.get(..length)?;
        if kind == b"eXIf" {
            return Some(content);
        }
        // Four bytes of checksum follow.
        rest = rest.get(8 + length + 4..)?;
    }
}
