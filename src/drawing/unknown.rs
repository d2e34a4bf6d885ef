//! What is no ResNet: why, and what the graph consists of.

use super::sheet::{Anchor, MARGIN, Sheet, WIDTH, fitted, wrapped};
use crate::inspect::Inspection;

/// Operators beyond it are counted together.
const MOST: usize = 14;
const ROW: f64 = 22.0;
const NAME: f64 = 210.0;

/// Draws it below `top`; gives where it ends.
pub(super) fn draw(sheet: &mut Sheet, top: f64, inspection: &Inspection) -> f64 {
    let mut y = top + 8.0;
    let reason = inspection.no_resnet.as_deref().unwrap_or("it has none of a ResNet's parts");
    let lines = wrapped(reason, 14.0, WIDTH - 2.0 * MARGIN - 40.0, 5);
    let height = 44.0 + 19.0 * lines.len() as f64;
    sheet.round("boxodd", (MARGIN, y), (WIDTH - 2.0 * MARGIN, height), 8.0);
    sheet.text("b odd", Anchor::Start, (MARGIN + 18.0, y + 26.0), "No ResNet");
    for (line, text) in lines.iter().enumerate() {
        sheet.text("", Anchor::Start, (MARGIN + 18.0, y + 48.0 + 19.0 * line as f64), text);
    }
    y += height + 34.0;
    sheet.text("h2", Anchor::Start, (MARGIN, y), "What it consists of");
    y += 10.0;
    let mut counts: Vec<(&str, usize)> =
        inspection.operators.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest: usize = counts.iter().skip(MOST).map(|(_, count)| count).sum();
    let kinds = counts.len().saturating_sub(MOST);
    let others = format!("{kinds} further operators");
    counts.truncate(MOST);
    if rest > 0 {
        counts.push((&others, rest));
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1) as f64;
    for (name, count) in counts {
        y += ROW;
        sheet.text("", Anchor::Start, (MARGIN, y), &fitted(name, 13.0, NAME - 14.0));
        let length = (count as f64 / most * (WIDTH - 2.0 * MARGIN - NAME - 90.0)).max(2.0);
        sheet.round("k4", (MARGIN + NAME, y - 10.0), (length, 11.0), 2.0);
        sheet.text("s", Anchor::Start, (MARGIN + NAME + length + 8.0, y), &count.to_string());
    }
    y + 40.0
}
