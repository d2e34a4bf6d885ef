//! The report for browsers.

use std::io;

use super::EvaluationReport;

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, report: &EvaluationReport<'_>) -> io::Result<()> {
    writeln!(out, "{}", report.model)
}
