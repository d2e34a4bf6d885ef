//! A drawing with words: each panel with its class, and a scale. Labels are foreign text, and nothing of them becomes markup.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    color::tinted,
    draw::{HeatMap, Region, drawn_at},
    encode::{EncodeError, FileFormat, encoded},
};
use crate::{page::escaped, tensor::Pixels};

/// The most characters of a label.
const LONGEST_LABEL: usize = 40;

/// A panel is at least so wide, so that its words have room.
const LEAST_WIDTH: u32 = 260;

const MARGIN: u32 = 12;
const LINE: u32 = 18;

/// The words of a panel.
#[derive(Clone, Copy, Debug)]
pub struct Legend<'a> {
    /// The class.
    pub label: &'a str,
    /// Its probability.
    pub probability: f32,
    /// What the last layer says of it.
    pub logit: f32,
}

/// A picture with each of the maps over it, from left to right, and what they are.
///
/// * `title`: for readers that see no picture, and above the panels
/// * `seen`: as for [`drawn`](super::drawn)
///
/// # Errors
/// [`EncodeError`].
pub fn svg(
    title: &str,
    picture: &Pixels,
    panels: &[(HeatMap<'_>, Legend<'_>)],
    seen: Option<Region>,
) -> Result<String, EncodeError> {
    let maps: Vec<_> = panels.iter().map(|(map, _)| *map).collect();
    let largest = maps.iter().flat_map(|map| map.values).fold(0.0f32, |largest, value| largest.max(value.abs()));
    let one = drawn_at(picture, maps.get(..1).unwrap_or_default(), seen, largest);
    let (width, height) = (one.width().max(LEAST_WIDTH), one.height());
    let across = MARGIN + (width + MARGIN) * panels.len().max(1) as u32;
    let down = MARGIN * 3 + LINE * 5 + height;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {across} {down}\" width=\"{across}\" height=\"{down}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\"><title>{0}</title>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"{MARGIN}\" y=\"{1}\" font-weight=\"600\">{0}</text>",
        shown(title, LONGEST_LABEL * 2),
        MARGIN + LINE - 5,
    );
    let top = MARGIN + LINE + 4;
    for (place, (map, legend)) in panels.iter().enumerate() {
        let left = MARGIN + (width + MARGIN) * place as u32;
        let drawing = drawn_at(picture, &[*map], seen, largest);
        let file = BASE64_STANDARD.encode(encoded(&drawing, FileFormat::Png)?);
        let (label, below) = (shown(legend.label, LONGEST_LABEL), top + height + LINE);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "<image x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{height}\" href=\"data:image/png;base64,{file}\"><title>{label}</title>\
             </image><text x=\"{left}\" y=\"{below}\" font-weight=\"600\">{label}</text>\
             <text x=\"{left}\" y=\"{}\" fill=\"#555\">probability {:.4}, logit {:.3}</text>",
            drawing.width(),
            below + LINE,
            legend.probability,
            legend.logit,
        );
    }
    scale(&mut text, top + height + LINE * 3, largest);
    text.push_str("</svg>\n");
    Ok(text)
}

/// What the colours mean.
fn scale(text: &mut String, y: u32, largest: f32) {
    const STEPS: u32 = 21;
    const STEP: u32 = 10;
    for step in 0..STEPS {
        let value = step as f32 / (STEPS - 1) as f32 * 2.0 - 1.0;
        let [red, green, blue] = tinted([200; 3], value);
        let x = MARGIN + step * STEP;
        let _ = write!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{STEP}\" height=\"10\" fill=\"rgb({red},{green},{blue})\"/>"
        );
    }
    let (end, line) = (MARGIN + STEPS * STEP, y + 10 + LINE - 4);
    let _ = write!(
        text,
        "<text x=\"{MARGIN}\" y=\"{line}\" font-size=\"11\" fill=\"#555\">against: -{largest:.3}</text>\
         <text x=\"{end}\" y=\"{line}\" font-size=\"11\" fill=\"#555\" text-anchor=\"end\">for: {largest:.3} of the logit</text>"
    );
}

/// Foreign text as SVG shows it: no markup, nothing that XML has no place for, and no longer than there is room.
fn shown(text: &str, longest: usize) -> String {
    let allowed =
        |letter: char| if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') { ' ' } else { letter };
    let mut kept: String = text.chars().take(longest).map(allowed).collect();
    if text.chars().nth(longest).is_some() {
        kept.push('…');
    }
    escaped(&kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(label: &str) -> String {
        let picture = Pixels::new(32, 32, vec![128; 32 * 32 * 3]).unwrap();
        let panel = (HeatMap { values: &[1.0, -0.5], width: 2 }, Legend { label, probability: 0.5, logit: 3.25 });
        svg("resnet18 <1>", &picture, &[panel, panel], None).unwrap()
    }

    #[test]
    fn a_label_is_text_whatever_is_in_it() {
        let drawing = made("<script>alert(1)</script>\"'&\u{0}\u{7}");
        assert!(
            !drawing.contains("<script") && !drawing.contains(|letter: char| letter.is_control() && letter != '\n')
        );
        assert!(drawing.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"), "{drawing}");
        assert!(drawing.contains("resnet18 &lt;1&gt;"));
    }

    #[test]
    fn a_long_label_is_cut_and_each_panel_is_there() {
        let drawing = made(&"x".repeat(1000));
        assert_eq!(drawing.matches("<image ").count(), 2);
        assert!(drawing.contains(&format!(">{}…<", "x".repeat(LONGEST_LABEL))));
        assert!(drawing.contains("probability 0.5000, logit 3.250"));
        assert_eq!(drawing.matches('<').count(), drawing.matches('>').count());
    }
}
