//! What stands beside the network: the picture before it, the answer behind it, and what is unusual.

use std::sync::Arc;

use super::sheet::{Anchor, MARGIN, Sheet, WIDTH, wrapped};
use crate::inspect::{Inspection, rows};

const COLUMN: f64 = (WIDTH - 2.0 * MARGIN - 32.0) / 2.0;
const LINE: f64 = 19.0;
/// Of one list.
const MOST_LINES: usize = 10;
/// Of one entry.
const MOST_WRAPPED: usize = 4;
/// Names of classes.
const MOST_LABELS: usize = 6;

/// Draws the notes below `top`; gives where they end.
pub(super) fn draw(
    sheet: &mut Sheet,
    top: f64,
    inspection: &Inspection,
    preparation: &[String],
    names: &[Arc<str>],
) -> f64 {
    let said = rows(inspection);
    let of = |label: &str| said.iter().find(|row| row.label == label).map_or(&[][..], |row| &row.values).to_vec();
    let mut before = of("input");
    before.extend(preparation.iter().cloned());
    let mut after = of("output");
    after.extend(ending(inspection));
    after.extend(labels(names));
    let mut file = of("producer");
    file.retain(|producer| !producer.trim().is_empty());
    file.extend(of("opset").into_iter().map(|opset| format!("opset {opset}")));
    file.extend(of("metadata"));

    let (mut left, mut right) = (top, top);
    left = list(sheet, (MARGIN, left), "The picture", &before, false);
    left = list(sheet, (MARGIN, left), "The answer", &after, false);
    let x = MARGIN + COLUMN + 32.0;
    if !inspection.unusual.is_empty() {
        right = list(sheet, (x, right), "Unusual", &inspection.unusual, true);
    }
    right = list(sheet, (x, right), "The file", &file, false);
    left.max(right)
}

fn ending(inspection: &Inspection) -> Vec<String> {
    let ends = inspection.outputs.iter().any(|output| output.ends_in.is_some());
    match (inspection.softmax || ends, &inspection.resnet) {
        (false, Some(_)) => vec!["logits: softmax comes after the network".to_owned()],
        _ => Vec::new(),
    }
}

fn labels(all: &[Arc<str>]) -> Option<String> {
    let shown: Vec<&str> = all.iter().take(MOST_LABELS).map(|label| &**label).collect();
    let more = all.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("classes: {}{more}", shown.join(", ")))
}

fn list(sheet: &mut Sheet, (x, top): (f64, f64), title: &str, entries: &[String], is_odd: bool) -> f64 {
    if entries.is_empty() {
        return top;
    }
    sheet.text("h2", Anchor::Start, (x, top + 6.0), title);
    let mut y = top + 10.0;
    for entry in entries.iter().take(MOST_LINES) {
        y += LINE + 2.0;
        sheet.circle(if is_odd { "odd" } else { "kp" }, (x + 4.0, y - 4.5), 3.5);
        for (line, text) in wrapped(entry, 13.0, COLUMN - 20.0, MOST_WRAPPED).iter().enumerate() {
            y += if line > 0 { LINE - 2.0 } else { 0.0 };
            sheet.text("", Anchor::Start, (x + 16.0, y), text);
        }
    }
    if entries.len() > MOST_LINES {
        y += LINE + 2.0;
        let said = format!("and {} more", entries.len() - MOST_LINES);
        sheet.text("soft", Anchor::Start, (x + 16.0, y), &said);
    }
    y + 36.0
}
