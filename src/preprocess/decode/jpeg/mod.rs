//! JPEG with the parts of `libjpeg-turbo-rs`: its markers, entropy decoding, integer IDCT and colour conversion are
//! those of the libjpeg-turbo inside Pillow, hence the same bytes.
//!
//! Its own decoder makes whole planes of the picture, then the whole picture; here the parts are put together so that
//! only a strip of it is in memory: [`sequential`] decodes a strip and moves on, [`spectral`] must hold the coefficients
//! of all of it, because a progressive file gives them bit by bit; [`strips`] keeps the samples of two strips,
//! [`upsample`] makes rows of them. Only these files name that crate.

mod geometry;
mod refine;
mod sequential;
mod spectral;
mod strips;
mod upsample;

use libjpeg_turbo_rs::decode::marker::{JpegMetadata, MarkerReader};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::Frame;
use crate::preprocess::error::DecodeError;
use crate::preprocess::format::Format;
use crate::preprocess::header::Header;
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;
use geometry::Geometry;
use strips::Planes;
use upsample::Upsampler;

/// More scans than any encoder writes (10 or so); each costs a walk over the whole image.
const MAX_SCANS: usize = 100;

pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    metadata: JpegMetadata,
    geometry: Geometry,
}

fn corrupt(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::corrupt(Format::Jpeg, error)
}

pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<(Frame, Jpeg<'a>), DecodeError> {
    let mut reader = MarkerReader::new(bytes);
    reader.set_scan_cap(MAX_SCANS);
    let metadata = reader.read_markers().map_err(corrupt)?;
    let frame = &metadata.frame;
    if frame.precision != 8 {
        return Err(corrupt(format_args!("{} bits a sample are not read, only 8", frame.precision)));
    }
    // What the header said was admitted; the decoder must not find another frame.
    if (u32::from(frame.width), u32::from(frame.height)) != (header.width, header.height) {
        return Err(corrupt("it claims two sizes"));
    }
    let geometry = Geometry::new(&metadata)?;
    let turn = metadata.exif_data.as_deref().map(Turn::from_exif).unwrap_or_default();
    let found = Frame { width: header.width, height: header.height, turn, turn_is_intrinsic: false };
    Ok((found, Jpeg { bytes, metadata, geometry }))
}

impl Jpeg<'_> {
    pub(super) fn read(self, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let Self { bytes, metadata, geometry } = self;
        if metadata.frame.is_lossless {
            return lossless(bytes, &geometry, sink);
        }
        if metadata.is_arithmetic {
            return arithmetic(bytes, &geometry, sink);
        }
        if metadata.frame.is_progressive || metadata.scan.components.len() < metadata.frame.components.len() {
            spectral::read(bytes, &metadata, &geometry, sink)
        } else {
            sequential::read(bytes, &metadata, &geometry, sink)
        }
    }
}

fn limits(geometry: &Geometry) -> DecodeLimits {
    let max_pixels = (geometry.width * geometry.height) as u64;
    DecodeLimits { max_pixels, max_scans: MAX_SCANS, ..DecodeLimits::default() }
}

/// Arithmetic coding, which hardly anybody uses: the crate's decoder gives whole planes.
fn arithmetic(bytes: &[u8], geometry: &Geometry, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
    /// Samples of all of the picture.
    struct Whole {
        planes: Vec<Vec<u8>>,
        widths: Vec<usize>,
    }

    impl Planes for Whole {
        fn row(&self, component: usize, row: usize) -> &[u8] {
            let width = self.widths[component];
            &self.planes[component][row * width..][..width]
        }
    }

    let decoder = Decoder::new_with_limits(bytes, limits(geometry)).map_err(corrupt)?;
    let raw = decoder.decode_raw().map_err(corrupt)?;
    let planes = Whole { planes: raw.planes, widths: raw.plane_widths };
    Upsampler::new(geometry).rows(geometry.height, &planes, sink);
    Ok(())
}

/// Lossless coding, which hardly anybody uses either: the crate's decoder gives the whole picture.
fn lossless(bytes: &[u8], geometry: &Geometry, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new_with_limits(bytes, limits(geometry)).map_err(corrupt)?;
    decoder.set_output_format(PixelFormat::Rgb);
    let image = decoder.decode_image().map_err(corrupt)?;
    for row in image.data.chunks_exact(geometry.width * 3) {
        sink.row(&mut |rgb| rgb.copy_from_slice(row));
    }
    Ok(())
}
