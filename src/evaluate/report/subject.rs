//! What a report is about.

use std::path::Path;

use crate::evaluate::{Answers, LabelledImage, Tally, Verdict, VersionComparison};

/// An evaluation: of one version, or of two on the same images.
pub struct EvaluationReport<'a> {
    /// The model's name.
    pub model: &'a str,
    /// How each image was looked at.
    pub protocol: String,
    /// The folder of images.
    pub data: &'a Path,
    /// What the classes are called.
    pub labels: &'a [String],
    /// The images whose class is known.
    pub images: &'a [LabelledImage],
    /// Files whose class is not.
    pub unlabelled: usize,
    /// What in the folder could not even be looked at, and why.
    pub passed_over: Vec<(String, String)>,
    /// The version that was asked for.
    pub first: ExaminedVersion,
    /// The version that it is compared with, and how they compare.
    pub against: Option<(ExaminedVersion, VersionComparison)>,
}

/// What one version said.
pub struct ExaminedVersion {
    /// Its number.
    pub version: u64,
    /// The answers.
    pub answers: Answers,
    /// The same in figures.
    pub tally: Tally,
}

impl ExaminedVersion {
    /// Counts the answers of a version with so many classes.
    pub fn new(version: u64, answers: Answers, classes: usize) -> Self {
        let tally = Tally::of(answers.verdicts.iter().flatten(), classes);
        Self { version, answers, tally }
    }
}

impl EvaluationReport<'_> {
    /// One version, or two.
    pub(super) fn versions(&self) -> Vec<&ExaminedVersion> {
        std::iter::once(&self.first).chain(self.against.iter().map(|(against, _)| against)).collect()
    }

    pub(super) fn label(&self, class: usize) -> &str {
        self.labels.get(class).map_or("?", String::as_str)
    }

    /// The label of what a version took an image for.
    pub(super) fn first_label(&self, verdict: &Verdict) -> &str {
        verdict.first().map_or("nothing", |class| self.label(class))
    }

    /// What a version could not read, and why.
    pub(super) fn failures<'a>(&'a self, version: &'a ExaminedVersion) -> impl Iterator<Item = (&'a str, &'a str)> {
        let failed = version.answers.failures.iter();
        let failed = failed.filter_map(|(place, reason)| Some((&*self.images.get(*place)?.name, &**reason)));
        failed.chain(self.passed_over.iter().map(|(file, reason)| (&**file, &**reason)))
    }

    /// Images on which the versions differ, with both answers.
    pub(super) fn differing(&self) -> impl Iterator<Item = (&LabelledImage, &Verdict, &Verdict)> {
        let places = self.against.iter().flat_map(|(against, comparison)| {
            comparison.differing.iter().map(move |&place| (place, &against.answers.verdicts[place]))
        });
        places.filter_map(|(place, second)| {
            Some((self.images.get(place)?, self.first.answers.verdicts[place].as_ref()?, second.as_ref()?))
        })
    }
}
