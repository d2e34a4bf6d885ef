//! Weights in files beside the model's: where they are, whether they may be read, and reading them.
//!
//! A tensor can hide in more places than among the weights: in an attribute, a branch, a function, a sparse tensor. A
//! name in any of them that leads out of the model's folder would make an engine read, and perhaps show, a file that is
//! none of its business; so all are looked at before an engine gets the graph.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto,
    proto::{SparseTensorProto, tensor_proto::DataLocation},
    read_error::{LFS_POINTER, ReadError},
};
use crate::files;

/// The files beside the model that weights are kept in, each once.
pub fn external_locations(model: &ModelProto) -> BTreeSet<&str> {
    let mut locations = BTreeSet::new();
    each_external(model, &mut |tensor| {
        locations.extend(entry(tensor, "location"));
    });
    locations
}

/// Whether everything that the model keeps in other files is there, inside `folder`, and large enough. Opens them, and reads
/// no weights. Without a folder nothing may be kept elsewhere.
///
/// # Errors
/// [`ReadError::External`] for the first that is not.
pub fn check_external(model: &ModelProto, folder: Option<&Path>) -> Result<(), ReadError> {
    let mut refusal = None;
    let mut sizes: HashMap<String, u64> = HashMap::new();
    each_external(model, &mut |tensor| {
        if refusal.is_none() {
            refusal = check(tensor, folder, &mut sizes).err();
        }
    });
    refusal.map_or(Ok(()), Err)
}

fn check(tensor: &TensorProto, folder: Option<&Path>, sizes: &mut HashMap<String, u64>) -> Result<(), ReadError> {
    let place = Place::of(tensor)?;
    let size = match sizes.get(&place.location) {
        Some(&size) => size,
        None => {
            let path = place.path(folder)?;
            let size = files::open(&path).and_then(|file| file.metadata()).map_err(|cause| place.unread(&cause))?.len();
            sizes.insert(place.location.clone(), size);
            size
        }
    };
    place.range(size, folder).map(drop)
}

/// Reads everything that the model keeps in other files in `folder` into it.
///
/// # Errors
/// [`ReadError::External`].
pub(super) fn load_external(model: &mut ModelProto, folder: &Path) -> Result<(), ReadError> {
    check_external(model, Some(folder))?;
    let mut files = HashMap::new();
    for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        if tensor.data_location() == DataLocation::External {
            load(tensor, folder, &mut files)?;
        }
    }
    let mut left = None;
    each_external(model, &mut |tensor| left = left.take().or(Some(tensor.name.clone())));
    match left {
        None => Ok(()),
        // Exporters do not do that, and an engine would look for the file in another folder.
        Some(tensor) => Err(ReadError::External {
            tensor,
            location: String::new(),
            reason: "only weights may lie in other files, not values inside nodes; save it again with onnx.save".into(),
        }),
    }
}

/// A tensor with its values: those of a file beside the model's are read, and nothing else of the file.
///
/// # Errors
/// [`ReadError::External`].
pub(super) fn with_values(tensor: &TensorProto, folder: Option<&Path>) -> Result<TensorProto, ReadError> {
    let mut tensor = tensor.clone();
    if tensor.data_location() != DataLocation::External {
        return Ok(tensor);
    }
    let place = Place::of(&tensor)?;
    let unread = |cause| place.unread(&cause);
    let mut file = files::open(&place.path(folder)?).map_err(unread)?;
    let range = place.range(file.metadata().map_err(unread)?.len(), folder)?;
    let mut values = vec![0; range.len()];
    file.seek(SeekFrom::Start(range.start as u64)).and_then(|_| file.read_exact(&mut values)).map_err(unread)?;
    tensor.raw_data = values.into();
    tensor.external_data.clear();
    tensor.set_data_location(DataLocation::Default);
    Ok(tensor)
}

fn load(tensor: &mut TensorProto, folder: &Path, files: &mut HashMap<String, Bytes>) -> Result<(), ReadError> {
    let place = Place::of(tensor)?;
    let file = match files.get(&place.location) {
        Some(file) => file.clone(),
        None => {
            let path = place.path(Some(folder))?;
            let bytes = Bytes::from(files::read(&path, u64::MAX).map_err(|cause| place.unread(&cause))?);
            files.insert(place.location.clone(), bytes.clone());
            bytes
        }
    };
    let range = place.range(file.len() as u64, Some(folder))?;
    tensor.raw_data = file.slice(range);
    tensor.external_data.clear();
    tensor.set_data_location(DataLocation::Default);
    Ok(())
}

