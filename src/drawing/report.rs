//! A drawing as a page that opens from disk, with everything else that was found below it.

use std::io;

use super::{drawn::Drawing, sheet::WIDTH};
use crate::{
    inspect::{Difference, differences, rows},
    page,
};

const STYLE: &str = "body { max-width: 1100px; } \
    svg.net { width: 100%; min-width: 640px; max-width: none; margin: 0; } .facts th[scope=row] { width: 9em; color: var(--soft); font-weight: 400; } \
    .facts th, .facts td { text-align: left; overflow-wrap: anywhere; } .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(640px, 100%), 1fr)); gap: 24px; } \
    .pair > div { overflow-x: auto; min-width: 0; }\n";

/// One network.
///
/// # Errors
/// What `out` says.
pub fn page(drawing: &Drawing<'_>, out: &mut dyn io::Write) -> io::Result<()> {
    page::begin(out, &drawing.heading(), STYLE)?;
    writeln!(out, "<div class=\"scroll\">{}</div>", drawing.svg())?;
    writeln!(out, "<h2>All that was found</h2>\n<table class=\"facts\">")?;
    for row in rows(drawing.inspection) {
        let values: Vec<String> = row.values.iter().map(|value| page::escaped(value)).collect();
        writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", row.label, values.join("<br>"))?;
    }
    writeln!(out, "</table>")?;
    page::end(out)
}

/// Two, and what differs.
///
/// # Errors
/// What `out` says.
pub fn comparison_page(a: &Drawing<'_>, b: &Drawing<'_>, out: &mut dyn io::Write) -> io::Result<()> {
    let found = differences(a.inspection, b.inspection);
    let titles = [a, b].map(|drawing| page::escaped(drawing.title));
    let style = format!("{STYLE}body {{ max-width: {:.0}px; }}\n", 2.0 * WIDTH + 120.0);
    page::begin(out, &format!("{} and {}", a.heading(), b.heading()), &style)?;
    writeln!(out, "<h1>{}</h1>", if found.is_empty() { "No difference" } else { "What differs" })?;
    writeln!(out, "<div class=\"scroll\"><table class=\"facts\"><thead><tr><th></th>")?;
    writeln!(out, "<th scope=\"col\">{}</th><th scope=\"col\">{}</th></tr></thead>", titles[0], titles[1])?;
    for Difference { what, a, b } in &found {
        let [what, a, b] = [what, a, b].map(|text| page::escaped(text));
        writeln!(out, "<tr><th scope=\"row\">{what}</th><td>{a}</td><td>{b}</td></tr>")?;
    }
    writeln!(out, "</table></div>\n<div class=\"pair\">")?;
    for drawing in [a, b] {
        let (sheet, height) = drawing.sheet(&found);
        let svg = sheet.svg(&drawing.heading(), &drawing.description(), (WIDTH, height));
        writeln!(out, "<div>{svg}</div>")?;
    }
    writeln!(out, "</div>")?;
    page::end(out)
}
