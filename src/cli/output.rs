//! What the command line prints: results to stdout or a file, complaints to stderr.
//!
//! Whoever reads stdout may leave when it has seen enough (`| head -1`): that is no failure, and what is printed from then
//! on is dropped. What files and networks are called is text that others wrote: it is made harmless on the way out.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, ErrorKind, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::utf8::Utf8;
use crate::{
    staging::StagedFile,
    telemetry::{escaped, escaped_layout, flush_log, last_line},
};

/// Says what failed, causes included, as the log would say it: a server waits for no reader, not even when it leaves.
pub(super) fn error(error: &anyhow::Error) {
    last_line(&format!("error: {error:#}"));
}

/// Prints one line to stderr, behind what was logged before.
pub(super) fn complain(line: &str) {
    flush_log();
    // When stderr is closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{}", escaped(line));
}

/// Where results go.
pub(super) struct Output {
    sink: Sink,
    text: Utf8,
}

enum Sink {
    Stdout(BufWriter<io::Stdout>),
    /// Its reader has left.
    Nobody,
    /// A FIFO or a device: written as it comes.
    Stream(BufWriter<File>),
    /// A file, which gets its content whole or not at all. Until then that is in a file without a name, of which nothing
    /// stays behind whatever ends the process.
    File(BufWriter<File>, PathBuf),
}

impl Output {
    pub(super) fn stdout() -> Self {
        Self { sink: Sink::Stdout(BufWriter::new(io::stdout())), text: Utf8::default() }
    }

    /// Stdout where no file is named.
    pub(super) fn to(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::stdout()) };
        let sink = Sink::open(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { sink, text: Utf8::default() })
    }

    /// Writes one line, whatever is in `text`.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self, "{}", escaped(text))
    }

    /// Whether nobody reads any more.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self.sink, Sink::Nobody)
    }

    /// Whether it is a file that gets its content at the end.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.sink, Sink::File(..))
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush().context("cannot write the results")?;
        match self.sink {
            Sink::File(out, path) => {
                let content = out.into_inner().map_err(io::IntoInnerError::into_error)?;
                publish(content, &path).with_context(|| format!("cannot write {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = self.text.take(bytes);
        self.sink.give(|out| out.write_all(escaped_layout(&text).as_bytes()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.give(|out| out.flush())
    }
}

/// An output that takes bytes as they are, and no text.
pub(super) struct RawOutput<'o>(pub(super) &'o mut Output);

impl Write for RawOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.sink.give(|out| out.write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink {
    /// Lets `act` write; a reader of stdout that left is told to nobody.
    fn give(&mut self, act: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let outcome = match self {
            Self::Stdout(out) => act(out),
            Self::Stream(out) | Self::File(out, _) => return act(out),
            Self::Nobody => return Ok(()),
        };
        match outcome {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                let Self::Stdout(out) = std::mem::replace(self, Self::Nobody) else { return Ok(()) };
                // What it still holds would be tried again when it is dropped.
                let _ = out.into_parts();
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn open(path: &Path) -> anyhow::Result<Self> {
        let there = match fs::metadata(path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(there) = &there {
            if there.is_dir() {
                bail!("it is a folder; name a file");
            }
            // Also says now, and not after the work, that it may not be written.
            let file = OpenOptions::new().write(true).open(path)?;
            if !there.is_file() {
                return Ok(Self::Stream(BufWriter::new(file)));
            }
        }
        let folder = folder_of(path);
        let content = match tempfile::tempfile_in(folder) {
            // It can be written all the same, if not by a rename.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && there.is_some() => tempfile::tempfile()?,
            content => content.with_context(|| format!("in {}", folder.display()))?,
        };
        Ok(Self::File(BufWriter::new(content), path.to_owned()))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts `content` at `path`: by a rename where that changes nothing but the content, else into what is there, which may
/// have other names, other links to it or another owner.
fn publish(mut content: File, path: &Path) -> io::Result<()> {
    content.rewind()?;
    let mut content = BufReader::new(content);
    let there = match fs::symlink_metadata(path) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if there.as_ref().is_none_or(|there| there.is_file() && there.nlink() == 1) {
        match StagedFile::beside(path) {
            Ok(mut file) if there.as_ref().is_none_or(|there| file.has_owner_of(there)) => {
                io::copy(&mut content, &mut file)?;
                return file.publish().map_err(|error| error.cause);
            }
            Err(error) if there.is_none() => return Err(error.cause),
            // Another owner, or a folder that takes no new file.
            _ => {}
        }
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    io::copy(&mut content, &mut file).map(drop)
}
