//! Which part of a picture a network sees: where resize and crop look, in the picture's own pixels.

use super::{
    DecodeError, DecodeLimits, Spec, decode,
    header::probe,
    orientation::Turn,
    spec::{Orientation, Span},
};

/// A rectangle of a picture, in its pixels as it stands upright. Fractions come from the resize. Where a picture is smaller than what
/// is cut from it, it lies in the middle of black, and the rectangle reaches beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Framing {
    /// Width of the picture.
    pub picture_width: u32,
    /// Height of the picture.
    pub picture_height: u32,
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

/// What the network sees of a picture that is prepared as `spec` says. A picture that is taken as it is stored counts as upright so.
///
/// # Errors
/// As for [`preprocess`](super::preprocess); no pixel is decoded.
pub fn framing(bytes: &[u8], spec: &Spec, limits: &DecodeLimits) -> Result<Framing, DecodeError> {
    let header = probe(bytes)?;
    limits.admit(&header)?;
    let frame = decode::open(bytes, &header)?.frame();
    let is_turned = frame.turn_is_intrinsic || spec.orientation == Orientation::Apply;
    let turn = if is_turned { frame.turn } else { Turn::default() };
    let (width, height) = turn.upright(frame.width, frame.height);
    let resized = limits.admit_resized(spec, spec.resized(width, height))?;
    let (crop_width, crop_height) = spec.crop().unzip();
    let (x, across) = reach(width, resized.0, crop_width);
    let (y, down) = reach(height, resized.1, crop_height);
    Ok(Framing { picture_width: width, picture_height: height, x, y, width: across, height: down })
}

/// Start and length of what is cut from `resized` pixels, in the `size` pixels that they were made of.
fn reach(size: u32, resized: u32, crop: Option<u32>) -> (f64, f64) {
    let span = Span::centered(resized, crop);
    let scale = f64::from(size) / f64::from(resized.max(1));
    ((f64::from(span.start) - f64::from(span.before)) * scale, f64::from(span.out) * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crop_lies_where_the_resized_picture_was_cut() {
        // 500x375 becomes 341x256, of which 224x224 are cut at (58, 16).
        let (x, across) = reach(500, 341, Some(224));
        assert!((x - 58.0 * 500.0 / 341.0).abs() < 1e-9 && (across - 224.0 * 500.0 / 341.0).abs() < 1e-9);
        assert_eq!(reach(375, 256, Some(224)), (16.0 * 375.0 / 256.0, 224.0 * 375.0 / 256.0));
    }

    #[test]
    fn where_nothing_is_cut_it_is_the_whole_picture() {
        assert_eq!(reach(500, 32, None), (0.0, 500.0));
        assert_eq!(reach(32, 32, Some(32)), (0.0, 32.0));
    }

    #[test]
    fn a_picture_in_the_middle_of_black_is_smaller_than_what_is_seen() {
        assert_eq!(reach(24, 24, Some(32)), (-4.0, 32.0));
    }
}
