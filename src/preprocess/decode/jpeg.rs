//! JPEG through `libjpeg-turbo-rs`: the same integer IDCT and "fancy" upsampling as the libjpeg-turbo inside Pillow,
//! hence the same bytes. The only file that names that crate.

use libjpeg_turbo_rs::{ColorSpace, DecodeLimits, Decoder, PixelFormat};

use super::{Decoded, cmyk_to_rgb, pack, room};
use crate::preprocess::error::DecodeError;
use crate::preprocess::format::Format;
use crate::preprocess::header::Header;
use crate::preprocess::orientation::Turn;

/// More scans than any encoder writes (10 or so); each costs a walk over the whole image.
const MAX_SCANS: usize = 100;

pub(super) fn decode(bytes: &[u8], header: Header, pixels: &mut Vec<u8>) -> Result<Decoded, DecodeError> {
    let corrupt = |error| DecodeError::corrupt(Format::Jpeg, error);
    // What the header said was admitted; the decoder must not find a larger frame.
    let limits = DecodeLimits { max_pixels: header.pixels(), max_scans: MAX_SCANS, ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(corrupt)?;
    let frame = decoder.header();
    let (width, height, precision) = (frame.width, frame.height, frame.precision);
    if precision != 8 {
        let cause = format_args!("{precision} bits a sample are not read, only 8");
        return Err(DecodeError::corrupt(Format::Jpeg, cause));
    }
    let inks = matches!(decoder.jpeg_color_space(), ColorSpace::Cmyk | ColorSpace::Ycck);
    decoder.set_output_format(if inks { PixelFormat::Cmyk } else { PixelFormat::Rgb });

    let size = decoder.output_buffer_size().map_err(corrupt)?;
    let samples = room(pixels, size);
    decoder.decode_image_into(samples).map_err(corrupt)?;
    if inks {
        // Stored inverted, as Adobe does; Pillow takes every four-channel JPEG so.
        pack(samples, |sample: [u8; 4]| cmyk_to_rgb(sample.map(|ink| 255 - ink)));
    }
    let turn = decoder.exif_data().map(Turn::from_exif).unwrap_or_default();
    Ok(Decoded { width: width.into(), height: height.into(), turn, turn_is_intrinsic: false })
}
