//! Plots as SVG inside the page, in its colours: a reliability diagram, a heat map of what is taken for what, bars. Numbers only;
//! every name is escaped.

use std::fmt::Write as _;

use super::{EvaluationReport, ExaminedVersion};
use crate::{
    evaluate::{CALIBRATION_BINS, CalibrationBin},
    page::{escaped, label, line, rect},
};

/// Side of the square that the reliability diagram is drawn in.
const SIDE: f64 = 260.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 12.0;
/// Height of the histogram below it.
const HISTOGRAM: f64 = 56.0;

/// Accuracy over confidence, with the diagonal of who is calibrated, and how many images each bin has.
pub(super) fn reliability(bins: &[CalibrationBin]) -> String {
    let (width, height) = (LEFT + SIDE + 12.0, TOP + SIDE + HISTOGRAM + 62.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Reliability diagram: accuracy over confidence\">"
    );
    let (x, y) = (|share: f64| LEFT + share * SIDE, |share: f64| TOP + (1.0 - share) * SIDE);
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        line(&mut svg, "grid", (x(0.0), y(tick)), (x(1.0), y(tick)));
        label(&mut svg, "end", (LEFT - 6.0, y(tick) + 4.0), &format!("{tick}"));
        label(&mut svg, "middle", (x(tick), TOP + SIDE + HISTOGRAM + 28.0), &format!("{tick}"));
    }
    let most = bins.iter().map(|bin| bin.images).max().unwrap_or(0).max(1) as f64;
    let bar = SIDE / CALIBRATION_BINS as f64 - 2.0;
    let floor = TOP + SIDE + 12.0 + HISTOGRAM;
    for bin in bins.iter().filter(|bin| bin.images > 0) {
        let title = format!(
            "confidence {:.3} to {:.3}: {} images, accuracy {:.1} %, mean confidence {:.1} %",
            bin.from,
            bin.to,
            bin.images,
            100.0 * bin.accuracy,
            100.0 * bin.confidence
        );
        let left = x(bin.from) + 1.0;
        let _ = write!(svg, "<g><title>{title}</title>");
        rect(&mut svg, "bar", (left, y(bin.accuracy)), (bar, bin.accuracy * SIDE));
        // From what is to what would be calibrated.
        let (high, low) = (bin.accuracy.max(bin.confidence), bin.accuracy.min(bin.confidence));
        let (high, low) = (high.clamp(0.0, 1.0), low.clamp(0.0, 1.0));
        let class = if bin.confidence > bin.accuracy { "gap over" } else { "gap under" };
        rect(&mut svg, class, (left, y(high)), (bar, (high - low) * SIDE));
        let tall = (HISTOGRAM * bin.images as f64 / most).max(1.0);
        rect(&mut svg, "count", (left, floor - tall), (bar, tall));
        svg.push_str("</g>");
    }
    line(&mut svg, "ideal", (x(0.0), y(0.0)), (x(1.0), y(1.0)));
    line(&mut svg, "axis", (x(0.0), floor), (x(1.0), floor));
    label(&mut svg, "end", (LEFT - 6.0, floor - HISTOGRAM + 10.0), &short(most));
    label(&mut svg, "middle", (x(0.5), floor + 36.0), "confidence (images below)");
    let (at, middle) = (12.0, y(0.5));
    let _ = write!(
        svg,
        "<text class=\"tick\" text-anchor=\"middle\" transform=\"rotate(-90 {at} {middle})\" x=\"{at}\" y=\"{middle}\">accuracy</text>"
    );
    svg.push_str("</svg>");
    svg
}

/// A square for each pair of classes: the share of the row's images. Right ones in one colour, wrong ones in another, whose
/// strength grows with the root of the share so that a few in a hundred can be seen.
pub(super) fn heat_map(report: &EvaluationReport<'_>, version: &ExaminedVersion, classes: &[usize]) -> String {
    let cell = (640.0 / classes.len().max(1) as f64).clamp(7.0, 44.0);
    let font = (cell * 0.8).clamp(6.0, 12.0);
    let longest = classes.iter().map(|&class| report.label(class).chars().count()).max().unwrap_or(0).min(LONGEST_NAME);
    let margin = 14.0 + longest as f64 * font * 0.62;
    let side = cell * classes.len() as f64;
    let (width, height) = (margin + side + 8.0, margin + side + 8.0);
    let mut svg = format!(
        "<svg class=\"wide\" viewBox=\"0 0 {width:.0} {height:.0}\" style=\"max-width:{width:.0}px\" role=\"img\" aria-label=\"Confusion matrix: rows are classes, \
         columns what they were taken for\">"
    );
    for (place, &class) in classes.iter().enumerate() {
        let name = escaped(&shortened(report.label(class), LONGEST_NAME));
        let middle = margin + (place as f64 + 0.5) * cell;
        let (beside, below) = (margin - 6.0, middle + font * 0.35);
        let _ = write!(
            svg,
            "<text class=\"tick\" style=\"font-size:{font:.1}px\" text-anchor=\"end\" x=\"{beside:.1}\" y=\"{below:.1}\">{name}</text>"
        );
        let _ = write!(
            svg,
            "<text class=\"tick\" style=\"font-size:{font:.1}px\" transform=\"translate({below:.1} {beside:.1}) rotate(-90)\">{name}</text>"
        );
    }
    let place_of = |class: usize| classes.binary_search(&class).ok();
    for (&(class, taken_for), &images) in &version.tally.confusion {
        let (Some(row), Some(column)) = (place_of(class), place_of(taken_for)) else { continue };
        let of = version.tally.classes.get(class).map_or(1, |class| class.images.max(1));
        let share = images as f64 / of as f64;
        let (colour, strength) = if class == taken_for { ("right", share) } else { ("wrong", share.sqrt()) };
        let (left, top) = (margin + column as f64 * cell, margin + row as f64 * cell);
        let verb = if class == taken_for { "right" } else { "taken for" };
        let what = if class == taken_for { String::new() } else { format!(" {}", escaped(report.label(taken_for))) };
        let _ = write!(
            svg,
            "<g><title>{}: {images} of {of} {verb}{what}</title><rect class=\"{colour}\" x=\"{left:.1}\" y=\"{top:.1}\" \
             width=\"{cell:.1}\" height=\"{cell:.1}\" fill-opacity=\"{strength:.3}\"/>",
            escaped(report.label(class))
        );
        if cell >= 26.0 {
            let on = if strength > 0.55 { " on" } else { "" };
            let (x, y) = (left + cell / 2.0, top + cell / 2.0 + 4.0);
            let _ = write!(
                svg,
                "<text class=\"number{on}\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
                short(images as f64)
            );
        }
        svg.push_str("</g>");
    }
    let _ = write!(
        svg,
        "<rect class=\"frame\" x=\"{margin:.1}\" y=\"{margin:.1}\" width=\"{side:.1}\" height=\"{side:.1}\"/></svg>"
    );
    svg
}

const LONGEST_NAME: usize = 24;

/// A name that fits.
pub(super) fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

/// A number that fits a cell.
fn short(number: f64) -> String {
    if number < 10_000.0 { format!("{number:.0}") } else { format!("{:.0}k", number / 1000.0) }
}
