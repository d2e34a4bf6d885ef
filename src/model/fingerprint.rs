//! What a repository looks like from outside, cheap enough to be asked every two seconds: names, sizes, times, inodes and link
//! targets, never a file's content.
//!
//! Polled and compared rather than told by the system: file events do not come from NFS, overlays and object stores, and miss a
//! ConfigMap, which is a link that is swapped. Knows the disk; what a difference means is said elsewhere.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::repository::{RepositoryError, version_number};

/// Folders inside a version or beside one are looked into so deep, and so many entries of a model are looked at: a model is a few
/// files, and a link may lead anywhere.
const DEEPEST: usize = 4;
const MOST_ENTRIES: usize = 4_096;

/// Files as they looked at one moment. Two that are equal are taken for the same files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of one file, wherever a link leads; of a file that is not there it is the same as of any other such.
    pub fn of_file(path: &Path) -> Self {
        let mut hasher = DefaultHasher::new();
        match fs::metadata(path) {
            Ok(metadata) => stamp(&metadata).hash(&mut hasher),
            Err(error) => error.kind().hash(&mut hasher),
        }
        Self(hasher.finish())
    }

    #[cfg(test)]
    pub(crate) fn test(number: u64) -> Self {
        Self(number)
    }
}

/// One version's files, or those beside the versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesLook {
    /// What they look like.
    pub print: Fingerprint,
    /// The folder around them got its name after the last of them was written, so they came all at once: by a rename, or by a copy
    /// that sets the folder's time when it is done.
    pub came_whole: bool,
}

/// A model's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderLook {
    /// `model.toml`, labels and whatever else is beside the versions.
    pub own: FilesLook,
    /// Every folder that is called like a version, whether there is a graph in it or not.
    pub versions: BTreeMap<u64, FilesLook>,
}

/// A repository at one moment.
#[derive(Debug, Default)]
pub struct RepositoryLook {
    /// By name.
    pub folders: BTreeMap<String, FolderLook>,
    /// Folders that are there and cannot be looked at now, with what the system said.
    pub unreadable: BTreeMap<String, String>,
    /// The repository itself is not there.
    pub is_missing: bool,
}

/// Looks at everything in `root`. Hidden folders, plain files and names that are no text are no models.
///
/// # Errors
/// If `root` itself cannot be read.
pub fn look_at(root: &Path) -> Result<RepositoryLook, RepositoryError> {
    let mut look = RepositoryLook::default();
    let failed = |cause| RepositoryError { path: root.into(), cause };
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !root.is_symlink() => {
            return Ok(RepositoryLook { is_missing: true, ..look });
        }
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_candidate = entry.file_type().map_or(true, |kind| kind.is_dir() || kind.is_symlink());
        if name.starts_with('.') || !is_candidate {
            continue;
        }
        match look_at_model(&entry.path()) {
            Ok(Some(folder)) => drop(look.folders.insert(name, folder)),
            Ok(None) => {}
            // It went while it was looked at, or is a link to nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(look.unreadable.insert(name, error.to_string())),
        }
    }
    Ok(look)
}

/// Looks at one model's folder; `None` for a plain file.
///
/// # Errors
/// What the system says.
pub fn look_at_model(path: &Path) -> io::Result<Option<FolderLook>> {
    let folder = fs::metadata(path)?;
    if !folder.is_dir() {
        return Ok(None);
    }
    let named_at = named_at(&folder);
    let mut own = Walk::default();
    let mut versions = BTreeMap::new();
    let mut left = MOST_ENTRIES;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        // Hidden: staged files, and what a ConfigMap's links lead through.
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        let place = entry.path();
        let version = name.to_str().and_then(version_number);
        match version.filter(|_| place.is_dir()) {
            Some(version) => {
                let mut walk = Walk::default();
                walk.entries(&place, Top::IsNamed, &mut left)?;
                let inner = fs::metadata(&place).map(|folder| self::named_at(&folder)).unwrap_or_default();
                let link = fs::symlink_metadata(&place).ok().filter(Metadata::is_symlink).map(|link| changed_at(&link));
                let named_at = named_at.max(inner).max(link.unwrap_or_default());
                versions.insert(version, walk.look(named_at));
            }
            None => own.entries(&place, Top::IsContent, &mut left)?,
        }
    }
    Ok(Some(FolderLook { own: own.look(named_at), versions }))
}

/// Files that are looked at one after the other.
#[derive(Default)]
struct Walk {
    /// In no order, so that they are added up.
    sum: u64,
    /// When the last of them changed.
    last_change: Moment,
}

/// Seconds and nanoseconds.
type Moment = (i64, i64);

/// What a change of the topmost entry itself is: a version that is a link got its content before its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Top {
    IsNamed,
    IsContent,
}

