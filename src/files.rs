//! Files that somebody else put there, read without surprises: what is no file is refused by what it is, and never waited
//! for. Opening a FIFO would wait until somebody writes into it, and a device may never end.
//!
//! A leaf: knows files only.

use std::{
    fmt::Write as _,
    fs::{self, File, FileType, OpenOptions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Component, Path, PathBuf},
};

/// Opens a file for reading.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] for what is no file, saying what it is.
pub fn open(path: &Path) -> io::Result<File> {
    // Asked before, because a socket or a device refuses with words that nobody understands.
    check(path)?;
    // Not to wait, should a FIFO be put there in this moment.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    check_is_file(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a whole file.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::FileTooLarge`] beyond `limit` bytes; [`io::ErrorKind::OutOfMemory`].
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    let too_large =
        |size: u64| io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {size} bytes, the limit is {limit}"));
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::new();
    // More than there is memory for is a refusal, not the end of the process.
    bytes.try_reserve_exact(usize::try_from(size.min(limit)).unwrap_or(usize::MAX).saturating_add(1))?;
    // Its size may be no more than a guess, as that of files in /proc.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let read = bytes.len() as u64;
    if read > limit {
        return Err(too_large(size.max(read)));
    }
    Ok(bytes)
}

/// Reads a whole file of UTF-8.
///
/// # Errors
/// As [`read`]; [`io::ErrorKind::InvalidData`] for what is no UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is no UTF-8"))
    })
}

/// Whether there is a file at `path`.
///
/// # Errors
/// As [`open`], as far as can be said without opening it.
pub fn check(path: &Path) -> io::Result<()> {
    check_is_file(fs::metadata(path)?.file_type())
}

fn check_is_file(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let reason = format!("it is {}, not a file", kind_name(kind));
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "something else",
    }
}

/// `file` inside `folder`, resolved, so that it is what it was checked to be.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] where it leaves the folder, by its name or by a link; what the system says.
pub fn inside(folder: &Path, file: &Path) -> io::Result<PathBuf> {
    let leaves =
        |how: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{how}; put the file into the folder"));
    if file.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves("the path leaves the model's folder"));
    }
    let place = folder.join(file).canonicalize()?;
    if place.starts_with(folder.canonicalize()?) { Ok(place) } else { Err(leaves("a link leaves the model's folder")) }
}

/// Bytes in hexadecimal digits, as digests are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as people can read it: what is no UTF-8 as `\xff`. Control characters are left as they are.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string never fails.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::{CString, OsStr},
        os::unix::{fs::symlink, net::UnixListener},
    };

    use super::*;

    fn make_fifo(path: &Path) {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: `mkfifo` reads a string that ends with a zero and lives until it returns.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }

    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make_fifo(&at("fifo"));
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink(at("fifo"), at("link")).unwrap();
        let refusal = |path: &Path| read(path, 10).unwrap_err().to_string();
        assert_eq!(refusal(&at("fifo")), "it is a FIFO, not a file");
        assert_eq!(refusal(&at("link")), "it is a FIFO, not a file");
        assert_eq!(refusal(&at("socket")), "it is a socket, not a file");
        assert_eq!(refusal(Path::new("/dev/zero")), "it is a device, not a file");
        assert_eq!(refusal(folder.path()), "it is a folder, not a file");
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_text_is_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"a\nb\xff").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"a\nb\xff");
        assert_eq!(read(&path, 3).unwrap_err().to_string(), "it has 4 bytes, the limit is 3");
        assert_eq!(read_text(&path, 4).unwrap_err().to_string(), "line 2 is no UTF-8");
        assert!(read(Path::new("/proc/self/status"), 1 << 20).unwrap().len() > 100);
    }

    #[test]
    fn no_path_leaves_the_folder_by_its_name_or_by_a_link() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("model");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(root.path().join("secret"), "").unwrap();
        fs::write(folder.join("sub/labels.txt"), "").unwrap();
        symlink("sub/labels.txt", folder.join("labels.txt")).unwrap();
        symlink("../secret", folder.join("out.txt")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        symlink(&folder, root.path().join("linked")).unwrap();
        for good in ["labels.txt", "sub/labels.txt", "./labels.txt"] {
            assert!(inside(&folder, Path::new(good)).is_ok(), "{good}");
            assert!(inside(&root.path().join("linked"), Path::new(good)).is_ok(), "{good}");
        }
        let secret = root.path().join("secret");
        for bad in ["../secret", "sub/../../secret", "out.txt", "up/secret", secret.to_str().unwrap()] {
            let refusal = inside(&folder, Path::new(bad)).unwrap_err().to_string();
            assert!(refusal.contains("leaves the model's folder"), "{bad}: {refusal}");
        }
    }

    #[test]
    fn a_name_that_is_no_utf8_is_shown_byte_by_byte() {
        assert_eq!(shown(Path::new(OsStr::from_bytes(b"a\xff\xfe/\xc3\xa4"))), "a\\xff\\xfe/ä");
    }
}
