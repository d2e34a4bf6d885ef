//! How well a model classifies: errors on a labelled folder as the paper reports them, what is taken for what, whether its
//! probabilities can be believed, and how two versions differ.
//!
//! ```text
//! folder ─ labelled ─▶ images with classes ─ run (views → network) ─▶ verdicts ─ tally, comparison ─▶ figures ─ report
//!                                                │    ▲
//!                                                ▼    │ what an earlier run did
//!                                               journal
//! ```
//! Knows preprocessing, the runtime and a model's settings. Must not know the service, doors or the configuration.

mod calibration;
mod cascade;
mod comparison;
mod journal;
mod labelled;
mod listing;
mod mcnemar;
mod network;
pub mod report;
mod run;
mod tally;
mod verdict;
mod views;

pub use calibration::{CALIBRATION_BINS, CalibrationBin};
pub use cascade::{CascadeStudy, CascadeThreshold, WantedAccuracy};
pub use comparison::VersionComparison;
pub use journal::{Journal, JournalKey};
pub use labelled::{LabelledError, LabelledImage, LabelledImages, in_class_folders, in_list};
pub use listing::{Listing, ListingError};
pub use mcnemar::{McNemar, McNemarMethod};
pub use network::{ExamineError, ExaminedNetwork};
pub use run::{Answers, EvaluateError, Spectator, evaluate};
pub use tally::{ClassTally, Tally};
pub use verdict::Verdict;
pub use views::Views;
