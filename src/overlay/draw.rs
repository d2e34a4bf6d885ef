//! Pictures with maps over them, side by side.

use super::color::tinted;
use crate::tensor::Pixels;

/// A drawing of a smaller picture is enlarged by a whole number until its longer side has so many pixels.
const LEAST_SIDE: u32 = 224;

/// Pixels between two panels.
const GAP: usize = 4;

/// What is left of a picture's brightness outside of the part that the network saw.
const OUTSIDE: f32 = 0.45;

/// The parts of one class, `[h, w]` from the top.
#[derive(Clone, Copy, Debug)]
pub struct HeatMap<'a> {
    /// Row-major.
    pub values: &'a [f32],
    /// Places across.
    pub width: usize,
}

/// A part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl Region {
    /// The same of a picture that is larger or smaller by these factors.
    #[must_use]
    pub fn scaled(self, across: f64, down: f64) -> Self {
        Self { x: self.x * across, y: self.y * down, width: self.width * across, height: self.height * down }
    }
}

/// A picture with each of `maps` over it, from left to right.
///
/// * `seen`: the part that the network saw, which is marked; `None`: all of it
pub fn drawn(picture: &Pixels, maps: &[HeatMap<'_>], seen: Option<Region>) -> Pixels {
    let largest = maps.iter().flat_map(|map| map.values).fold(0.0f32, |largest, value| largest.max(value.abs()));
    drawn_at(picture, maps, seen, largest)
}

/// The same in the colours of a scale that ends at `largest`.
pub(super) fn drawn_at(picture: &Pixels, maps: &[HeatMap<'_>], seen: Option<Region>, largest: f32) -> Pixels {
    let factor = LEAST_SIDE.div_ceil(picture.width().max(picture.height()).max(1)).max(1);
    let canvas = Canvas { picture, factor, seen: seen.map(|seen| seen.scaled(factor.into(), factor.into())) };
    let (width, height) = canvas.size();
    let across = (width + GAP) * maps.len().max(1) - GAP;
    let mut data = vec![255u8; across * height * 3];
    for (panel, map) in maps.iter().enumerate() {
        let left = panel * (width + GAP);
        for (y, row) in data.chunks_exact_mut(across * 3).enumerate() {
            let row = row.get_mut(left * 3..(left + width) * 3).unwrap_or_default();
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                *pixel = canvas.pixel(x, y, map, largest);
            }
        }
    }
    let made = Pixels::new(across as u32, height as u32, data);
    made.unwrap_or_else(|| picture.clone())
}

struct Canvas<'a> {
    picture: &'a Pixels,
    factor: u32,
    seen: Option<Region>,
}

impl Canvas<'_> {
    fn size(&self) -> (usize, usize) {
        ((self.picture.width() * self.factor) as usize, (self.picture.height() * self.factor) as usize)
    }

    fn pixel(&self, x: usize, y: usize, map: &HeatMap<'_>, largest: f32) -> [u8; 3] {
        let (width, height) = self.size();
        let place = (y / self.factor as usize) * self.picture.width() as usize + x / self.factor as usize;
        let pixel = self.picture.data().get(place * 3..place * 3 + 3);
        let pixel: [u8; 3] = pixel.and_then(|pixel| pixel.try_into().ok()).unwrap_or_default();
        let whole = Region { x: 0.0, y: 0.0, width: width as f64, height: height as f64 };
        let seen = self.seen.unwrap_or(whole);
        let (across, down) = ((x as f64 + 0.5 - seen.x) / seen.width, (y as f64 + 0.5 - seen.y) / seen.height);
        if !(0.0..1.0).contains(&across) || !(0.0..1.0).contains(&down) {
            return pixel.map(|value| (f32::from(value) * OUTSIDE).round() as u8);
        }
        if self.seen.is_some() && self.is_border(x, y, &seen) {
            return [255; 3];
        }
        tinted(pixel, if largest > 0.0 { between(map, across, down) / largest } else { 0.0 })
    }

    /// Whether a pixel lies on the inner edge of the part.
    fn is_border(&self, x: usize, y: usize, seen: &Region) -> bool {
        let thick = (self.size().0.max(self.size().1) as f64 / 256.0).max(1.0);
        let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
        x - seen.x < thick || seen.x + seen.width - x < thick || y - seen.y < thick || seen.y + seen.height - y < thick
    }
}

/// The value of a map between its places, which stand for the middle of their squares.
///
/// * `across`, `down`: 0 to 1
fn between(map: &HeatMap<'_>, across: f64, down: f64) -> f32 {
    let width = map.width.max(1);
    let height = (map.values.len() / width).max(1);
    let axis = |share: f64, places: usize| {
        let at = (share * places as f64 - 0.5).clamp(0.0, (places - 1) as f64);
        let first = at as usize;
        (first, (first + 1).min(places - 1), (at - first as f64) as f32)
    };
    let (left, right, x) = axis(across, width);
    let (upper, lower, y) = axis(down, height);
    let value = |row: usize, column: usize| map.values.get(row * width + column).copied().unwrap_or_default();
    let line = |row: usize| value(row, left) * (1.0 - x) + value(row, right) * x;
    line(upper) * (1.0 - y) + line(lower) * y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: u32, height: u32) -> Pixels {
        Pixels::new(width, height, vec![128; (width * height * 3) as usize]).unwrap()
    }

    fn at(pixels: &Pixels, x: u32, y: u32) -> [u8; 3] {
        let place = ((y * pixels.width() + x) * 3) as usize;
        pixels.data()[place..place + 3].try_into().unwrap()
    }

    #[test]
    fn the_map_lies_over_the_picture_as_it_lies_in_the_grid() {
        let map = HeatMap { values: &[1.0, 0.0, -1.0, 0.0], width: 2 };
        let drawing = drawn(&gray(256, 256), &[map], None);
        assert_eq!((drawing.width(), drawing.height()), (256, 256));
        let [red, _, blue] = at(&drawing, 10, 10);
        assert!(red > blue, "what speaks for it is above on the left");
        let [red, _, blue] = at(&drawing, 10, 245);
        assert!(blue > red, "and what speaks against it below");
        assert_eq!(at(&drawing, 245, 10), [128; 3]);
    }

    #[test]
    fn small_pictures_are_enlarged_and_panels_lie_side_by_side() {
        let map = HeatMap { values: &[0.5], width: 1 };
        let drawing = drawn(&gray(32, 16), &[map, map], None);
        assert_eq!((drawing.width(), drawing.height()), (2 * 224 + 4, 112));
        assert_eq!(at(&drawing, 225, 50), [255; 3], "white in between");
    }

    #[test]
    fn what_the_network_did_not_see_is_darker_and_what_it_saw_has_an_edge() {
        let map = HeatMap { values: &[0.0], width: 1 };
        let seen = Region { x: 100.0, y: 0.0, width: 200.0, height: 200.0 };
        let drawing = drawn(&gray(400, 200), &[map], Some(seen));
        assert_eq!(at(&drawing, 50, 100), [58; 3]);
        assert_eq!(at(&drawing, 100, 100), [255; 3]);
        assert_eq!(at(&drawing, 200, 100), [128; 3]);
    }

    #[test]
    fn a_region_beyond_the_picture_and_an_empty_map_are_drawn_as_far_as_they_go() {
        let seen = Region { x: -4.0, y: -4.0, width: 40.0, height: 40.0 };
        assert_eq!(drawn(&gray(32, 32), &[HeatMap { values: &[], width: 0 }], Some(seen)).width(), 224);
        assert_eq!(drawn(&gray(32, 32), &[], None).width(), 224);
    }
}
