//! The log: where lines go and how they look.

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::{LogFormat, LogSection};

/// Starts the log on stderr. To be called once.
///
/// # Errors
/// If `level` is no filter.
pub fn start_log(settings: &LogSection) -> Result<(), ParseError> {
    // ONNX Runtime says a great deal at `info`, about optimizations that it did.
    let filter = EnvFilter::builder().parse(format!("ort=warn,{}", settings.level))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, in tests, changes nothing.
    let _ = match settings.format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
    };
    Ok(())
}
