//! The report for programs.

use std::io;

use super::LoadReport;

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, report: &LoadReport) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
