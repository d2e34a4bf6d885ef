//! The report for terminals: the figures side by side, then what is worst.

use std::io;

use super::{EvaluationReport, ExaminedVersion};
use crate::{
    evaluate::{McNemarMethod, VersionComparison},
    files,
};

/// So many classes are all listed.
const ALL_CLASSES: usize = 20;
/// Otherwise so many of the worst.
const WORST: usize = 10;
const SHOWN_PAIRS: usize = 10;
const SHOWN_IMAGES: usize = 20;

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    let versions = report.versions();
    writeln!(out, "{}, {}, {}", report.model, report.protocol, files::shown(report.data))?;
    let mut row = |name: &str, value: &dyn Fn(&ExaminedVersion) -> String| {
        write!(out, "{name:<18}")?;
        for version in &versions {
            write!(out, " {:>12}", value(version))?;
        }
        writeln!(out)
    };
    row("", &|version| format!("VERSION {}", version.version))?;
    row("images", &|version| version.tally.images.to_string())?;
    row("failed", &|version| report.failures(version).count().to_string())?;
    row("top-1 error", &|version| percent(version.tally.top1_error()))?;
    row("top-5 error", &|version| percent(version.tally.top5_error()))?;
    row("calibration (ECE)", &|version| percent(version.tally.ece))?;
    row("images/s", &|version| version.answers.images_per_second.map_or("-".to_owned(), |rate| format!("{rate:.1}")))?;
    for version in &versions {
        if version.tally.without_answer > 0 {
            let count = version.tally.without_answer;
            writeln!(out, "version {} gave no numbers for {count} images; they count as wrong", version.version)?;
        }
        if version.answers.resumed > 0 {
            let count = version.answers.resumed;
            writeln!(out, "version {} had answered {count} images in an earlier run", version.version)?;
        }
    }
    if report.unlabelled > 0 {
        writeln!(out, "{} images have no class and were passed over", report.unlabelled)?;
    }
    if let Some((_, comparison)) = &report.against {
        compared(out, report, comparison)?;
    }
    classes(out, report)?;
    confused(out, report)
}

/// A fraction.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A label in a column.
fn short(label: &str, width: usize) -> String {
    if label.chars().count() <= width {
        return label.to_owned();
    }
    label.chars().take(width - 1).chain(['…']).collect()
}

fn classes(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    let mut classes = report.first.tally.worst_classes();
    let all = classes.len();
    if all > ALL_CLASSES {
        classes.truncate(WORST);
        writeln!(out, "\nthe {WORST} worst of {all} classes")?;
    } else {
        writeln!(out, "\nclasses, the worst first")?;
    }
    let width = classes.iter().map(|&(class, _)| report.label(class).chars().count()).max().unwrap_or(0).clamp(5, 40);
    writeln!(
        out,
        "{:width$} {:>8} {:>12} {:>12} {:>10}",
        "CLASS", "IMAGES", "TOP-1 ERROR", "TOP-5 ERROR", "PRECISION"
    )?;
    for (index, class) in classes {
        let precision = class.precision().map_or("-".to_owned(), percent);
        let label = short(report.label(index), width);
        let (top1, top5) = (percent(class.error()), percent(class.top5_error()));
        writeln!(out, "{label:width$} {:>8} {top1:>12} {top5:>12} {precision:>10}", class.images)?;
    }
    Ok(())
}

fn confused(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    let pairs = report.first.tally.most_confused();
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nmost often taken for one another")?;
    for ((class, taken_for), images) in pairs.into_iter().take(SHOWN_PAIRS) {
        writeln!(out, "{images:>8}  {} taken for {}", report.label(class), report.label(taken_for))?;
    }
    Ok(())
}

fn compared(out: &mut dyn io::Write, report: &EvaluationReport<'_>, comparison: &VersionComparison) -> io::Result<()> {
    let Some((against, _)) = &report.against else { return Ok(()) };
    let (one, other) = (report.first.version, against.version);
    writeln!(
        out,
        "\nright on {} images with both, with version {one} only on {}, with version {other} only on {}, with neither on {}",
        comparison.both_right, comparison.only_first, comparison.only_second, comparison.both_wrong
    )?;
    writeln!(out, "McNemar: {}", verdict(comparison))?;
    let differing = comparison.differing.len();
    if differing == 0 {
        return writeln!(out, "the first class is the same for every image");
    }
    let some = if differing > SHOWN_IMAGES { format!(", {SHOWN_IMAGES} of them are") } else { String::new() };
    writeln!(
        out,
        "the first class differs on {differing} images{some}: image (class): version {one}, version {other}"
    )?;
    for (image, first, second) in report.differing().take(SHOWN_IMAGES) {
        let (label, first, second) = (report.label(image.class), report.first_label(first), report.first_label(second));
        writeln!(out, "  {} ({label}): {first}, {second}", image.name)?;
    }
    Ok(())
}

/// The test in a line.
pub(super) fn verdict(comparison: &VersionComparison) -> String {
    let mcnemar = &comparison.mcnemar;
    let how = match mcnemar.method {
        McNemarMethod::ExactBinomial => "exact, from the binomial distribution".to_owned(),
        McNemarMethod::ChiSquareCorrected => format!("chi-square {:.3} with continuity correction", mcnemar.statistic),
    };
    let meaning = if mcnemar.p < 0.05 { "they differ by more than chance" } else { "the difference may be chance" };
    let p = if mcnemar.p < 0.0001 { format!("{:.1e}", mcnemar.p) } else { format!("{:.4}", mcnemar.p) };
    format!("p = {p} ({how}): {meaning}")
}
