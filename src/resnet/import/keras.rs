//! Keras' files of weights, and its names for the parts of a ResNet told in torchvision's.
//!
//! A file names a layer in one of two ways: a group called as the layer around arrays called `kernel` or `gamma` (`.h5`, since Keras 2),
//! or a group `vars` around arrays called `0`, `1`, …, whose attribute is the layer's name (`.weights.h5` and `.keras` of Keras 3).
//! `conv3_block1_0_conv/kernel` is the projection of the first module of the second stage. Kernels are `[height, width, inputs,
//! outputs]` there, and every convolution has a bias.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use super::archive::Archive;
use super::error::Reason;
use super::hdf5::{self, Array, Window};
use super::number::number;
use super::raw_file::RawFile;
use super::values::{Budget, gather};
use crate::resnet::state_dict::Weight;

/// The weights' entry of a `.keras` archive.
pub(super) const ENTRY: &str = "model.weights.h5";

/// What a layer's arrays are called.
const FIELDS: [&str; 6] = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"];

/// The layer of a classifier that Keras' own ResNets have.
const HEAD: &str = "predictions";

/// Reads the weights of a `.keras` archive.
pub(super) fn read_archive(file: File, mut archive: Archive) -> Result<RawFile, Reason> {
    let entry = archive.entry(ENTRY)?;
    let (stored, bytes) = (entry.compression() == zip::CompressionMethod::Stored, entry.size());
    let Some(start) = entry.data_start().filter(|_| stored) else {
        let remedy = "save it again with model.save(\"mine.keras\"), which does not pack them";
        return Err(Reason::Unsupported { what: "a .keras file whose weights are packed", remedy });
    };
    drop(entry);
    read(Window::part(file, start, bytes)?)
}

/// Reads the weights of an HDF5 file, in torchvision's order of axes under `LAYER/FIELD`.
pub(super) fn read(mut window: Window) -> Result<RawFile, Reason> {
    let arrays = hdf5::arrays(&mut window, |root| root.starts_with("optimizer"))?;
    let mut raw = RawFile::default();
    let mut budget = Budget::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for (array, name) in named(&arrays)? {
        let place = array.path.join("/");
        if let Some(first) = places.insert(name.clone(), place.clone()) {
            return Err(Reason::Collision { name, first, second: place });
        }
        match array.other() {
            Some(dtype) => drop(raw.others.insert(name, dtype.to_owned())),
            None => {
                let values = array.read(&mut window, &mut budget)?;
                raw.state_dict.tensors.insert(name, turned(&array.shape, values, &mut budget)?);
            }
        }
    }
    rename_head(&mut raw.state_dict.tensors)?;
    Ok(raw)
}

/// Each array with `LAYER/FIELD`.
fn named(arrays: &[Array]) -> Result<Vec<(&Array, String)>, Reason> {
    let is_numbered = |array: &Array| array.path.iter().rev().nth(1).is_some_and(|group| group == "vars");
    let mut layers: BTreeMap<&[String], Vec<&Array>> = BTreeMap::new();
    let mut named = Vec::new();
    for array in arrays {
        let [groups @ .., own] = &array.path[..] else { continue };
        if is_numbered(array) {
            layers.entry(groups).or_default().push(array);
        } else {
            let layer = groups.last().map_or("", String::as_str);
            named.push((array, format!("{layer}/{}", own.strip_suffix(":0").unwrap_or(own))));
        }
    }
    for (groups, arrays) in layers {
        let Some(layer) = &arrays[0].label else {
            return Err(Reason::Unsupported {
                what: "a Keras file that does not name its layers",
                remedy: "load it with Keras 3.4 or newer, and save it again: model.save(\"mine.keras\")",
            });
        };
        let is_norm = arrays.len() == 4 && arrays.iter().all(|array| array.shape.len() == 1);
        let has_kernel = arrays.iter().any(|array| array.shape.len() > 1);
        let fields: &[&str] = match (is_norm, has_kernel) {
            (true, _) => &FIELDS[2..],
            (_, true) => &FIELDS[..2],
            _ => &[],
        };
        for array in arrays {
            let own = groups.len();
            let field = number(&array.path[own]).and_then(|at| fields.get(at)).copied().unwrap_or(&array.path[own]);
            named.push((array, format!("{layer}/{field}")));
        }
    }
    Ok(named)
}

/// Outputs first, then inputs, then the place.
fn turned(shape: &[usize], values: Vec<f32>, budget: &mut Budget) -> Result<Weight, Reason> {
    let (shape, strides) = match *shape {
        [height, width, inputs, outputs] => {
            let row = inputs.saturating_mul(outputs);
            (vec![outputs, inputs, height, width], vec![1, outputs, width.saturating_mul(row), row])
        }
        [inputs, outputs] => (vec![outputs, inputs], vec![1, outputs]),
        _ => return Ok(Weight { shape: shape.to_vec(), data: values }),
    };
    let data = gather(&values, 0, &shape, &strides, budget)
        .ok_or_else(|| Reason::damaged("HDF5", format!("an array of the shape {shape:?}")))??;
    Ok(Weight { shape, data })
}

