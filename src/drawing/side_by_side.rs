//! Two networks beside each other: what differs above, then both drawn, with the parts that differ marked.

use super::{
    drawn::Drawing,
    sheet::{Anchor, MARGIN, Sheet, WIDTH, fitted_end, wrapped},
};
use crate::inspect::{Difference, differences};

/// Differences beyond it are counted.
const MOST: usize = 24;
const WHAT: f64 = 150.0;
const LINE: f64 = 18.0;
/// Lines of one difference.
const MOST_WRAPPED: usize = 3;

/// Both as one file of SVG.
pub fn comparison(a: &Drawing<'_>, b: &Drawing<'_>) -> String {
    let found = differences(a.inspection, b.inspection);
    let mut sheet = Sheet::default();
    let top = table(&mut sheet, a, b, &found);
    let mut bottom = top;
    for (drawing, x) in [(a, 0.0), (b, WIDTH)] {
        let (drawn, height) = drawing.sheet(&found);
        sheet.place(&drawn, (x, top));
        bottom = bottom.max(top + height);
    }
    sheet.line("rule", (WIDTH, top), (WIDTH, bottom - 20.0));
    let title = format!("{} and {}", a.heading(), b.heading());
    let said = found.iter().map(|Difference { what, a, b }| format!("{what}: {a} against {b}."));
    let description = match found.is_empty() {
        true => "They do not differ.".to_owned(),
        false => said.collect::<Vec<_>>().join(" "),
    };
    sheet.svg(&title, &description, (2.0 * WIDTH, bottom))
}

fn table(sheet: &mut Sheet, a: &Drawing<'_>, b: &Drawing<'_>, found: &[Difference]) -> f64 {
    let room = WIDTH - MARGIN - WHAT;
    let columns = [MARGIN + WHAT, WIDTH + MARGIN + WHAT / 2.0];
    sheet.text("h1", Anchor::Start, (MARGIN, 44.0), if found.is_empty() { "No difference" } else { "What differs" });
    let mut y = 74.0;
    for (x, drawing) in columns.iter().zip([a, b]) {
        sheet.text("b", Anchor::Start, (*x, y), &fitted_end(drawing.title, 14.2, room));
    }
    sheet.line("rule", (MARGIN, y + 10.0), (2.0 * WIDTH - MARGIN, y + 10.0));
    y += 12.0;
    for Difference { what, a, b } in found.iter().take(MOST) {
        y += LINE + 3.0;
        sheet.text("soft", Anchor::Start, (MARGIN, y), what);
        let mut lines = 1;
        for (x, said) in columns.iter().zip([a, b]) {
            let said = if said.is_empty() { "nothing" } else { said };
            let wrapped = wrapped(said, 13.0, room - 40.0, MOST_WRAPPED);
            for (line, text) in wrapped.iter().enumerate() {
                sheet.text("", Anchor::Start, (*x, y + LINE * line as f64), text);
            }
            lines = lines.max(wrapped.len());
        }
        y += LINE * (lines - 1) as f64;
    }
    if found.len() > MOST {
        y += LINE + 3.0;
        sheet.text("soft", Anchor::Start, (MARGIN, y), &format!("and {} more", found.len() - MOST));
    }
    sheet.line("rule", (MARGIN, y + 16.0), (2.0 * WIDTH - MARGIN, y + 16.0));
    y + 28.0
}
