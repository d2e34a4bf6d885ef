//! Whether a shared library lies whole on the disk.
//!
//! The loader maps a library by what its header promises. If the file ends before (an interrupted download, a full
//! disk), the process dies of SIGBUS at the first touch of a missing page: no error, no message. So the header is
//! checked against the file's length before anything is loaded.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

const MAGIC: &[u8; 4] = b"\x7fELF";
const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

/// Checks that the file is a library for this processor and has all the bytes that its header promises. What is no
/// Linux library at all is left to the loader of the system it is for.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn check(path: &Path) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let mut file = File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let length = file.metadata().map_err(|error| format!("it cannot be read: {error}"))?.len();
    let mut header = [0; HEADER_BYTES];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(format!("it has only {length} bytes and is no shared library"));
        }
        Err(error) => return Err(format!("it cannot be read: {error}")),
    }
    if !header.starts_with(MAGIC) || header[4] != CLASS_64 || header[5] != LITTLE_ENDIAN {
        return Err("it is no shared library for 64-bit Linux".to_owned());
    }
    let machine = u16_at(&header, 18);
    if this_machine().is_some_and(|ours| ours != machine) {
        return Err(format!("it is made for another processor than this {}", std::env::consts::ARCH));
    }
    let promised = promised_bytes(&mut file, &header).map_err(|_| format!("it is cut off after {length} bytes"))?;
    if promised > length {
        return Err(format!("it is cut off: it has {length} bytes of at least {promised}"));
    }
    Ok(())
}

/// How long the file must be for its header to be true: up to the end of the section table or of the last segment.
fn promised_bytes(file: &mut File, header: &[u8; HEADER_BYTES]) -> io::Result<u64> {
    let table_end =
        |offset: u64, entry: u16, entries: u16| offset.saturating_add(u64::from(entry) * u64::from(entries));
    let mut end = table_end(u64_at(header, 40), u16_at(header, 58), u16_at(header, 60));
    let (segments, entry_bytes, entries) = (u64_at(header, 32), u16_at(header, 54), u16_at(header, 56));
    let mut segment = [0; SEGMENT_BYTES];
    for index in 0..entries {
        file.seek(SeekFrom::Start(table_end(segments, entry_bytes, index)))?;
        file.read_exact(&mut segment)?;
        end = end.max(u64_at(&segment, 8).saturating_add(u64_at(&segment, 32)));
    }
    Ok(end)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

/// The processor's number in the header (`e_machine`).
fn this_machine() -> Option<u16> {
    match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;

    use super::*;

    fn write(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libx.so");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    /// The running test itself: an ELF file that is whole.
    fn program() -> Vec<u8> {
        fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn half_a_file_is_found_out_before_it_kills_the_process() {
        let bytes = program();
        let (_folder, path) = write(&bytes[..bytes.len() / 2]);
        assert!(check(&path).unwrap_err().contains("cut off"));
        assert!(check(&std::env::current_exe().unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_library_is_said_to_be_none() {
        for bytes in [&b""[..], b"\x7fELF", b"<html>404 not found, and a page long enough to pass for a header</html>"]
        {
            let (_folder, path) = write(bytes);
            assert!(check(&path).unwrap_err().contains("no shared library"), "{bytes:?}");
        }
    }

    #[test]
    fn a_library_for_another_processor_is_named_as_such() {
        let mut bytes = program();
        bytes[18] = 0xf3; // RISC-V
        bytes[19] = 0;
        let (_folder, path) = write(&bytes);
        assert!(check(&path).unwrap_err().contains("another processor"));
    }
}
