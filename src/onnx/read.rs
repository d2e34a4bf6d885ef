//! Reading an ONNX file, with its weights wherever they lie.
//!
//! A file can be anything that somebody downloaded: every size in it is checked against what is there.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use prost::Message;

use super::{ModelProto, TensorProto, proto::tensor_proto::DataLocation};
use crate::files;

/// The most bytes that an ONNX file can have: protobuf's limit. Larger weights lie in files beside it.
pub const LARGEST_FILE: u64 = (1 << 31) - 1;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The bytes are no protobuf message of this kind.
    #[error("this is no ONNX file, or it is cut short or damaged ({reason}); get it again or export it again")]
    Corrupt {
        /// What was wrong, and where.
        reason: String,
    },
    /// The weights are in another file that cannot be used.
    #[error("tensor {tensor:?} keeps its values in {location:?}: {reason}")]
    External {
        /// The tensor.
        tensor: String,
        /// The file that it names.
        location: String,
        /// Why that did not work.
        reason: String,
    },
}

/// Reads the model at `path`, and the weights that it keeps in files beside it.
///
/// # Errors
/// [`ReadError`]; a weight file outside the model's own folder is refused.
pub fn read(path: &Path) -> Result<ModelProto, ReadError> {
    let mut model = read_graph(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = HashMap::new();
    for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        if tensor.data_location() == DataLocation::External {
            load_external(tensor, folder, &mut files)?;
        }
    }
    Ok(model)
}

/// Reads the model at `path` and leaves weights that it keeps in other files there, marked as external.
///
/// # Errors
/// [`ReadError`].
pub fn read_graph(path: &Path) -> Result<ModelProto, ReadError> {
    let bytes = files::read(path, LARGEST_FILE).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    decode(Bytes::from(bytes))
}

/// Decodes a model. Weights stay slices of `bytes`; those in other files stay there, marked as external.
///
/// # Errors
/// [`ReadError::Corrupt`].
pub fn decode(bytes: Bytes) -> Result<ModelProto, ReadError> {
    let model = ModelProto::decode(bytes).map_err(|cause| ReadError::Corrupt { reason: cause.to_string() })?;
    // Protobuf messages carry no signature, so an empty or foreign file may decode to a message without content.
    let has_nodes = model.graph.as_ref().is_some_and(|graph| !graph.node.is_empty());
    if model.ir_version <= 0 || !has_nodes {
        return Err(ReadError::Corrupt { reason: "it has no graph".into() });
    }
    Ok(model)
}

/// The files beside the model that weights are kept in, each once.
pub fn external_locations(model: &ModelProto) -> BTreeSet<&str> {
    let tensors = model.graph.iter().flat_map(|graph| &graph.initializer);
    let external = tensors.filter(|tensor| tensor.data_location() == DataLocation::External);
    let locations = external.filter_map(|tensor| tensor.external_data.iter().find(|entry| entry.key == "location"));
    locations.map(|entry| entry.value.as_str()).collect()
}

fn load_external(tensor: &mut TensorProto, folder: &Path, files: &mut HashMap<String, Bytes>) -> Result<(), ReadError> {
    let entry =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let location = entry("location").unwrap_or_default().to_owned();
    let fail = |reason: String| ReadError::External { tensor: tensor.name.clone(), location: location.clone(), reason };
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| fail(format!("{key} {text:?} is no number"))),
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);

    let inside = !location.is_empty() && Path::new(&location).components().all(|c| matches!(c, Component::Normal(_)));
    if !inside {
        return Err(fail("it must be a file in the model's own folder".into()));
    }
    let file = match files.get(&location) {
        Some(file) => file.clone(),
        None => {
            let place = files::inside(folder, Path::new(&location)).map_err(|cause| fail(cause.to_string()))?;
            let bytes = Bytes::from(files::read(&place, u64::MAX).map_err(|cause| fail(cause.to_string()))?);
            files.insert(location.clone(), bytes.clone());
            bytes
        }
    };
    let end = match length {
        Some(length) => offset.checked_add(length),
        None => Some(file.len()),
    };
    match end {
        Some(end) if offset <= end && end <= file.len() => {
            tensor.raw_data = file.slice(offset..end);
            tensor.external_data.clear();
            tensor.set_data_location(DataLocation::Default);
            Ok(())
        }
        _ => Err(fail(format!("it has {} bytes, too few for offset {offset}, length {length:?}", file.len()))),
    }
}
