//! The report for programs. Errors and accuracies are fractions, 0 to 1.

use std::io;

use serde::Serialize;

use super::{EvaluationReport, ExaminedVersion};
use crate::{
    evaluate::{CalibrationBin, ClassTally, McNemar, Tally, Verdict},
    files,
};

/// Beyond so many classes a matrix would have more than four million numbers; `confused_pairs` say the same.
const LARGEST_MATRIX: usize = 2_000;

/// Beyond so many classes, a line for each number of the matrix is of no use to people.
const MOST_LINES: usize = 100;

#[derive(Serialize)]
struct Document<'a> {
    model: &'a str,
    protocol: &'a str,
    data: String,
    classes: usize,
    unlabelled: usize,
    #[serde(flatten)]
    first: Version<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Version<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Compared<'a>>,
}

#[derive(Serialize)]
struct Version<'a> {
    version: u64,
    images: usize,
    failed: usize,
    top1_error: f64,
    top5_error: f64,
    ece: f64,
    images_per_second: Option<f64>,
    /// Images that an interrupted run had answered.
    resumed: usize,
    without_answer: usize,
    per_class: Vec<Class<'a>>,
    /// `confusion[class][taken for]`: images.
    confusion: Option<Vec<Vec<usize>>>,
    confused_pairs: Vec<Pair<'a>>,
    reliability: &'a [CalibrationBin],
    failures: Vec<Failure<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: &'a str,
    images: usize,
    accuracy: f64,
    top1_error: f64,
    top5_error: f64,
    precision: Option<f64>,
}

#[derive(Serialize)]
struct Pair<'a> {
    class: usize,
    label: &'a str,
    taken_for: usize,
    taken_for_label: &'a str,
    images: usize,
}

#[derive(Serialize)]
struct Failure<'a> {
    file: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Compared<'a> {
    images: usize,
    both_right: usize,
    only_version_right: usize,
    only_against_right: usize,
    both_wrong: usize,
    mcnemar: McNemar,
    /// Images whose first class is another one.
    differ: Vec<Differing<'a>>,
}

#[derive(Serialize)]
struct Differing<'a> {
    file: &'a str,
    class: usize,
    label: &'a str,
    version: Option<First<'a>>,
    against: Option<First<'a>>,
}

#[derive(Serialize)]
struct First<'a> {
    index: usize,
    label: &'a str,
    probability: f32,
}

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    let first = |verdict: &Verdict| {
        let &(index, probability) = verdict.top.first()?;
        Some(First { index, label: report.label(index), probability })
    };
    let differing = report.differing().map(|(image, one, other)| Differing {
        file: &image.name,
        class: image.class,
        label: report.label(image.class),
        version: first(one),
        against: first(other),
    });
    let comparison = report.against.as_ref().map(|(_, comparison)| Compared {
        images: comparison.images,
        both_right: comparison.both_right,
        only_version_right: comparison.only_first,
        only_against_right: comparison.only_second,
        both_wrong: comparison.both_wrong,
        mcnemar: comparison.mcnemar,
        differ: differing.collect(),
    });
    let document = Document {
        model: report.model,
        protocol: &report.protocol,
        data: files::shown(report.data),
        classes: report.first.tally.classes.len(),
        unlabelled: report.unlabelled,
        first: version(report, &report.first),
        against: report.against.as_ref().map(|(against, _)| version(report, against)),
        comparison,
    };
    if document.classes <= MOST_LINES {
        serde_json::to_writer_pretty(&mut *out, &document)?;
    } else {
        serde_json::to_writer(&mut *out, &document)?;
    }
    writeln!(out)
}

fn version<'a>(report: &'a EvaluationReport<'_>, examined: &'a ExaminedVersion) -> Version<'a> {
    let ExaminedVersion { version, answers, tally } = examined;
    let class = |(index, class): (usize, &ClassTally)| Class {
        index,
        label: report.label(index),
        images: class.images,
        accuracy: 1.0 - class.error(),
        top1_error: class.error(),
        top5_error: class.top5_error(),
        precision: class.precision(),
    };
    let pair = |((class, taken_for), images)| Pair {
        class,
        label: report.label(class),
        taken_for,
        taken_for_label: report.label(taken_for),
        images,
    };
    let failures: Vec<_> = report.failures(examined).map(|(file, reason)| Failure { file, reason }).collect();
    Version {
        version: *version,
        images: tally.images,
        failed: failures.len(),
        top1_error: tally.top1_error(),
        top5_error: tally.top5_error(),
        ece: tally.ece,
        images_per_second: answers.images_per_second,
        resumed: answers.resumed,
        without_answer: tally.without_answer,
        per_class: tally.classes.iter().enumerate().filter(|(_, class)| class.images > 0).map(class).collect(),
        confusion: matrix(tally),
        confused_pairs: tally.most_confused().into_iter().map(pair).collect(),
        reliability: &tally.bins,
        failures,
    }
}

fn matrix(tally: &Tally) -> Option<Vec<Vec<usize>>> {
    let classes = tally.classes.len();
    (classes <= LARGEST_MATRIX).then(|| {
        let mut matrix = vec![vec![0; classes]; classes];
        for (&(class, taken_for), &images) in &tally.confusion {
            if let Some(cell) = matrix.get_mut(class).and_then(|row| row.get_mut(taken_for)) {
                *cell = images;
            }
        }
        matrix
    })
}