impl Walk {
    /// Looks at a file, or at a folder and what is in it.
    fn entries(&mut self, path: &Path, top: Top, left: &mut usize) -> io::Result<()> {
        let mut folders = vec![(path.to_owned(), PathBuf::from(path.file_name().unwrap_or_default()), DEEPEST)];
        while let Some((path, name, depth)) = folders.pop() {
            if *left == 0 {
                return Ok(());
            }
            *left -= 1;
            let mut hasher = DefaultHasher::new();
            name.as_os_str().as_bytes().hash(&mut hasher);
            let mut metadata = match fs::symlink_metadata(&path) {
                // It went in this moment; the next look shows what is there then.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.is_symlink() {
                if depth < DEEPEST || top == Top::IsContent {
                    self.last_change = self.last_change.max(changed_at(&metadata));
                }
                fs::read_link(&path).unwrap_or_default().hash(&mut hasher);
                match fs::metadata(&path) {
                    Ok(target) => metadata = target,
                    Err(error) => {
                        error.kind().hash(&mut hasher);
                        self.sum = self.sum.wrapping_add(hasher.finish());
                        continue;
                    }
                }
            }
            if metadata.is_dir() {
                // Its own times change with every hidden file in it.
                metadata.ino().hash(&mut hasher);
                if depth > 0 {
                    for entry in fs::read_dir(&path)? {
                        let entry = entry?;
                        if !entry.file_name().as_bytes().starts_with(b".") {
                            folders.push((entry.path(), name.join(entry.file_name()), depth - 1));
                        }
                    }
                }
            } else {
                stamp(&metadata).hash(&mut hasher);
                self.last_change = self.last_change.max(changed_at(&metadata));
            }
            self.sum = self.sum.wrapping_add(hasher.finish());
        }
        Ok(())
    }

    fn look(&self, named_at: Moment) -> FilesLook {
        FilesLook { print: Fingerprint(self.sum), came_whole: named_at > self.last_change }
    }
}

/// What tells a file from another one in its place. Not when its inode changed: links and backups touch that.
fn stamp(metadata: &Metadata) -> (u64, u64, i64, i64) {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn changed_at(metadata: &Metadata) -> Moment {
    (metadata.ctime(), metadata.ctime_nsec())
}

/// When a folder got its name, if that was after the last change of what is in it; a rename changes the inode's time and not the
/// content's.
fn named_at(folder: &Metadata) -> Moment {
    let (changed, content) = (changed_at(folder), (folder.mtime(), folder.mtime_nsec()));
    if changed > content { changed } else { Moment::default() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn folder(root: &Path) -> FolderLook {
        look_at(root).unwrap().folders.remove("m").unwrap()
    }

    #[test]
    fn what_is_changed_added_swapped_or_taken_away_is_seen_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join("m").join(name);
        write(&at("1/model.onnx"), "one");
        write(&at("2/model.onnx"), "two");
        write(&at("model.toml"), "");
        let before = folder(root.path());
        assert_eq!(folder(root.path()), before);
        assert_eq!(before.versions.keys().copied().collect::<Vec<_>>(), [1, 2]);

        write(&at("1/model.onnx"), "eins");
        let overwritten = folder(root.path());
        assert_ne!(overwritten.versions[&1].print, before.versions[&1].print);
        assert_eq!((overwritten.versions[&2], overwritten.own), (before.versions[&2], before.own));

        write(&at("2/weights/deep.bin"), "w");
        assert_ne!(folder(root.path()).versions[&2].print, before.versions[&2].print);
        write(&at("labels.txt"), "a\nb\n");
        assert_ne!(folder(root.path()).own.print, before.own.print);
        fs::remove_dir_all(at("1")).unwrap();
        assert_eq!(folder(root.path()).versions.keys().copied().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_configmap_whose_link_is_swapped_is_another() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join("m").join(name);
        write(&at("1/model.onnx"), "one");
        write(&at("..first/model.toml"), "[versions]");
        write(&at("..second/model.toml"), "[versions]");
        symlink("..first", at("..data")).unwrap();
        symlink("..data/model.toml", at("model.toml")).unwrap();
        let before = folder(root.path());
        symlink("..second", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        let after = folder(root.path());
        assert_ne!(after.own.print, before.own.print);
        assert_eq!(after.versions, before.versions);
    }

    #[test]
    fn hidden_files_plain_files_and_what_went_are_no_models() {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("m/1/model.onnx"), "one");
        let before = folder(root.path());
        write(&root.path().join("m/1/.new-model.onnx"), "half of");
        write(&root.path().join("m/.3-staged/model.onnx"), "half of");
        write(&root.path().join("README"), "");
        write(&root.path().join(".git/1/model.onnx"), "");
        symlink("nothing", root.path().join("gone")).unwrap();
        let look = look_at(root.path()).unwrap();
        assert_eq!(look.folders.keys().collect::<Vec<_>>(), ["m"]);
        assert_eq!(look.folders["m"].versions[&1].print, before.versions[&1].print);
        assert!(look.unreadable.is_empty() && !look.is_missing);
        assert!(look_at(&root.path().join("nowhere")).unwrap().is_missing);
    }

    /// The file system's clock moves in steps: waits, by writing, until it has moved.
    fn next_tick(folder: &Path) {
        let probe = |number: u32| {
            let path = folder.join(format!(".tick-{number}"));
            fs::write(&path, "").unwrap();
            changed_at(&fs::metadata(path).unwrap())
        };
        let first = probe(0);
        assert!((1..1_000_000).any(|number| probe(number % 2) > first), "the file system's clock stands");
    }

    #[test]
    fn what_was_renamed_or_linked_into_place_came_whole_and_what_is_being_written_did_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join("m").join(name);
        write(&at("1/model.onnx"), "in place");
        write(&at(".staged/model.onnx"), "all of it");
        write(&at(".elsewhere/model.onnx"), "all of it");
        next_tick(root.path());
        fs::rename(at(".staged"), at("2")).unwrap();
        symlink(".elsewhere", at("3")).unwrap();
        let look = folder(root.path());
        let came_whole: Vec<_> = look.versions.values().map(|version| version.came_whole).collect();
        assert_eq!(came_whole, [false, true, true]);

        next_tick(root.path());
        write(&at("2/model.onnx"), "and then overwritten");
        assert!(!folder(root.path()).versions[&2].came_whole);
    }
}
