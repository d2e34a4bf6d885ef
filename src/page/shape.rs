//! Pieces of SVG: what charts and plots are drawn with. A `class` says how it looks, in the colours of the page.

use std::fmt::Write as _;

/// A line between two points.
pub fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = write!(svg, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

/// A rectangle: its corner at the top left, its width and height.
pub fn rect(svg: &mut String, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let _ =
        write!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>");
}

/// A small text, which is escaped by whoever gives it.
///
/// * `anchor`: `start`, `middle` or `end`
pub fn label(svg: &mut String, anchor: &str, (x, y): (f64, f64), text: &str) {
    let _ = write!(svg, "<text class=\"tick\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}
