//! From views to tensors: each storage is read once, whatever number of tensors look into it.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::FORMAT;
use super::checkpoint::{Home, NamedViews};
use super::pickle::Graph;
use crate::resnet::import::error::Reason;
use crate::resnet::import::raw_file::RawFile;
use crate::resnet::import::values::{Budget, Dtype, gather};
use crate::resnet::state_dict::{StateDict, Weight, is_counter};

/// The views of a state dict by where their numbers are.
#[derive(Default)]
pub(super) struct WantedTensors {
    pub(super) by_home: BTreeMap<(Home, Dtype), NamedViews>,
    others: BTreeMap<String, String>,
}

impl WantedTensors {
    pub(super) fn of(views: NamedViews) -> Self {
        let mut wanted = Self::default();
        for (name, view) in views {
            match view.dtype.float() {
                _ if is_counter(&name) => {}
                Some(dtype) => wanted.by_home.entry((view.home.clone(), dtype)).or_default().push((name, view)),
                None => drop(wanted.others.insert(name, view.dtype.to_string())),
            }
        }
        wanted
    }

    /// Reads the arrays that stand in the pickle itself; then the rest is in storages outside it.
    pub(super) fn read_arrays(
        &mut self,
        graph: &Graph<'_>,
        budget: &mut Budget,
        into: &mut StateDict,
    ) -> Result<(), Reason> {
        let (outside, inside) =
            std::mem::take(&mut self.by_home).into_iter().partition(|((home, _), _)| matches!(home, Home::Storage(_)));
        self.by_home = outside;
        for ((home, dtype), views) in inside {
            let Home::Inside(place) = home else { continue };
            let bytes =
                place.bytes(graph).ok_or_else(|| Reason::damaged(FORMAT, "an array whose bytes are no bytes"))?;
            let (length, size) = (bytes.len() as u64, dtype.size() as u64);
            if !length.is_multiple_of(size) {
                return Err(Reason::damaged(
                    FORMAT,
                    format!("{length} bytes are no whole number of {size}-byte values"),
                ));
            }
            let values = budget.read(&mut Cursor::new(bytes), dtype, length / size)?;
            hand_out(values, views, budget, into)?;
        }
        Ok(())
    }

    /// What was read, with what could not be.
    pub(super) fn into_raw(self, state_dict: StateDict) -> RawFile {
        RawFile { state_dict, others: self.others, ..RawFile::default() }
    }
}

/// Gives each of `views` its part of the storage that they share.
pub(super) fn hand_out(
    mut storage: Vec<f32>,
    views: NamedViews,
    budget: &mut Budget,
    into: &mut StateDict,
) -> Result<(), Reason> {
    let is_shared = views.len() > 1;
    for (name, view) in views {
        let data = if !is_shared && view.is_whole(storage.len()) {
            std::mem::take(&mut storage)
        } else {
            gather(&storage, view.offset, &view.shape, &view.strides, budget).ok_or_else(|| {
                let (shape, length) = (&view.shape, storage.len());
                Reason::damaged(FORMAT, format!("tensor {name} of shape {shape:?} leaves its storage of {length}"))
            })??
        };
        into.tensors.insert(name, Weight { shape: view.shape, data });
    }
    Ok(())
}
