//! The report for browsers: one page that opens from disk, with its style and plots inside and nothing from elsewhere. Names are
//! text of others, and escaped.

use std::{collections::BTreeSet, io};

use super::{
    EvaluationReport, ExaminedVersion,
    plots::{heat_map, reliability, shortened},
    table::{percent, verdict},
};
use crate::{
    evaluate::{ClassTally, Verdict},
    files,
    page::{self, escaped},
};

/// The most classes that a heat map shows.
const LARGEST_MAP: usize = 100;
const SHOWN_PAIRS: usize = 25;
const WORST: usize = 15;
const SHOWN_IMAGES: usize = 500;
const SHOWN_FAILURES: usize = 200;
const LONGEST_NAME: usize = 48;

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    let name = escaped(report.model);
    page::begin(out, &format!("{}: evaluation", report.model), include_str!("page.css"))?;
    let versions = report.versions();
    let numbers: Vec<_> = versions.iter().map(|version| version.version.to_string()).collect();
    writeln!(out, "<h1>{name}, version {}</h1>", numbers.join(" against "))?;
    writeln!(
        out,
        "<p class=\"sub\">{}, {} images of {} classes in {}</p>",
        escaped(&report.protocol),
        report.first.tally.images,
        report.first.tally.worst_classes().len(),
        escaped(&files::shown(report.data))
    )?;
    figures(out, report, &versions)?;
    compared(out, report)?;
    calibration(out, &versions)?;
    for version in &versions {
        confusion(out, report, version)?;
    }
    classes(out, report, &versions)?;
    failures(out, report)?;
    page::end(out)
}

