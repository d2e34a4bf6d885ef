//! `.pth` and `.pt`: the zip archive of `torch.save`, read without executing anything.
//!
//! `NAME/data.pkl` is a pickle that describes a graph of objects ([`pickle`]); [`checkpoint`] finds the state dict in it;
//! the numbers lie in `NAME/data/KEY`, one entry a storage, and each tensor is a strided view of one.

mod checkpoint;
mod pickle;

use std::collections::BTreeMap;

use super::archive::Archive;
use super::error::Reason;
use super::raw_file::RawFile;
use super::values::{Budget, Dtype, gather};
use crate::resnet::state_dict::{StateDict, Weight, is_counter};
use checkpoint::TensorView;

pub(super) const FORMAT: &str = "PyTorch";

/// The pickle of a ResNet-152 has 110 KB, that of a checkpoint with its optimizer not much more.
const MAX_PICKLE_BYTES: u64 = 1 << 25;

/// Whether the archive's entries are those of `torch.save` (or of TorchScript).
pub(super) fn is_torch(names: &[String]) -> bool {
    folder(names).is_some()
}

/// `NAME/` of `NAME/data.pkl`.
fn folder(names: &[String]) -> Option<&str> {
    names
        .iter()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        .min_by_key(|folder| folder.len())
}

/// Reads the state dict that the archive holds.
pub(super) fn read(mut archive: Archive) -> Result<RawFile, Reason> {
    let names = archive.names();
    let folder = folder(&names).ok_or_else(|| Reason::damaged(FORMAT, "no data.pkl"))?;
    let has = |entry: &str| names.iter().any(|name| name.strip_prefix(folder) == Some(entry));
    if has("constants.pkl") {
        return Err(Reason::Unsupported {
            what: "a TorchScript program",
            remedy: "save the weights alone: torch.save(torch.jit.load(FILE).state_dict(), \"weights.pth\")",
        });
    }
    if has("byteorder") && archive.bytes(&format!("{folder}byteorder"), 16)?.trim_ascii() != b"little" {
        return Err(Reason::Unsupported {
            what: "a PyTorch file written on a big-endian machine",
            remedy: "load it and save it again on a little-endian one",
        });
    }
    let pickle = archive.bytes(&format!("{folder}data.pkl"), MAX_PICKLE_BYTES)?;
    let graph = pickle::read(&pickle).map_err(|error| Reason::damaged(FORMAT, error.to_string()))?;
    let views = checkpoint::state_dict(&graph)?;
    let state_dict = read_tensors(&mut archive, folder, views)?;
    Ok(RawFile { state_dict, metadata: BTreeMap::new() })
}

/// Reads each storage once, whatever number of tensors look into it.
fn read_tensors(archive: &mut Archive, folder: &str, views: Vec<(String, TensorView)>) -> Result<StateDict, Reason> {
    let mut by_storage: BTreeMap<(String, Dtype), Vec<(String, TensorView)>> = BTreeMap::new();
    for (name, view) in views {
        if is_counter(&name) {
            continue;
        }
        let Some(dtype) = view.dtype.float() else {
            return Err(Reason::Dtype { name, dtype: view.dtype.to_string() });
        };
        by_storage.entry((view.storage.clone(), dtype)).or_default().push((name, view));
    }

    let mut budget = Budget::new();
    let mut state_dict = StateDict::default();
    for ((key, dtype), views) in by_storage {
        let mut storage = read_storage(archive, &format!("{folder}data/{key}"), dtype, &mut budget)?;
        let is_shared = views.len() > 1;
        for (name, view) in views {
            let data = if !is_shared && view.is_whole(storage.len()) {
                std::mem::take(&mut storage)
            } else {
                gather(&storage, view.offset, &view.shape, &view.strides, &mut budget).ok_or_else(|| {
                    let (shape, length) = (&view.shape, storage.len());
                    Reason::damaged(FORMAT, format!("tensor {name} of shape {shape:?} leaves its storage of {length}"))
                })??
            };
            state_dict.tensors.insert(name, Weight { shape: view.shape, data });
        }
    }
    Ok(state_dict)
}

fn read_storage(archive: &mut Archive, entry: &str, dtype: Dtype, budget: &mut Budget) -> Result<Vec<f32>, Reason> {
    let damaged = |what: String| Reason::damaged(FORMAT, format!("storage {entry}: {what}"));
    let mut reader = archive.entry(entry)?;
    let (bytes, size) = (reader.size(), dtype.size() as u64);
    if !bytes.is_multiple_of(size) {
        return Err(damaged(format!("{bytes} bytes are no whole number of {size}-byte values")));
    }
    let told = |reason| match reason {
        Reason::Io(error) => damaged(error.to_string()),
        reason => reason,
    };
    let values = budget.read(&mut reader, dtype, bytes / size).map_err(told)?;
    // Read to the end: only then does the archive compare its checksum.
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(|error| damaged(error.to_string()))?;
    Ok(values)
}
