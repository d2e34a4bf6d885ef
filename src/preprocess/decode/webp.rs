//! WebP's first frame on its canvas, as libwebp's animation decoder inside Pillow gives it: what the frame does not cover
//! is black, and alpha is dropped unblended.
//!
//! The container is read by [`crate::preprocess::header::webp`]; the two kinds of pictures in it are decoded by
//! `image-webp`, lossy ones to the planes of their samples, lossless ones to four bytes a pixel. From there on rows are
//! made one by one. The only file that names that crate.

use std::io::Cursor;
use std::ops::Range;

use image_webp::WebPDecoder;
use image_webp::vp8::{self, Vp8Decoder};

use super::fault::webp as corrupt;
use super::frame::{Frame, Rows};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::webp::{Container, WebPImage};
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;

struct WebP<'a> {
    bytes: &'a [u8],
    container: Container,
}

pub(super) fn open(bytes: &[u8]) -> Result<(Frame, Box<dyn Rows + '_>), DecodeError> {
    let container = Container::read(bytes).ok_or_else(|| corrupt("it has no picture, or ends before it"))?;
    let content = |range: &Option<Range<usize>>| range.clone().and_then(|range| bytes.get(range));
    let turn = Turn::from_metadata(content(&container.exif), content(&container.xmp));
    let frame = Frame { width: container.width, height: container.height, turn, turn_is_intrinsic: false };
    Ok((frame, Box::new(WebP { bytes, container })))
}

impl Rows for WebP<'_> {
    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let Container { width, height, image, .. } = self.container;
        let WebPImage { left, top, .. } = image;
        let data = self.bytes.get(image.data.clone()).ok_or_else(|| corrupt("its pixels end early"))?;
        if left + image.width > width || top + image.height > height {
            return Err(corrupt("its first frame leaves the canvas"));
        }
        let black = |count: u32, sink: &mut dyn RowSink| {
            if count > 0 {
                sink.rows(count, &mut |rgb| rgb.fill(0));
            }
        };
        let columns = left as usize * 3..(left + image.width) as usize * 3;
        let place = |rgb: &mut [u8], fill: &mut dyn FnMut(&mut [u8])| {
            rgb[..columns.start].fill(0);
            rgb[columns.end..].fill(0);
            fill(&mut rgb[columns.clone()]);
        };
        black(top, sink);
        if image.lossless {
            let pixels = lossless(data, &image)?;
            for row in pixels.chunks_exact(image.width as usize * 4) {
                sink.row(&mut |rgb| {
                    place(rgb, &mut |rgb| {
                        for (pixel, rgb) in row.as_chunks::<4>().0.iter().zip(rgb.as_chunks_mut::<3>().0) {
                            *rgb = [pixel[0], pixel[1], pixel[2]];
                        }
                    });
                });
            }
        } else {
            let frame = Vp8Decoder::decode_frame(data).map_err(corrupt)?;
            if (u32::from(frame.width), u32::from(frame.height)) != (image.width, image.height) {
                return Err(corrupt("it claims two sizes"));
            }
            let mut colors = Chroma::new(&frame);
            for y in 0..image.height as usize {
                sink.row(&mut |rgb| place(rgb, &mut |rgb| colors.row(&frame, y, rgb)));
            }
        }
        black(height - top - image.height, sink);
        Ok(())
    }
}

/// The pixels of a lossless picture, four bytes each.
fn lossless(data: &[u8], image: &WebPImage) -> Result<Vec<u8>, DecodeError> {
    // In a container that announces alpha the decoder fills the buffer that it is given, without one of its own.
    let mut file = Vec::with_capacity(data.len() + 48);
    let [size, chunk] = [data.len() + 30, data.len()].map(|size| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    let [width, height] = [image.width - 1, image.height - 1].map(u32::to_le_bytes);
    file.extend(b"RIFF");
    file.extend(size);
    file.extend(b"WEBPVP8X\x0a\0\0\0\x10\0\0\0");
    file.extend([&width[..3], &height[..3]].concat());
    file.extend(b"VP8L");
    file.extend(chunk);
    file.extend(data);
    let mut decoder = WebPDecoder::new(Cursor::new(&file)).map_err(corrupt)?;
    let mut pixels = vec![0; image.width as usize * image.height as usize * 4];
    decoder.read_image(&mut pixels).map_err(corrupt)?;
    Ok(pixels)
}

/// A row of a lossy picture's colour samples, of which there are half as many as pixels each way: each pixel's is mixed
/// of the nearest four, 9 : 3 : 3 : 1, as libwebp's "fancy upsampling" does.
struct Chroma {
    stride: usize,
    sums: Vec<u16>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

impl Chroma {
    fn new(frame: &vp8::Frame) -> Self {
        let samples = usize::from(frame.width).div_ceil(2);
        // Planes are filled up to whole blocks of 16 pixels.
        let stride = usize::from(frame.width).div_ceil(16) * 16;
        Self { stride, sums: vec![0; samples + 2], blue: vec![0; samples * 2 + 1], red: vec![0; samples * 2 + 1] }
    }

    fn row(&mut self, frame: &vp8::Frame, y: usize, rgb: &mut [u8]) {
        let (width, rows) = (usize::from(frame.width), usize::from(frame.height).div_ceil(2));
        let samples = width.div_ceil(2);
        let near = y / 2;
        let far = if y % 2 == 1 { (near + 1).min(rows - 1) } else { near.saturating_sub(1) };
        for (plane, out) in [(&frame.ubuf, &mut self.blue), (&frame.vbuf, &mut self.red)] {
            let [near, far] = [near, far].map(|row| &plane[row * self.stride / 2..][..samples]);
            for ((near, far), sum) in near.iter().zip(far).zip(&mut self.sums[1..]) {
                *sum = u16::from(*near) * 3 + u16::from(*far);
            }
            (self.sums[0], self.sums[samples + 1]) = (self.sums[1], self.sums[samples]);
            for (sums, out) in self.sums.windows(3).zip(out.as_chunks_mut::<2>().0) {
                *out = [sums[0], sums[2]].map(|beside| ((sums[1] * 3 + beside + 8) >> 4) as u8);
            }
        }
        let light = &frame.ybuf[y * self.stride..][..width];
        for (((light, blue), red), rgb) in light.iter().zip(&self.blue).zip(&self.red).zip(rgb.as_chunks_mut::<3>().0) {
            *rgb = to_rgb(*light, *blue, *red);
        }
    }
}

/// libwebp's conversion, in 14 bits.
fn to_rgb(light: u8, blue: u8, red: u8) -> [u8; 3] {
    let times = |sample: u8, factor: i32| (i32::from(sample) * factor) >> 8;
    let light = times(light, 19077);
    [
        light + times(red, 26149) - 14234,
        light - times(blue, 6419) - times(red, 13320) + 8708,
        light + times(blue, 33050) - 17685,
    ]
    .map(|value| (value >> 6).clamp(0, 255) as u8)
}
