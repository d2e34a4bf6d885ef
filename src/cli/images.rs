//! The images among what the command line names: files as they are, folders searched. What cannot be searched is named, and
//! the rest is found all the same.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::bail;
use walkdir::WalkDir;

use crate::{bulk::is_shard, files};

/// What counts as an image inside a folder; a file that is named itself is always tried.
const EXTENSIONS: [&str; 13] =
    ["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff", "pbm", "pgm", "ppm", "pnm"];

/// What was found.
#[derive(Debug, Default)]
pub(super) struct FoundImages {
    /// In the order of the names.
    pub(super) files: Vec<PathBuf>,
    /// What could not be looked at, and why: links to nothing or around in a circle, folders that may not be read, FIFOs.
    pub(super) passed_over: Vec<(PathBuf, String)>,
}

impl FoundImages {
    /// The images among `paths` and inside the folders among them, by name.
    ///
    /// # Errors
    /// Where there is none at all.
    pub(super) fn among(paths: &[PathBuf]) -> anyhow::Result<Self> {
        Self::among_those(paths, is_picture)
    }

    /// The same, with the shards of many pictures in the folders.
    ///
    /// # Errors
    /// Where there is nothing at all.
    pub(super) fn among_with_shards(paths: &[PathBuf]) -> anyhow::Result<Self> {
        Self::among_those(paths, |path| is_picture(path) || is_shard(path))
    }

    fn among_those(paths: &[PathBuf], is_wanted: fn(&Path) -> bool) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for path in paths {
            match fs::metadata(path) {
                Ok(there) if there.is_dir() => found.search(path, is_wanted),
                Ok(_) => found.files.push(path.clone()),
                Err(error) => found.passed_over.push((path.clone(), in_words(path, &error))),
            }
        }
        if found.files.is_empty() {
            match &found.passed_over[..] {
                [(path, reason)] => bail!("{}: {reason}", files::shown(path)),
                [(path, reason), ..] => bail!(
                    "none of it can be read, {}: {reason}, and {} more",
                    files::shown(path),
                    found.passed_over.len() - 1
                ),
                [] => bail!("no images found in the folders given (looked for {})", EXTENSIONS.join(", ")),
            }
        }
        Ok(found)
    }

    fn search(&mut self, folder: &Path, is_wanted: fn(&Path) -> bool) {
        for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
            match entry {
                Ok(entry) if !is_wanted(entry.path()) => {}
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => match files::check(entry.path()) {
                    Ok(()) => self.files.push(entry.into_path()),
                    Err(error) => {
                        let reason = in_words(entry.path(), &error);
                        self.passed_over.push((entry.into_path(), reason));
                    }
                },
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    let reason = match (error.loop_ancestor(), error.io_error()) {
                        (Some(around), _) => format!("a link to {}, which it lies in", files::shown(around)),
                        (None, Some(error)) => in_words(&path, error),
                        (None, None) => error.to_string(),
                    };
                    self.passed_over.push((path, reason));
                }
            }
        }
    }
}

/// Whether a file of this name is one, as far as its name says.
pub(super) fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

fn in_words(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => "a link to nothing".to_owned(),
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    };

    use super::*;

    #[test]
    fn what_cannot_be_searched_is_named_and_the_rest_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for name in ["a.jpg", "sub/b.PNG", "notes.txt"] {
            fs::write(at(name), "").unwrap();
        }
        let foreign = folder.path().join(OsStr::from_bytes(b"z\xff.jpg"));
        fs::write(&foreign, "").unwrap();
        symlink("nothing", at("dangling.jpg")).unwrap();
        symlink("..", at("sub/up")).unwrap();
        symlink("self", at("self")).unwrap();
        let _socket = UnixListener::bind(at("socket.jpg")).unwrap();

        let found = FoundImages::among(&[folder.path().to_owned()]).unwrap();

        assert_eq!(found.files, [at("a.jpg"), at("sub/b.PNG"), foreign]);
        let mut passed_over: Vec<_> =
            found.passed_over.iter().map(|(path, why)| (path.file_name().unwrap().to_str().unwrap(), &**why)).collect();
        passed_over.sort_unstable();
        let names: Vec<_> = passed_over.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["dangling.jpg", "self", "socket.jpg", "up"]);
        let whys: Vec<_> = passed_over.iter().map(|(_, why)| *why).collect();
        assert_eq!((whys[0], whys[2]), ("a link to nothing", "it is a socket, not a file"));
        assert!(whys[1].contains("links") && whys[3].contains("which it lies in"), "{whys:?}");
    }

    #[test]
    fn a_path_that_is_not_there_is_named_and_alone_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, there) = (folder.path().join("x.jpg"), folder.path().join("y.jpg"));
        fs::write(&there, "").unwrap();
        let found = FoundImages::among(&[missing.clone(), there.clone()]).unwrap();
        assert_eq!((found.files, found.passed_over.len()), (vec![there], 1));
        let error = FoundImages::among(&[missing]).unwrap_err().to_string();
        assert!(error.ends_with("x.jpg: there is no such file or folder"), "{error}");
    }
}
