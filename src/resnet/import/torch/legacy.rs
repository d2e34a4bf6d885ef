//! What `torch.save` wrote before PyTorch 1.6: five pickles (a magic number, a version, the machine, the object, the keys of
//! the storages), then each storage: its length in values, eight bytes, and the values.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use super::checkpoint::{self, Home};
use super::pickle::{self, Graph, Node};
use super::tensors::{WantedTensors, hand_out};
use super::{FORMAT, MAX_PICKLE_BYTES};
use crate::resnet::import::error::Reason;
use crate::resnet::import::raw_file::RawFile;
use crate::resnet::import::values::Budget;
use crate::resnet::state_dict::StateDict;

/// Reads the state dict that the file holds, at `key` where there are several.
pub(in super::super) fn read(mut file: File, key: Option<&str>) -> Result<RawFile, Reason> {
    let mut start = Vec::new();
    file.by_ref().take(MAX_PICKLE_BYTES).read_to_end(&mut start)?;
    let mut at = 0;
    let mut next = || {
        let (graph, length) = pickle::read_first(&start[at..]).map_err(|error| damaged(error.to_string()))?;
        at += length;
        Ok::<_, Reason>(graph)
    };
    let (_magic, _version, machine, graph, list) = (next()?, next()?, next()?, next()?, next()?);
    if is_big_endian(&machine) {
        return Err(Reason::big_endian());
    }
    let Node::List(keys) = list.node(list.root) else { return Err(damaged("it has no list of storages")) };
    let (views, part) = checkpoint::state_dict(&graph, key)?;
    let types = checkpoint::storages(&graph);

    let mut wanted = WantedTensors::of(views);
    let (mut budget, mut state_dict) = (Budget::new(), StateDict::default());
    wanted.read_arrays(&graph, &mut budget, &mut state_dict)?;
    file.seek(SeekFrom::Start(at as u64))?;
    let mut reader = BufReader::new(file);
    for &key in keys {
        let key = list.text(key).ok_or_else(|| damaged("the key of a storage is no text"))?;
        if wanted.by_home.is_empty() {
            break;
        }
        let mut length = [0; 8];
        reader.read_exact(&mut length).map_err(|error| cut(key, error))?;
        let length = u64::from_le_bytes(length);
        let group = wanted.by_home.keys().find(|(home, _)| matches!(home, Home::Storage(storage) if storage == key));
        match group.cloned() {
            Some(group) => {
                let views = wanted.by_home.remove(&group).unwrap_or_default();
                let told = |reason| if let Reason::Io(error) = reason { cut(key, error) } else { reason };
                let storage = budget.read(&mut reader, group.1, length).map_err(told)?;
                hand_out(storage, views, &mut budget, &mut state_dict)?;
            }
            None => {
                let size = types.get(key).and_then(|kind| kind.bytes());
                let bytes = size.and_then(|size| i64::try_from(length.checked_mul(size)?).ok());
                let bytes =
                    bytes.ok_or_else(|| damaged(format!("storage {key} has {length} values of no known type")))?;
                reader.seek_relative(bytes)?;
            }
        }
    }
    match wanted.by_home.keys().next() {
        Some((Home::Storage(key), _)) => Err(damaged(format!("storage {key} is not in it"))),
        _ => Ok(RawFile { part, ..wanted.into_raw(state_dict) }),
    }
}

/// What the machine that wrote the file was, as it says.
fn is_big_endian(machine: &Graph<'_>) -> bool {
    let Node::Dict(items) = machine.node(machine.root) else { return false };
    let order = items.iter().find(|&&(key, _)| machine.text(key) == Some("little_endian"));
    order.is_some_and(|&(_, value)| matches!(machine.node(value), Node::Bool(false)))
}

fn damaged(what: impl Into<String>) -> Reason {
    Reason::damaged(FORMAT, what)
}

fn cut(storage: &str, error: std::io::Error) -> Reason {
    match error.kind() {
        ErrorKind::UnexpectedEof => damaged(format!("it ends in storage {storage}")),
        _ => error.into(),
    }
}
