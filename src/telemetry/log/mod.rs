//! The log: what a line looks like, and that nothing it does can stop anything.
//!
//! Lines go to stderr through a queue of their own ([`lines`]), so that a full disk, a closed pipe or a reader that does not
//! read costs lines and no answer. What others wrote is made harmless in one place, when a line is formatted ([`escape`]).

mod escape;
mod lines;
mod seldom;

use std::{
    fmt,
    fs::File,
    io::{self, IsTerminal},
    os::fd::AsFd,
    panic,
    sync::OnceLock,
    time::Duration,
};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

pub use escape::{escaped, escaped_layout};
pub use seldom::Seldom;

use self::{
    escape::{EscapingLine, Notation},
    lines::Lines,
};
use crate::config::{LogFormat, LogSection};

/// The lines of this process.
static LINES: OnceLock<Lines> = OnceLock::new();

/// How long the end of the process waits for a line to be read. A reader that is there needs a thousandth of it.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Starts the log on stderr. To be called once.
///
/// From then on a panic of any thread is a line of the log, too.
///
/// # Errors
/// If `level` is no filter.
pub fn start_log(settings: &LogSection) -> Result<(), ParseError> {
    let filter = filter(&settings.level)?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(settings.format, filter, colours, || of_this_process().clone());
    // A second start, in tests, changes nothing.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("it says nothing");
            let thread = std::thread::current();
            tracing::error!(place, thread = thread.name(), "panic: {message}");
        }));
    }
    Ok(())
}

/// Lines of the log that were never written: stderr took none, or nobody read it.
pub fn lost_lines() -> u64 {
    LINES.get().map_or(0, Lines::lost)
}

/// Writes what still waits, unless nobody reads it. To be called before the process ends, and before anything is written to
/// stderr by another way.
pub fn flush_log() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES);
    }
}

/// From now on only the calling thread logs. To be called before the last words of a process in which others may still work:
/// what they say after that is dropped, so that the last words are the last.
pub fn leave_log_to_this_thread() {
    of_this_process().leave_to_this_thread();
}

/// Writes one line as it is, behind what was logged before and as the log would: it waits for nobody.
pub fn last_line(line: &str) {
    of_this_process().push(format!("{}\n", escaped(line)).as_bytes());
    flush_log();
}

fn of_this_process() -> &'static Lines {
    LINES.get_or_init(|| {
        let lines = Lines::default();
        // A descriptor of its own: the lock of `io::stderr` may be held by somebody who waits for a reader.
        let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
        let notice = |lost| tracing::warn!(lost, "lines of this log could not be written");
        // Without a descriptor or a thread there is no log; the queue fills up, and what does not fit is counted.
        let _ = stderr.and_then(|stderr| lines.write_to(stderr, notice));
        lines
    })
}

fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    // ONNX Runtime says a great deal at `info`, about optimizations that it did. A filter that speaks of some targets only
    // leaves the others at `info`: alone it would silence them, errors included. h2 warns of every connection that resets too
    // many streams, and of every PING that nobody asked for: what strangers do is counted, and said by the doors once in a while.
    // What asks stores for models knows secrets, and is silent at whatever level: the room of stores says what there is to say.
    // Who changed keys and models is told also where the rest is to be silent, unless `audit` itself is named.
    EnvFilter::builder().parse(format!("info,ort=warn,h2=error,audit=info,{level},object_store=off,reqwest=off"))
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: bool,
    out: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: io::Write,
{
    // What the library says of its own failures goes to stderr by `eprintln!`, which panics where that fails.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(out).log_internal_errors(false);
    match format {
        LogFormat::Text if colours => {
            let format = Format::default().with_ansi(false).without_time().with_level(false);
            Box::new(log.event_format(Coloured(OneLine { format, notation: Notation::Text })).finish())
        }
        LogFormat::Text => {
            let format = Format::default().with_ansi(false);
            Box::new(log.event_format(OneLine { format, notation: Notation::Text }).finish())
        }
        LogFormat::Json => {
            let format = Format::default().json().flatten_event(true).with_current_span(false);
            let log = log.fmt_fields(JsonFields::new());
            Box::new(log.event_format(OneLine { format, notation: Notation::Json }).finish())
        }
    }
}

/// A format whose events are one line each, whatever is in them: no call site can forget to escape.
struct OneLine<F> {
    format: F,
    notation: Notation,
}

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = EscapingLine::new(out, self.notation);
        self.format.format_event(context, Writer::new(&mut line), event)?;
        line.finish()
    }
}

/// The same for terminals: time and level are ours and in colours, all else is escaped as ever.
struct Coloured<F>(OneLine<F>);

impl<S, N, F> FormatEvent<S, N> for Coloured<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        let colour = match level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            Level::DEBUG => 34,
            _ => 35,
        };
        write!(out, "\u{1b}[2m")?;
        SystemTime.format_time(&mut out)?;
        write!(out, "\u{1b}[0m \u{1b}[{colour}m{level:>5}\u{1b}[0m ")?;
        self.0.format_event(context, out, event)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What the log says of an event with text that somebody sent.
    fn logged(format: LogFormat, colours: bool, text: &str) -> String {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let out = kept.clone();
        let subscriber = subscriber(format, filter("info").unwrap(), colours, move || out.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(shown = %text, text, debugged = ?text, "said {text}");
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}1m\u{2028}\u{202e}b";

    #[test]
    fn text_that_somebody_sent_stays_inside_its_line() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = logged(format, false, HOSTILE);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(line.ends_with('\n'), "{line:?}");
            assert_eq!(escaped(line.trim_end()), line.trim_end(), "{line:?}");
        }
    }

    #[test]
    fn colours_are_the_logs_own() {
        let line = logged(LogFormat::Text, true, HOSTILE);
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        let (head, rest) = line.trim_end().split_once(" resnetd").unwrap();
        assert!(head.ends_with("\u{1b}[32m INFO\u{1b}[0m"), "its level is green: {head:?}");
        assert_eq!(escaped(rest), rest, "and nothing of the rest is");
    }

    #[test]
    fn json_keeps_the_text_and_every_field_has_its_name() {
        let line = logged(LogFormat::Json, false, HOSTILE);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], HOSTILE);
        assert_eq!(value["shown"], HOSTILE);
        assert_eq!(value["message"], format!("said {HOSTILE}"));
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn ordinary_lines_look_as_they_did() {
        let line = logged(LogFormat::Text, false, "größe");
        assert!(line.ends_with(" said größe shown=größe text=\"größe\" debugged=\"größe\"\n"), "{line:?}");
    }
}
