//! The colours of a map: how much a place speaks for a class, or against it.

/// So much of the picture is covered at most: it has to stay visible.
const MOST_COVER: f32 = 0.72;

/// A colour, and how much of the picture it covers, 0 to 1.
///
/// * `value`: -1 (all against) to 1 (all for)
pub(super) fn tint(value: f32) -> ([f32; 3], f32) {
    let strength = value.abs().clamp(0.0, 1.0);
    let [weak, strong] = if value < 0.0 {
        [[96.0, 170.0, 240.0], [30.0, 60.0, 190.0]]
    } else {
        [[250.0, 200.0, 50.0], [205.0, 20.0, 25.0]]
    };
    let mix = |channel: usize| weak[channel] + (strong[channel] - weak[channel]) * strength;
    ([mix(0), mix(1), mix(2)], MOST_COVER * strength)
}

/// `pixel` under `tint(value)`.
pub(super) fn tinted(pixel: [u8; 3], value: f32) -> [u8; 3] {
    let (color, cover) = tint(value);
    let mix = |channel: usize| (f32::from(pixel[channel]) * (1.0 - cover) + color[channel] * cover).round() as u8;
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_over_a_place_that_says_nothing_and_the_sides_have_their_colours() {
        assert_eq!(tinted([1, 128, 254], 0.0), [1, 128, 254]);
        let [red, _, blue] = tinted([128; 3], 1.0);
        assert!(red > blue);
        let [red, _, blue] = tinted([128; 3], -1.0);
        assert!(blue > red);
        assert_eq!(tinted([128; 3], 7.0), tinted([128; 3], 1.0), "what is beyond the scale is its end");
    }
}
