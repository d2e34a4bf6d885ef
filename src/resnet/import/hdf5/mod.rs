//! HDF5 as `h5py` writes it by default, which is how Keras keeps weights: groups in groups, arrays in one piece.
//!
//! The format is a large one. Read here is its first form of superblocks, headers and groups, and arrays that are neither cut into
//! pieces nor packed; the rest is refused with the way to save the file again. Knows no network.

mod group;
mod object;
mod window;

use std::collections::BTreeSet;

use super::error::Reason;
use super::values::{Budget, Dtype, count_of};
use object::{Data, Number, Object};
pub(super) use window::Window;

const FORMAT: &str = "HDF5";

/// Keras nests a layer in a model in a model; each object is looked at once.
const MAX_DEPTH: usize = 16;
const MAX_OBJECTS: usize = 1 << 17;

/// An array of the file.
#[derive(Debug)]
pub(super) struct Array {
    /// The names of the groups around it, and its own.
    pub(super) path: Vec<String>,
    /// What the group that it is in calls itself (its attribute `name`).
    pub(super) label: Option<String>,
    pub(super) shape: Vec<usize>,
    dtype: Result<Dtype, String>,
    address: Option<u64>,
}

impl Array {
    /// Why it holds no weights, in the file's words.
    pub(super) fn other(&self) -> Option<&str> {
        self.dtype.as_ref().err().map(String::as_str)
    }

    /// Its values, the last index fastest.
    pub(super) fn read(&self, window: &mut Window, budget: &mut Budget) -> Result<Vec<f32>, Reason> {
        let name = self.path.join("/");
        let damaged = |what: String| Reason::damaged(FORMAT, format!("array {name}: {what}"));
        let dtype = self.dtype.clone().map_err(|dtype| Reason::Dtype { name: name.clone(), dtype })?;
        let count = count_of(&self.shape).ok_or_else(|| damaged(format!("shape {:?}", self.shape)))?;
        let address = self.address.ok_or_else(|| damaged("it was never written".to_owned()))?;
        window.values(address, dtype, count, budget)
    }
}

/// Another form of the format than the one that is read.
fn other_form() -> Reason {
    Reason::Unsupported {
        what: "an HDF5 file of a form that Keras does not write",
        remedy: "save it again as Keras does: model.save_weights(\"mine.weights.h5\"), or with h5py without libver and compression; \
                 a Chainer model with chainer.serializers.save_npz",
    }
}

/// Every array of the file but those below the groups of its root for which `is_of_training` holds.
pub(super) fn arrays(window: &mut Window, is_of_training: impl Fn(&str) -> bool) -> Result<Vec<Array>, Reason> {
    let mut arrays = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(root(window)?, Vec::<String>::new(), None::<String>)];
    while let Some((address, path, label)) = open.pop() {
        if path.len() > MAX_DEPTH || seen.len() > MAX_OBJECTS {
            return Err(Reason::damaged(FORMAT, format!("groups without end at {}", path.join("/"))));
        }
        // A second name of an object is a link to it.
        if !seen.insert(address) {
            continue;
        }
        let object = Object::read(window, address)?;
        if let Some((tree, heap)) = object.group {
            for (name, member) in group::members(window, tree, heap)? {
                if path.is_empty() && is_of_training(&name) {
                    continue;
                }
                open.push((member, [&path[..], &[name]].concat(), object.label.clone()));
            }
        } else if let (Some(shape), Some(number), Some(data)) = (object.shape, object.number, object.data) {
            let dtype = match number {
                Number::Float(dtype) => Ok(dtype),
                Number::Other(words) => Err(words),
            };
            match data {
                Data::At(address) => arrays.push(Array { path, label, shape, dtype, address }),
                Data::Otherwise if dtype.is_ok() => return Err(other_form()),
                Data::Otherwise => {}
            }
        }
    }
    Ok(arrays)
}

/// The address of the root group, from the superblock.
fn root(window: &mut Window) -> Result<u64, Reason> {
    let block = window.piece(0, 96)?;
    match block[..] {
        // Version 0 or 1, and addresses and lengths of 8 bytes.
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', version @ (0 | 1), _, _, _, _, 8, 8, ..] => {
            // The second version has four bytes more in its middle. Then: where addresses count from, free space, the end, a
            // driver, and the root's entry, in which its name's place comes first.
            let mut fields = window::Fields(&block[if version == 0 { 24 } else { 28 }..]);
            let mut next = || fields.number(8).ok_or_else(|| Reason::damaged(FORMAT, "no superblock"));
            let (base, _, end, _, _, root) = (next()?, next()?, next()?, next()?, next()?, next()?);
            if base != 0 {
                return Err(other_form());
            }
            if end > window.bytes() {
                return Err(Reason::damaged(FORMAT, format!("{} bytes of {end}", window.bytes())));
            }
            Ok(root)
        }
        [0x89, b'H', b'D', b'F', ..] => Err(other_form()),
        _ => Err(Reason::damaged(FORMAT, "no superblock")),
    }
}
