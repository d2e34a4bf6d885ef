//! Pages that open from disk: one file of HTML with its style and plots inside, and nothing from elsewhere.
//!
//! A leaf: what the reports of several rooms have in common. Must not know what is reported.

mod axis;
mod chart;
mod shape;
mod text;

use std::io;

pub use axis::ChartAxis;
pub use chart::{Chart, ChartLine, ChartPoint};
pub use shape::{label, line, rect};
pub use text::escaped;

/// Not even the browser is to fetch anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Writes everything up to the body's content.
///
/// * `style`: rules beside those that every page has
///
/// # Errors
/// What `out` says.
pub fn begin(out: &mut dyn io::Write, title: &str, style: &str) -> io::Result<()> {
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<title>{}</title>\n<style>\n{}{style}</style>\n</head>\n<body>",
        escaped(title),
        include_str!("base.css")
    )
}

/// Writes the end.
///
/// # Errors
/// What `out` says.
pub fn end(out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "<footer>resnetd {}</footer>\n</body>\n</html>", env!("CARGO_PKG_VERSION"))
}
