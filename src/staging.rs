//! Folders that appear whole or not at all: filled under a name that begins with a dot, which servers pass over, then
//! renamed. A full disk or a crash leaves no model behind that is half there.
//!
//! A leaf: knows files only.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {cause}; check that the folder is writable and has room", path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

/// Says which path an error of the system is about.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |cause| FileError { path, cause }
}

/// A folder that nobody sees yet; it goes away unless it is published.
pub struct Staging {
    folder: tempfile::TempDir,
}

impl Staging {
    /// Makes it inside `parent`, where it will be renamed.
    ///
    /// * `name`: what it is for, to be told from others after a crash
    ///
    /// # Errors
    /// [`FileError`].
    pub fn new(parent: &Path, name: &str) -> Result<Self, FileError> {
        let mut builder = tempfile::Builder::new();
        // For others to read too: `tempfile` alone would leave it to its owner. The umask still applies.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755));
        let folder = builder.prefix(&format!(".{name}-")).tempdir_in(parent).map_err(at(parent))?;
        Ok(Self { folder })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder inside it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn make_folder(&self, name: &str) -> Result<PathBuf, FileError> {
        let folder = self.path().join(name);
        fs::create_dir(&folder).map_err(at(&folder))?;
        Ok(folder)
    }

    /// Gives it its name, all at once.
    ///
    /// # Errors
    /// [`FileError`], for instance if `folder` is there and not empty.
    pub fn publish(self, folder: &Path) -> Result<(), FileError> {
        fs::rename(self.path(), folder).map_err(at(folder))?;
        // What was renamed must not be swept away under its old name.
        let _ = self.folder.keep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_not_published_goes_away_and_what_is_stays() {
        let parent = tempfile::tempdir().unwrap();
        let staging = Staging::new(parent.path(), "net").unwrap();
        fs::write(staging.make_folder("1").unwrap().join("model.onnx"), "graph").unwrap();
        assert!(names(parent.path())[0].starts_with(".net-"));
        drop(staging);
        assert!(names(parent.path()).is_empty());

        let staging = Staging::new(parent.path(), "net").unwrap();
        fs::write(staging.path().join("model.toml"), "").unwrap();
        staging.publish(&parent.path().join("net")).unwrap();
        assert_eq!(names(parent.path()), ["net"]);
    }

    #[test]
    fn a_folder_that_is_taken_is_left_alone_and_named() {
        let parent = tempfile::tempdir().unwrap();
        let taken = parent.path().join("net");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("model.toml"), "mine").unwrap();
        let error = Staging::new(parent.path(), "net").unwrap().publish(&taken).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write {}: ", taken.display())), "{error}");
        assert_eq!(names(parent.path()), ["net"]);
        assert_eq!(fs::read_to_string(taken.join("model.toml")).unwrap(), "mine");
    }
}
