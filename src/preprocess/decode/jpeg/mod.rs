//! JPEG with the parts of `libjpeg-turbo-rs`: its markers, entropy decoding, integer IDCT and colour conversion are
//! those of the libjpeg-turbo inside Pillow, hence the same bytes.
//!
//! Its own decoder makes whole planes of the picture, then the whole picture; here the parts are put together so that
//! only a strip of it is in memory: [`sequential`] decodes a strip and moves on, [`spectral`] must hold the coefficients
//! of all of it, because a progressive file gives them bit by bit; [`strips`] keeps the samples of two strips,
//! [`upsample`] makes rows of them. Only these files name that crate.

mod annex_k;
mod bits;
mod codes;
mod entropy;
mod geometry;
mod refine;
mod routines;
mod sequential;
mod spectral;
mod strips;
#[cfg(test)]
mod tests;
mod transform;
mod upsample;

use std::borrow::Cow;

use libjpeg_turbo_rs::decode::marker::{JpegMetadata, MarkerReader};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::fault::jpeg as corrupt;
use super::frame::{Frame, Rows};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header;
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::{FirstRows, Inverted, RowSink};
use geometry::{ColorModel, Geometry};
use spectral::MAX_SCANS;
use strips::Planes;
use upsample::Upsampler;

struct Jpeg<'a> {
    bytes: Cow<'a, [u8]>,
    metadata: JpegMetadata,
    geometry: Geometry,
}

pub(super) fn open(bytes: &[u8]) -> Result<(Frame, Box<dyn Rows + '_>), DecodeError> {
    let (read_bytes, metadata) = read_markers(bytes)?;
    let frame = &metadata.frame;
    if frame.precision != 8 {
        return Err(corrupt(format_args!("{} bits a sample are not read, only 8", frame.precision)));
    }
    if !has_marker_behind(&read_bytes, metadata.entropy_data_offset) {
        return Err(corrupt("its end marker is missing"));
    }
    if !metadata.frame.is_lossless && !metadata.is_arithmetic && header::jpeg::has_impossible_segment(bytes) {
        return Err(corrupt("one of its tables or markers is impossible"));
    }
    let geometry = Geometry::new(&metadata, 1)?;
    let (exif, xmp) = header::jpeg::metadata(bytes);
    let turn = Turn::from_metadata(exif.as_deref(), xmp);
    let (width, height) = (geometry.width as u32, geometry.height as u32);
    let found = Frame { width, height, turn, turn_is_intrinsic: false };
    Ok((found, Box::new(Jpeg { bytes: read_bytes, metadata, geometry })))
}

/// What stands before the pixels, and the bytes that it speaks of: the file's, or those of it without its tables.
fn read_markers(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, JpegMetadata), DecodeError> {
    let read = |bytes| {
        let mut reader = MarkerReader::new(bytes);
        reader.set_scan_cap(MAX_SCANS);
        reader.read_markers().map_err(corrupt)
    };
    let Some(bare) = annex_k::bare(bytes) else { return Ok((bytes.into(), read(bytes)?)) };
    let mut metadata = read(&bare.bytes)?;
    bare.give_back(&mut metadata);
    Ok((bare.bytes.into(), metadata))
}

/// Whether anything ends the pixels but the file itself. Pillow refuses a picture where nothing does, as it is cut off more
/// often than not; how much of it is missing cannot be told.
fn has_marker_behind(bytes: &[u8], start: usize) -> bool {
    let pixels = bytes.get(start..).unwrap_or_default();
    // From the end, where it mostly is. Zero is no marker but a part of the pixels, as are restarts.
    pixels.windows(2).rev().any(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff))
}

/// What a TIFF says of the colours of its parts.
pub(super) struct PartColors {
    pub(super) photometric: u64,
    /// Whether they are multiplied by a fourth sample.
    pub(super) is_premultiplied: bool,
    /// Pixels across and down for each pair of colour differences; `None` where only the part says it.
    pub(super) sampling: Option<(u64, u64)>,
}

/// Reads a picture that is a part of a TIFF, whose tables may stand elsewhere and whose colours the TIFF knows.
///
/// * `size`: the part's width, and how many of its rows are wanted
///
/// Gives how many pixels across and down share a pair of colour differences.
pub(super) fn read_part(
    tables: &[u8],
    content: &[u8],
    told: &PartColors,
    (width, rows): (u32, u32),
    sink: &mut dyn RowSink,
) -> Result<(u64, u64), DecodeError> {
    let joined;
    let bytes = match (tables, content) {
        // Both are whole streams, from start marker to end marker.
        ([_, _, tables @ .., _, _], [start_0, start_1, content @ ..]) => {
            joined = [&[*start_0, *start_1], tables, content].concat();
            &joined[..]
        }
        _ => content,
    };
    if !tables.is_empty() && !tables.starts_with(&[0xff, 0xd8]) {
        return Err(corrupt("the tables of its TIFF are none"));
    }
    let (read_bytes, metadata) = read_markers(bytes)?;
    let frame = &metadata.frame;
    if frame.precision != 8 || u32::from(frame.width) != width || u32::from(frame.height) < rows {
        let (width, height, bits) = (frame.width, frame.height, frame.precision);
        return Err(corrupt(format_args!("a part of {width}x{height} pixels and {bits} bits does not fit its TIFF")));
    }
    let mut geometry = Geometry::new(&metadata, 1)?;
    geometry.colors = match (told.photometric, geometry.components.len()) {
        (0 | 1, 1) => ColorModel::Gray,
        (2, 4) if told.is_premultiplied => ColorModel::Premultiplied,
        (2, 3 | 4) => ColorModel::Rgb,
        (5, 4) => ColorModel::Inks,
        (6, 3) => ColorModel::YCbCr,
        (_, count) => return Err(corrupt(format_args!("{count} components do not fit the colours of its TIFF"))),
    };
    if header::jpeg::has_impossible_segment(bytes) {
        return Err(corrupt("one of its tables or markers is impossible"));
    }
    let mut sampling = frame.components.iter().map(|part| (part.horizontal_sampling, part.vertical_sampling));
    let first = sampling.next().unwrap_or((0, 0));
    let found = (u64::from(first.0), u64::from(first.1));
    let is_known = match first {
        (1 | 2 | 4, 1 | 2 | 4) if told.photometric == 6 => told.sampling.is_none_or(|told| told == found),
        _ => first == (1, 1),
    };
    if !is_known || sampling.any(|sampling| sampling != (1, 1)) {
        return Err(corrupt("so many samples for its pixels do not fit the colours of its TIFF"));
    }
    let jpeg = Box::new(Jpeg { bytes: read_bytes, metadata, geometry });
    let mut sink = FirstRows::new(sink, rows);
    // White is zero in such a TIFF.
    if told.photometric == 0 { jpeg.read(&mut Inverted(&mut sink)) } else { jpeg.read(&mut sink) }?;
    Ok(found)
}

impl Rows for Jpeg<'_> {
    fn shrink(&mut self, by: u32) -> Option<(u32, u32)> {
        // These two come from the crate as whole pictures.
        if self.metadata.frame.is_lossless || self.metadata.is_arithmetic {
            return None;
        }
        self.geometry = Geometry::new(&self.metadata, by as usize).ok()?;
        Some((self.geometry.width as u32, self.geometry.height as u32))
    }

    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let Self { bytes, metadata, geometry } = *self;
        let bytes = &*bytes;
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
    Upsampler::new(geometry, sink).rows(geometry.height, &planes, sink);
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
