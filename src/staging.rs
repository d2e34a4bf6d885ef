//! Files and folders that appear whole or not at all: filled under a name that begins with a dot, which servers pass over,
//! then renamed. Whoever looks sees what was there before or what is there now; a full disk, a crash or Ctrl-C leaves
//! nothing behind that is half there.
//!
//! The one place of the crate where a file is written beside its target. A leaf: knows the file system only.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile, TempDir};

/// The file system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {cause}; check that the folder exists, is writable and has room", path.display())]
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

/// A file that nobody sees yet; it goes away unless it is published.
#[derive(Debug)]
pub struct StagedFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl StagedFile {
    /// Makes it in the folder of `path`, where it will be renamed.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn beside(path: &Path) -> Result<Self, FileError> {
        // A link stays one: what it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = Builder::new();
        #[cfg(unix)]
        builder.permissions(up_to_the_umask(0o666));
        let file = builder.prefix(".new-").tempfile_in(folder).map_err(at(&path))?;
        // What is replaced keeps its rights.
        if let Ok(there) = fs::metadata(&path) {
            file.as_file().set_permissions(there.permissions()).map_err(at(&path))?;
        }
        Ok(Self { file, path })
    }

    /// Whether a rename leaves the owner and group of the file that is `there` as they are.
    pub fn has_owner_of(&self, there: &fs::Metadata) -> bool {
        self.file.as_file().metadata().is_ok_and(|new| (new.uid(), new.gid()) == (there.uid(), there.gid()))
    }

    /// Who may read and write it, whatever the umask says and whatever the file has that it replaces.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_permissions(&self, permissions: fs::Permissions) -> io::Result<()> {
        self.file.as_file().set_permissions(permissions)
    }

    /// Gives it its name, in place of the file that had it.
    ///
    /// The content is on the disk before the name is: after a power cut the name leads to the old content or to the new.
    ///
    /// # Errors
    /// [`FileError`]; then the old file is as it was.
    pub fn publish(self) -> Result<(), FileError> {
        self.file.as_file().sync_all().map_err(at(&self.path))?;
        self.file.persist(&self.path).map_err(|error| at(&self.path)(error.error))?;
        Ok(())
    }
}

impl io::Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Writes a whole file.
///
/// # Errors
/// [`FileError`], also for what `content` says; then the old file is as it was.
pub fn write_file(path: &Path, content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<(), FileError> {
    let mut file = StagedFile::beside(path)?;
    content(&mut file).map_err(at(path))?;
    file.publish()
}

/// A folder that nobody sees yet; it goes away unless it is published.
#[derive(Debug)]
pub struct StagedFolder {
    folder: TempDir,
}

impl StagedFolder {
    /// Makes it inside `parent`, where it will be renamed.
    ///
    /// * `name`: what it is for, to be told from others after a crash
    ///
    /// # Errors
    /// [`FileError`].
    pub fn new(parent: &Path, name: &str) -> Result<Self, FileError> {
        let mut builder = Builder::new();
        #[cfg(unix)]
        builder.permissions(up_to_the_umask(0o777));
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

    /// Gives it its name, all at once. What is in it should be on the disk: [`write_file`] sees to that.
    ///
    /// # Errors
    /// [`FileError`], for instance if `folder` is there and not empty.
    pub fn publish(self, folder: &Path) -> Result<(), FileError> {
        fs::rename(self.path(), folder).map_err(at(folder))?;
        // What was renamed must not be swept away under its old name.
        let _ = self.folder.keep();
        Ok(())
    }

    /// Gives one file of it its name in place of the one that has it; the rest goes away.
    ///
    /// # Errors
    /// [`FileError`]; then the old file is as it was.
    pub fn publish_file(self, name: &str, path: &Path) -> Result<(), FileError> {
        fs::rename(self.path().join(name), path).map_err(at(path))
    }
}

/// What any other program would have made here. `tempfile` alone would leave it to its owner.
#[cfg(unix)]
fn up_to_the_umask(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_replaces_the_old_one_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.toml");
        fs::write(&path, "old").unwrap();
        write_file(&path, |file| {
            file.write_all(b"ne")?;
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            file.write_all(b"w")
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["model.toml"]);
    }

    #[test]
    fn a_file_that_could_not_be_finished_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.toml");
        fs::write(&path, "old").unwrap();
        let error = write_file(&path, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::other("the disk is full"))
        });
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot write {}: the disk is full; ", path.display())), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["model.toml"]);
        let missing = folder.path().join("none/model.toml");
        let message = write_file(&missing, |_| Ok(())).unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot write {}: ", missing.display())), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_appears_as_far_as_the_umask_lets_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        fs::write(folder.path().join("plain"), "").unwrap();
        fs::create_dir(folder.path().join("plain folder")).unwrap();
        write_file(&folder.path().join("staged"), |_| Ok(())).unwrap();
        StagedFolder::new(folder.path(), "net").unwrap().publish(&folder.path().join("staged folder")).unwrap();
        assert_eq!(mode("staged"), mode("plain"));
        assert_eq!(mode("staged folder"), mode("plain folder"));
    }

    #[test]
    fn a_folder_that_is_not_published_goes_away_and_one_that_is_stays() {
        let parent = tempfile::tempdir().unwrap();
        let staged = StagedFolder::new(parent.path(), "net").unwrap();
        fs::write(staged.make_folder("1").unwrap().join("model.onnx"), "graph").unwrap();
        assert!(names(parent.path())[0].starts_with(".net-"));
        drop(staged);
        assert!(names(parent.path()).is_empty());

        let staged = StagedFolder::new(parent.path(), "net").unwrap();
        fs::write(staged.path().join("model.toml"), "").unwrap();
        staged.publish(&parent.path().join("net")).unwrap();
        assert_eq!(names(parent.path()), ["net"]);
    }

    #[test]
    fn one_file_of_a_folder_replaces_the_old_one_and_the_folder_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("model.onnx");
        fs::write(&path, "old").unwrap();
        let staged = StagedFolder::new(parent.path(), "1").unwrap();
        fs::write(staged.path().join("model.onnx"), "new").unwrap();
        staged.publish_file("model.onnx", &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(parent.path()), ["model.onnx"]);
    }

    #[test]
    fn a_folder_that_is_taken_is_left_alone_and_named() {
        let parent = tempfile::tempdir().unwrap();
        let taken = parent.path().join("net");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("model.toml"), "mine").unwrap();
        let error = StagedFolder::new(parent.path(), "net").unwrap().publish(&taken).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write {}: ", taken.display())), "{error}");
        assert_eq!(names(parent.path()), ["net"]);
        assert_eq!(fs::read_to_string(taken.join("model.toml")).unwrap(), "mine");
    }
}
