//! From anyone's weight file to a state dict with torchvision's names.
//!
//! ```text
//! .safetensors ─┐
//! .pth .pt      ├─▶ RawFile (the file's own names) ─▶ layout ─▶ Imported (torchvision's names, and what follows
//! .npz .pkl     │                                                from whose file it was)
//! .h5 .keras   ─┘
//! ```
//! The format is told by the file's bytes, not by its name. Nothing in a file is ever executed, every length is checked
//! against the file, and memory is bounded whatever the file claims. Must not know architectures: whether the tensors
//! make up a network is for the builder to say.

mod archive;
mod caffe2;
pub mod chainer;
mod error;
mod hdf5;
mod head;
mod hugging_face;
mod keras;
mod layout;
mod npz;
mod number;
mod raw_file;
mod safetensors;
mod torch;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::Variant;
use super::state_dict::StateDict;
pub use error::{ImportError, Reason};
pub use layout::KeyLayout;
use layout::Network;
pub use raw_file::Part;
use raw_file::RawFile;

use crate::files;

/// What follows from the framework that wrote the file, and what the file says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Notes {
    /// The framework's form of the network: the stem's border, the epsilon, the default stride, the preprocessing.
    pub variant: Variant,
    /// `__metadata__` of a `.safetensors` file; a licence is among it if it is stated.
    pub metadata: BTreeMap<String, String>,
}

/// A weight file, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// By torchvision's names; counters (`num_batches_tracked`) are left out.
    pub state_dict: StateDict,
    /// Whose names the file had.
    pub layout: KeyLayout,
    /// What follows from that.
    pub notes: Notes,
    /// Which network of the file it is, where that was a choice.
    pub part: Option<Part>,
    /// Tensors of the file that belong to no network, by their names there.
    pub passed_over: Vec<String>,
}

/// Reads a weight file of any framework that we know.
///
/// # Errors
/// [`ImportError`] with the file and the remedy: unreadable, damaged, a format that only Python can bring back, no
/// ResNet, a relative that we do not build, weights that are no finite numbers.
pub fn read(path: &Path) -> Result<Imported, ImportError> {
    read_part(path, None)
}

/// Reads one of the networks of a weight file: that under `key`, which is a key of a checkpoint or the prefix of names.
///
/// # Errors
/// As [`read`], and where there is none under `key`.
pub fn read_part(path: &Path, key: Option<&str>) -> Result<Imported, ImportError> {
    read_file(path, key).map_err(|reason| ImportError { path: path.to_owned(), reason })
}

fn read_file(path: &Path, key: Option<&str>) -> Result<Imported, Reason> {
    let mut raw = read_format(files::open(path)?, key)?;
    let metadata = std::mem::take(&mut raw.metadata);
    let Network { layout, state_dict, passed_over, part } = layout::to_torchvision(raw, key)?;
    let variant = match layout {
        KeyLayout::Torchvision | KeyLayout::HuggingFace => Variant::PyTorch,
        KeyLayout::Chainer => Variant::Chainer,
        KeyLayout::Caffe2 => Variant::Caffe2,
        KeyLayout::Keras => Variant::Keras,
    };
    Ok(Imported { state_dict, layout, notes: Notes { variant, metadata }, part, passed_over })
}

/// Tells the format by the first bytes.
fn read_format(mut file: File, key: Option<&str>) -> Result<RawFile, Reason> {
    let mut start = Vec::new();
    file.by_ref().take(64).read_to_end(&mut start)?;
    file.rewind()?;
    let unsupported = |what, remedy| Err(Reason::Unsupported { what, remedy });
    match start.as_slice() {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            let archive = archive::Archive::open(file.try_clone()?, npz::FORMAT)?;
            let names = archive.names();
            if torch::is_torch(&names) {
                torch::read_zipped(archive.told_as(torch::FORMAT), key)
            } else if names.iter().any(|name| name == keras::ENTRY) {
                keras::read_archive(file, archive.told_as(".keras"))
            } else {
                npz::read(archive)
            }
        }
        // The number that PyTorch before 1.6 wrote first, as a pickle of its own.
        [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, ..] => torch::read_legacy(file, key),
        [0x80, 2..=5, ..] => torch::read_bare(file, key),
        [0x89, b'H', b'D', b'F', ..] => keras::read(hdf5::FileRange::whole(file)?),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            unsupported("a single NumPy array", "save all of them with numpy.savez")
        }
        start if start.starts_with(b"version https://git-lfs") => {
            unsupported("a Git LFS pointer, not the file itself", "fetch the file with `git lfs pull`")
        }
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(file),
        [] => Err(Reason::UnknownFormat { start: "nothing".to_owned() }),
        start => Err(Reason::UnknownFormat { start: files::hex(&start[..start.len().min(8)]) }),
    }
}
