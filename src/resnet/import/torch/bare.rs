//! A bare pickle with NumPy arrays in it: the models of Caffe2's and Detectron's zoos.

use std::fs::File;
use std::io::Read;

use super::checkpoint;
use super::pickle;
use super::tensors::WantedTensors;
use crate::resnet::import::error::Reason;
use crate::resnet::import::raw_file::RawFile;
use crate::resnet::import::values::Budget;
use crate::resnet::state_dict::StateDict;

const FORMAT: &str = "pickle";

/// The largest such file that is read; a ResNet-152 has 240 MB.
const MAX_BYTES: u64 = 1 << 30;

/// Reads the state dict that the file holds, at `key` where there are several.
pub(in super::super) fn read(file: File, key: Option<&str>) -> Result<RawFile, Reason> {
    let unsupported = |what| Reason::Unsupported { what, remedy: super::RESAVE };
    if file.metadata()?.len() > MAX_BYTES {
        return Err(unsupported("a bare Python pickle of more than a gigabyte"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let graph = pickle::read(&bytes).map_err(|error| Reason::damaged(FORMAT, error.to_string()))?;
    let (views, part) = match checkpoint::state_dict(&graph, key) {
        Ok(found) => found,
        Err(Reason::NoStateDict { .. }) => return Err(unsupported("a bare Python pickle without NumPy arrays")),
        Err(reason) => return Err(reason),
    };
    let mut wanted = WantedTensors::of(views);
    let mut state_dict = StateDict::default();
    wanted.read_arrays(&graph, &mut Budget::new(), &mut state_dict)?;
    if !wanted.by_home.is_empty() {
        return Err(unsupported("a bare Python pickle whose tensors are elsewhere"));
    }
    Ok(RawFile { part, ..wanted.into_raw(state_dict) })
}
