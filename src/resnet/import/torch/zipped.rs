//! The zip archive that `torch.save` writes since PyTorch 1.6: `NAME/data.pkl`, and `NAME/data/KEY`, one entry a storage.

use super::checkpoint::{self, Home};
use super::tensors::{WantedTensors, hand_out};
use super::{FORMAT, MAX_PICKLE_BYTES, pickle};
use crate::resnet::import::archive::Archive;
use crate::resnet::import::error::Reason;
use crate::resnet::import::raw_file::RawFile;
use crate::resnet::import::values::{Budget, Dtype};
use crate::resnet::state_dict::StateDict;

/// Whether the archive's entries are those of `torch.save` (or of TorchScript).
pub(in super::super) fn is_torch(names: &[String]) -> bool {
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

/// Reads the state dict that the archive holds, at `key` where there are several.
pub(in super::super) fn read(mut archive: Archive, key: Option<&str>) -> Result<RawFile, Reason> {
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
        return Err(Reason::big_endian());
    }
    let pickle = archive.bytes(&format!("{folder}data.pkl"), MAX_PICKLE_BYTES)?;
    let graph = pickle::read(&pickle).map_err(|error| Reason::damaged(FORMAT, error.to_string()))?;
    let (views, part) = checkpoint::state_dict(&graph, key)?;

    let mut wanted = WantedTensors::of(views);
    let (mut budget, mut state_dict) = (Budget::new(), StateDict::default());
    wanted.read_arrays(&graph, &mut budget, &mut state_dict)?;
    for ((home, dtype), views) in std::mem::take(&mut wanted.by_home) {
        let Home::Storage(key) = home else { continue };
        let storage = read_storage(&mut archive, &format!("{folder}data/{key}"), dtype, &mut budget)?;
        hand_out(storage, views, &mut budget, &mut state_dict)?;
    }
    Ok(RawFile { part, ..wanted.into_raw(state_dict) })
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