/// A script's own classifier is called as Keras calls it.
fn rename_head(tensors: &mut BTreeMap<String, Weight>) -> Result<(), Reason> {
    let is_dense = |(name, weight): (&String, &Weight)| {
        let layer = name.strip_suffix("/kernel").filter(|_| weight.shape.len() == 2)?;
        Some(layer.to_owned())
    };
    let layers: BTreeSet<String> = tensors.iter().filter_map(is_dense).collect();
    if layers.len() > 1 {
        let name = layers.iter().map(|layer| format!("{layer}/kernel")).next_back().unwrap_or_default();
        return Err(Reason::Variant { name, variant: "network whose classifier has several layers" });
    }
    for layer in layers {
        for field in ["kernel", "bias"] {
            if let Some(weight) = tensors.remove(&format!("{layer}/{field}")) {
                tensors.insert(format!("{HEAD}/{field}"), weight);
            }
        }
    }
    Ok(())
}

/// Whether a tensor is a layer's weight, and no counter or seed.
pub(super) fn is_weight(name: &str) -> bool {
    name.rsplit_once('/').is_some_and(|(_, field)| FIELDS.contains(&field) || field == "depthwise_kernel")
}

/// The torchvision name of a tensor in Keras' ResNets, or `None` if it is not one of theirs.
pub(super) fn torchvision_name(name: &str) -> Option<String> {
    let (layer, field) = name.split_once('/')?;
    let affine = || match field {
        "kernel" => Some("weight"),
        "bias" => Some("bias"),
        _ => None,
    };
    let norm = || match field {
        "gamma" => Some("weight"),
        "beta" => Some("bias"),
        "moving_mean" => Some("running_mean"),
        "moving_variance" => Some("running_var"),
        _ => None,
    };
    let (own, field) = match layer {
        HEAD => ("fc".to_owned(), affine()?),
        "conv1_conv" => ("conv1".to_owned(), affine()?),
        "conv1_bn" => ("bn1".to_owned(), norm()?),
        _ => {
            let [stage, module, place, kind] = layer.split('_').collect::<Vec<_>>().try_into().ok()?;
            let stage = number(stage.strip_prefix("conv")?).filter(|stage| (2..=5).contains(stage))? - 1;
            let module = number(module.strip_prefix("block")?)?.checked_sub(1)?;
            let place = number(place).filter(|&place| place <= 3)?;
            let inner = match (kind, place) {
                ("conv", 0) => ("downsample.0".to_owned(), affine()?),
                ("bn", 0) => ("downsample.1".to_owned(), norm()?),
                ("conv", place) => (format!("conv{place}"), affine()?),
                ("bn", place) => (format!("bn{place}"), norm()?),
                _ => return None,
            };
            (format!("layer{stage}.{module}.{}", inner.0), inner.1)
        }
    };
    Some(format!("{own}.{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_that_keras_writes_has_its_torchvision_name() {
        let pairs = [
            ("conv1_conv/kernel", "conv1.weight"),
            ("conv1_conv/bias", "conv1.bias"),
            ("conv1_bn/moving_variance", "bn1.running_var"),
            ("conv2_block1_0_conv/kernel", "layer1.0.downsample.0.weight"),
            ("conv3_block1_0_bn/gamma", "layer2.0.downsample.1.weight"),
            ("conv4_block23_3_conv/bias", "layer3.22.conv3.bias"),
            ("conv5_block3_2_bn/moving_mean", "layer4.2.bn2.running_mean"),
            ("predictions/kernel", "fc.weight"),
        ];
        for (keras, torchvision) in pairs {
            assert_eq!(torchvision_name(keras).as_deref(), Some(torchvision));
        }
    }

    #[test]
    fn names_outside_the_family_are_not_guessed() {
        let strange = [
            "",
            "conv1/kernel",
            "conv6_block1_1_conv/kernel",
            "conv2_block0_1_conv/kernel",
            "conv2_block1_4_conv/kernel",
            "conv2_block1_1_conv/gamma",
            "conv2_block1_preact_bn/gamma",
            "conv2_block1_1_relu/kernel",
            "conv2_block1_conv/kernel",
        ];
        for name in strange {
            assert_eq!(torchvision_name(name), None, "{name}");
        }
    }

    #[test]
    fn kernels_are_turned_to_outputs_first() {
        // Of one row, two columns, three inputs and two outputs.
        let values = (0..12).map(|value| value as f32).collect();
        let weight = turned(&[1, 2, 3, 2], values, &mut Budget::new()).unwrap();
        assert_eq!(weight.shape, [2, 3, 1, 2]);
        assert_eq!(weight.data, [0.0, 6.0, 2.0, 8.0, 4.0, 10.0, 1.0, 7.0, 3.0, 9.0, 5.0, 11.0]);
    }
}