/// Where a tensor's values are.
struct Place {
    tensor: String,
    location: String,
    offset: usize,
    length: Option<usize>,
}

impl Place {
    fn of(tensor: &TensorProto) -> Result<Self, ReadError> {
        let location = entry(tensor, "location").unwrap_or_default().to_owned();
        let mut place = Self { tensor: tensor.name.clone(), location, offset: 0, length: None };
        let number = |key: &str| match entry(tensor, key) {
            None => Ok(None),
            Some(text) => {
                text.parse::<usize>().map(Some).map_err(|_| place.refused(format!("{key} {text:?} is no number")))
            }
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        (place.offset, place.length) = (offset, length);
        Ok(place)
    }

    fn refused(&self, reason: String) -> ReadError {
        ReadError::External { tensor: self.tensor.clone(), location: self.location.clone(), reason }
    }

    fn unread(&self, cause: &std::io::Error) -> ReadError {
        self.refused(match cause.kind() {
            std::io::ErrorKind::NotFound => "there is no such file; put it beside the model's".to_owned(),
            _ => cause.to_string(),
        })
    }

    /// The file, inside the model's folder.
    fn path(&self, folder: Option<&Path>) -> Result<PathBuf, ReadError> {
        let Some(folder) = folder else {
            return Err(self.refused("a model that is no file has no files beside it".to_owned()));
        };
        if self.location.is_empty() {
            return Err(self.refused("it must be a file in the model's own folder".to_owned()));
        }
        files::inside(folder, Path::new(&self.location)).map_err(|cause| self.unread(&cause))
    }

    /// Its bytes within a file of `size`.
    fn range(&self, size: u64, folder: Option<&Path>) -> Result<std::ops::Range<usize>, ReadError> {
        let (offset, size) = (self.offset, usize::try_from(size).unwrap_or(usize::MAX));
        let end = self.length.map_or(Some(size), |length| offset.checked_add(length));
        match end {
            Some(end) if offset <= end && end <= size => Ok(offset..end),
            _ if self.is_lfs_pointer(folder) => {
                Err(self.refused("that is a Git LFS pointer, not the weights: run `git lfs pull`".to_owned()))
            }
            _ => {
                let length = self.length;
                Err(self.refused(format!("it has {size} bytes, too few for offset {offset}, length {length:?}")))
            }
        }
    }

    fn is_lfs_pointer(&self, folder: Option<&Path>) -> bool {
        let mut start = [0; LFS_POINTER.len()];
        let file = self.path(folder).ok().and_then(|path| File::open(path).ok());
        file.is_some_and(|mut file| file.read_exact(&mut start).is_ok() && start == *LFS_POINTER)
    }
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

/// Shows every tensor of the file that is kept elsewhere, wherever it hides.
fn each_external<'a>(model: &'a ModelProto, visit: &mut dyn FnMut(&'a TensorProto)) {
    let training = model.training_info.iter().flat_map(|info| info.initialization.iter().chain(&info.algorithm));
    model.graph.iter().chain(training).for_each(|graph| in_graph(graph, visit));
    model.functions.iter().for_each(|function| in_nodes(&function.node, visit));
}

fn in_graph<'a>(graph: &'a GraphProto, visit: &mut dyn FnMut(&'a TensorProto)) {
    graph.initializer.iter().for_each(|tensor| shown(tensor, visit));
    graph.sparse_initializer.iter().for_each(|sparse| in_sparse(sparse, visit));
    in_nodes(&graph.node, visit);
}

// A file's messages are nested a hundred deep at most, or it is not decoded.
fn in_nodes<'a>(nodes: &'a [NodeProto], visit: &mut dyn FnMut(&'a TensorProto)) {
    for attribute in nodes.iter().flat_map(|node| &node.attribute) {
        let AttributeProto { t, tensors, g, graphs, sparse_tensor, sparse_tensors, .. } = attribute;
        t.iter().chain(tensors).for_each(|tensor| shown(tensor, visit));
        sparse_tensor.iter().chain(sparse_tensors).for_each(|sparse| in_sparse(sparse, visit));
        g.iter().chain(graphs).for_each(|graph| in_graph(graph, visit));
    }
}

fn in_sparse<'a>(sparse: &'a SparseTensorProto, visit: &mut dyn FnMut(&'a TensorProto)) {
    sparse.values.iter().chain(&sparse.indices).for_each(|tensor| shown(tensor, visit));
}

fn shown<'a>(tensor: &'a TensorProto, visit: &mut dyn FnMut(&'a TensorProto)) {
    if tensor.data_location() == DataLocation::External {
        visit(tensor);
    }
}