fn figures(out: &mut dyn io::Write, report: &EvaluationReport<'_>, versions: &[&ExaminedVersion]) -> io::Result<()> {
    writeln!(out, "<h2>Figures</h2>\n<div class=\"scroll\"><table class=\"figures\"><thead><tr><th></th>")?;
    for version in versions {
        writeln!(out, "<th>version {}</th>", version.version)?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    let mut row = |name: &str, value: &dyn Fn(&ExaminedVersion) -> String| {
        let cells: String = versions.iter().map(|version| format!("<td>{}</td>", value(version))).collect();
        writeln!(out, "<tr><td>{name}</td>{cells}</tr>")
    };
    row("top-1 error", &|version| percent(version.tally.top1_error()))?;
    row("top-5 error", &|version| percent(version.tally.top5_error()))?;
    row("expected calibration error", &|version| percent(version.tally.ece))?;
    row("images", &|version| version.tally.images.to_string())?;
    row("could not be read", &|version| report.failures(version).count().to_string())?;
    row("images a second", &|version| {
        version.answers.images_per_second.map_or("-".to_owned(), |rate| format!("{rate:.0}"))
    })?;
    writeln!(out, "</tbody></table></div>")?;
    for version in versions.iter().filter(|version| version.tally.without_answer > 0) {
        let (number, count) = (version.version, version.tally.without_answer);
        writeln!(
            out,
            "<p class=\"note\">Version {number} gave no numbers for {count} images; they count as wrong.</p>"
        )?;
    }
    if report.unlabelled > 0 {
        writeln!(out, "<p class=\"note\">{} images have no class and were passed over.</p>", report.unlabelled)?;
    }
    Ok(())
}

fn compared(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    let Some((against, comparison)) = &report.against else { return Ok(()) };
    let (one, other) = (report.first.version, against.version);
    writeln!(
        out,
        "<h2>Version {one} against version {other}</h2>\n<p>McNemar's test: {}.</p>\n<div class=\"scroll\"><table>\
         <thead><tr><th></th><th>version {other} right</th><th>version {other} wrong</th></tr></thead><tbody>\
         <tr><td>version {one} right</td><td>{}</td><td>{}</td></tr>\
         <tr><td>version {one} wrong</td><td>{}</td><td>{}</td></tr></tbody></table></div>",
        escaped(&verdict(comparison)),
        comparison.both_right,
        comparison.only_first,
        comparison.only_second,
        comparison.both_wrong
    )?;
    let differing = comparison.differing.len();
    let some =
        if differing > SHOWN_IMAGES { format!(", the first {SHOWN_IMAGES} of them here") } else { String::new() };
    writeln!(
        out,
        "<details><summary>The first class differs on {differing} images{some}</summary><div class=\"scroll\"><table class=\"words\">\
         <thead><tr><th>image</th><th>class</th><th>version {one}</th><th>version {other}</th></tr></thead><tbody>"
    )?;
    let said = |verdict: &Verdict| {
        let text = format!("{} {:.1} %", escaped(report.first_label(verdict)), 100.0 * verdict.confidence());
        if verdict.is_right() { format!("<b>{text}</b>") } else { text }
    };
    for (image, first, second) in report.differing().take(SHOWN_IMAGES) {
        let (name, class) = (escaped(&image.name), escaped(report.label(image.class)));
        let (first, second) = (said(first), said(second));
        writeln!(out, "<tr><td>{name}</td><td>{class}</td><td>{first}</td><td>{second}</td></tr>")?;
    }
    writeln!(out, "</tbody></table></div></details>")
}

fn calibration(out: &mut dyn io::Write, versions: &[&ExaminedVersion]) -> io::Result<()> {
    writeln!(
        out,
        "<h2>Calibration</h2>\n<p class=\"note\">Of the images that the network is 80 % sure of, 80 % should be right: the bars should \
         reach the dashed line. Red is the gap: above the bar where the network is too sure, inside it where it is not sure enough.</p>\n<div class=\"sides\">"
    )?;
    for version in versions {
        let (number, error) = (version.version, percent(version.tally.ece));
        let plot = reliability(&version.tally.bins);
        writeln!(out, "<div class=\"panel\"><h3>version {number}, expected error {error}</h3>{plot}</div>")?;
    }
    writeln!(out, "</div>")
}

fn confusion(out: &mut dyn io::Write, report: &EvaluationReport<'_>, version: &ExaminedVersion) -> io::Result<()> {
    writeln!(out, "<h2>What is taken for what, version {}</h2>", version.version)?;
    // Classes without images, and that nothing was taken for, would be empty rows and columns.
    let classes: BTreeSet<usize> = version.tally.confusion.keys().flat_map(|&(a, b)| [a, b]).collect();
    let classes: Vec<usize> = classes.into_iter().collect();
    if classes.len() <= LARGEST_MAP {
        let map = heat_map(report, version, &classes);
        writeln!(
            out,
            "<p class=\"note\">Rows are classes, columns what their images were taken for.</p>\n<div class=\"panel scroll heat\">{map}</div>"
        )?;
    }
    let pairs = version.tally.most_confused();
    let shown = pairs.len().min(SHOWN_PAIRS);
    writeln!(
        out,
        "<details{}><summary>The {shown} most frequent confusions of {}</summary><div class=\"scroll\"><table class=\"words\">\
         <thead><tr><th>class</th><th>taken for</th><th>images</th></tr></thead><tbody>",
        if classes.len() > LARGEST_MAP { " open" } else { "" },
        pairs.len()
    )?;
    for ((class, taken_for), images) in pairs.into_iter().take(SHOWN_PAIRS) {
        let (class, taken_for) = (escaped(report.label(class)), escaped(report.label(taken_for)));
        writeln!(out, "<tr><td>{class}</td><td>{taken_for}</td><td>{images}</td></tr>")?;
    }
    writeln!(out, "</tbody></table></div></details>")
}

fn classes(out: &mut dyn io::Write, report: &EvaluationReport<'_>, versions: &[&ExaminedVersion]) -> io::Result<()> {
    let worst = report.first.tally.worst_classes();
    writeln!(out, "<h2>Classes, the worst first</h2>")?;
    for (place, part) in [&worst[..worst.len().min(WORST)], &worst[worst.len().min(WORST)..]].into_iter().enumerate() {
        if part.is_empty() {
            continue;
        }
        if place > 0 {
            writeln!(out, "<details><summary>The other {} classes</summary>", part.len())?;
        }
        write!(out, "<div class=\"scroll\"><table class=\"classes\"><thead><tr><th>class</th><th>images</th>")?;
        let alone = versions.len() == 1;
        for version in versions {
            let which = if alone { String::new() } else { format!(", version {}", version.version) };
            write!(out, "<th>top-1 error{which}</th><th></th>")?;
        }
        let more = if alone { "<th>top-5 error</th><th>precision</th>" } else { "" };
        writeln!(out, "{more}</tr></thead><tbody>")?;
        for &(index, class) in part {
            let name = escaped(&shortened(report.label(index), LONGEST_NAME));
            write!(out, "<tr><td>{name}</td><td>{}</td>", class.images)?;
            for version in versions {
                let error = version.tally.classes.get(index).map_or(0.0, ClassTally::error);
                let (shown, width) = (percent(error), 100.0 * error);
                write!(
                    out,
                    "<td>{shown}</td><td><span class=\"track\"><i style=\"width:{width:.1}%\"></i></span></td>"
                )?;
            }
            if alone {
                let precision = class.precision().map_or("-".to_owned(), percent);
                write!(out, "<td>{}</td><td>{precision}</td>", percent(class.top5_error()))?;
            }
            writeln!(out, "</tr>")?;
        }
        writeln!(out, "</tbody></table></div>{}", if place > 0 { "</details>" } else { "" })?;
    }
    Ok(())
}

fn failures(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    let count = report.failures(&report.first).count();
    if count == 0 {
        return Ok(());
    }
    let some = if count > SHOWN_FAILURES { format!(", the first {SHOWN_FAILURES}") } else { String::new() };
    writeln!(
        out,
        "<h2>{count} files that could not be read{some}</h2>\n<div class=\"scroll\"><table class=\"words\"><tbody>"
    )?;
    for (file, reason) in report.failures(&report.first).take(SHOWN_FAILURES) {
        writeln!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(file), escaped(reason))?;
    }
    writeln!(out, "</tbody></table></div>")
}
