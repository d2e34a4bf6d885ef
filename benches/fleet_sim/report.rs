//! What the simulation found, as a page that opens from disk and as tables in Markdown.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;
use resnetd::page::{self, Chart, ChartAxis, ChartLine, ChartPoint, escaped};

/// A name, and points; what has no value interrupts its line.
pub(crate) type NamedLine = (String, Vec<(f64, Option<f64>)>);

#[derive(Default)]
pub(crate) struct SimReport {
    markdown: String,
    body: String,
}

impl SimReport {
    pub(crate) fn section(&mut self, title: &str, words: &str) {
        let _ = writeln!(self.markdown, "\n## {title}\n{words}\n");
        let _ = writeln!(self.body, "<h2>{}</h2><p>{}</p>", escaped(title), escaped(words));
    }

    pub(crate) fn table(&mut self, head: &[String], rows: &[Vec<String>]) {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        self.markdown.push_str(&line(head));
        self.markdown.push_str(&line(&vec!["---".to_owned(); head.len()]));
        rows.iter().for_each(|row| self.markdown.push_str(&line(row)));
        let cells = |tag: &str, cells: &[String]| {
            let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
            format!("<tr>{cells}</tr>")
        };
        let rows: String = rows.iter().map(|row| cells("td", row)).collect();
        let _ = writeln!(
            self.body,
            "<div class=\"scroll\"><table><thead>{}</thead><tbody>{rows}</tbody></table></div>",
            cells("th", head)
        );
    }

    /// Draws lines over one axis.
    pub(crate) fn chart(&mut self, name: &str, x: ChartAxis, y: ChartAxis, lines: &[NamedLine]) {
        let line = |(colour, (name, points)): (usize, &NamedLine)| ChartLine {
            name: name.clone(),
            colour,
            points: points
                .iter()
                .map(|&(x, y)| {
                    let value = y.map_or_else(|| "none".to_owned(), |y| format!("{y:.1}"));
                    ChartPoint { x, y, title: format!("{name}: {value} at {x:.2}") }
                })
                .collect(),
        };
        let chart = Chart { name: name.to_owned(), x, y, lines: lines.iter().enumerate().map(line).collect() };
        let _ = writeln!(self.body, "<div class=\"panel\"><h3>{}</h3>{}</div>", escaped(name), chart.html());
    }

    /// Writes both into `folder`; gives the tables.
    pub(crate) fn write(self, folder: &Path, about: &str) -> Result<String> {
        fs::create_dir_all(folder)?;
        let title = "Fleets in simulation";
        let mut html = Vec::new();
        page::begin(&mut html, title, ".panel { margin: 16px 0; }\n")?;
        html.extend(format!("<h1>{title}</h1><p class=\"sub\">{}</p>{}", escaped(about), self.body).into_bytes());
        page::end(&mut html)?;
        fs::write(folder.join("fleet.html"), html)?;
        let text = format!("# {title}\n{about}\n{}", self.markdown);
        fs::write(folder.join("fleet.md"), &text)?;
        Ok(text)
    }
}
