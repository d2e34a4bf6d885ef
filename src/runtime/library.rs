//! Where ONNX Runtime's shared library is, and what to do when it is not there.
//!
//! The search order is part of the contract: `ORT_DYLIB_PATH`, beside the binary, then where `make` puts it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The environment variable that names the library and ends the search.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The folder that `make runtime` fills, at the top of a checkout.
const MAKE_FOLDER: &str = ".runtime";

const REMEDY: &str = "`make runtime` fetches it; or set ORT_DYLIB_PATH to libonnxruntime.so of version 1.31 or newer \
                      (it is inside the Python wheel `onnxruntime`)";

/// Why there is no ONNX Runtime.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// `ORT_DYLIB_PATH` is set to something that is not there.
    #[error("{LIBRARY_VARIABLE} is set to {path}, and there is no such file: unset it or correct it")]
    Named {
        /// The variable's value.
        path: PathBuf,
    },
    /// Nothing found.
    #[error("ONNX Runtime's library was not found (looked in {}): {REMEDY}", join(looked_in))]
    Missing {
        /// The folders that were searched.
        looked_in: Vec<PathBuf>,
    },
    /// It does not load, or it is too old.
    #[error("ONNX Runtime at {path} cannot be used: {cause}. {REMEDY}")]
    Unusable {
        /// The file that was tried.
        path: PathBuf,
        /// What the loader said.
        cause: String,
    },
}

fn join(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Finds the library.
///
/// # Errors
/// [`LibraryError::Named`] and [`LibraryError::Missing`], each with the remedy.
pub(super) fn find() -> Result<PathBuf, LibraryError> {
    if let Some(named) = env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        return if path.is_file() { Ok(path) } else { Err(LibraryError::Named { path }) };
    }
    let looked_in = folders();
    match looked_in.iter().find_map(|folder| newest_in(folder)) {
        Some(path) => Ok(path),
        None => Err(LibraryError::Missing { looked_in }),
    }
}

/// The folders to look in, in order: the binary's own, its `lib` neighbours, and `.runtime` of a checkout around it.
pub(super) fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(home) = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf)) {
        folders.extend([home.clone(), home.join("lib"), home.join("../lib")]);
        folders.extend(home.ancestors().map(|above| above.join(MAKE_FOLDER)).filter(|folder| folder.is_dir()));
    }
    let here = PathBuf::from(MAKE_FOLDER);
    if here.is_dir() {
        folders.push(here);
    }
    folders
}

/// `libonnxruntime.so`, `.so.1.31.1` or `.1.31.1.dylib`: the highest version; any version wins over a bare link.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| Some((version(path.file_name()?.to_str()?)?, path)))
        .filter(|(_, path)| path.is_file())
        .max()
        .map(|(_, path)| path)
}

/// The version in the name of ONNX Runtime's library, empty where there is none; `None` for any other file.
fn version(name: &str) -> Option<Vec<u64>> {
    let rest = name.strip_prefix("libonnxruntime.")?;
    let version = match rest.strip_suffix("dylib") {
        Some(version) => version.trim_end_matches('.'),
        None => rest.strip_prefix("so")?.strip_prefix('.').unwrap_or(&rest[2..]),
    };
    // As numbers: 1.31 comes after 1.9.
    version.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1", "libonnxruntime.so.1.31.1.bak"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("libonnxruntime.so.2")).unwrap();
        assert_eq!(newest_in(folder.path()).unwrap(), folder.path().join("libonnxruntime.so.1.31.1"));
        assert_eq!(version("libonnxruntime.1.9.0.dylib"), Some(vec![1, 9, 0]));
        assert_eq!((version("libonnxruntime.so"), version("libonnxruntime.dylib")), (Some(vec![]), Some(vec![])));
        for other in ["libonnxruntime_providers_shared.so", "libonnxruntime.sol", "libonnxruntime.so.txt", "libx.so"] {
            assert_eq!(version(other), None, "{other}");
        }
    }

    #[test]
    fn the_versioned_library_wins_and_providers_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so", "libonnxruntime.so.1.31.1", "libonnxruntime_providers_shared.so"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest_in(folder.path()).unwrap(), folder.path().join("libonnxruntime.so.1.31.1"));
    }
}
