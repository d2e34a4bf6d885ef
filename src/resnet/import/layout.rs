//! Finds out whose names a file uses, and translates them into torchvision's.
//!
//! A network is found by its stem: the prefix before `conv1.weight` (or its like) is what training scripts have wrapped
//! around it (`module.`, `model.`, `_orig_mod.`, `backbone.`), and is taken off. A name that cannot be translated is
//! kept as it is; the builder then lists it among the tensors that do not belong.

use std::collections::BTreeMap;

use super::error::Reason;
use super::{chainer, hugging_face};
use crate::resnet::state_dict::{StateDict, Weight};

/// Whose names a file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLayout {
    /// `layer1.0.conv1.weight`: torchvision's, and those of timm's plain ResNets, which are the same.
    Torchvision,
    /// `resnet.encoder.stages.0.layers.0.layer.0.convolution.weight`: `transformers.ResNetForImageClassification`.
    HuggingFace,
    /// `res2/a/conv1/W`: Chainer's `ResNet50Layers` and its siblings.
    Chainer,
}

/// Translates a file's state dict into torchvision's names.
pub(super) fn to_torchvision(state_dict: StateDict) -> Result<(KeyLayout, StateDict), Reason> {
    let (layout, prefix) = find_stem(&state_dict)?;
    let mut renamed: BTreeMap<String, (String, Weight)> = BTreeMap::new();
    for (name, weight) in state_dict.tensors {
        let new = rename(layout, &prefix, &name);
        if let Some((first, _)) = renamed.get(&new) {
            return Err(Reason::Collision { name: new, first: first.clone(), second: name });
        }
        renamed.insert(new, (name, weight));
    }
    let tensors = renamed.into_iter().map(|(name, (_, weight))| (name, weight)).collect();
    let state_dict = StateDict { tensors };
    refuse_relatives(&state_dict)?;
    Ok((layout, state_dict))
}

fn rename(layout: KeyLayout, prefix: &str, name: &str) -> String {
    let inner = without_prefix(prefix, name);
    match layout {
        KeyLayout::Torchvision => None,
        KeyLayout::HuggingFace => hugging_face::torchvision_name(inner),
        KeyLayout::Chainer => chainer::torchvision_name(inner),
    }
    .unwrap_or_else(|| inner.to_owned())
}

/// `name` without `prefix` or, for a head that stands outside the backbone, without the longest part of it.
fn without_prefix<'a>(prefix: &str, name: &'a str) -> &'a str {
    let parts = prefix.match_indices(['.', '/']).map(|(end, _)| &prefix[..=end]).rev();
    parts.filter_map(|part| name.strip_prefix(part)).next().unwrap_or(name)
}

/// Where the one ResNet of the file starts.
fn find_stem(state_dict: &StateDict) -> Result<(KeyLayout, String), Reason> {
    let has = |prefix: &str, name: &str| state_dict.tensors.contains_key(&format!("{prefix}{name}"));
    let mut stems = Vec::new();
    for name in state_dict.tensors.keys() {
        if let Some(prefix) = prefix_before(name, "embedder.embedder.convolution.weight", '.') {
            stems.push((KeyLayout::HuggingFace, prefix));
        } else if let Some(prefix) = prefix_before(name, "conv1.weight", '.') {
            if has(prefix, "layer1.0.conv1.weight") {
                stems.push((KeyLayout::Torchvision, prefix));
            }
        } else if let Some(prefix) = prefix_before(name, "conv1/W", '/')
            && has(prefix, "res2/a/conv1/W")
        {
            stems.push((KeyLayout::Chainer, prefix));
        }
    }
    match stems[..] {
        [(layout, prefix)] => Ok((layout, prefix.to_owned())),
        [] => Err(unknown(state_dict)),
        _ => {
            let places: Vec<String> = stems.iter().map(|(_, prefix)| format!("`{prefix}`")).collect();
            Err(Reason::Ambiguous { count: stems.len(), places: places.join(", ") })
        }
    }
}

/// What stands before `suffix`: nothing, or something that ends with the separator.
fn prefix_before<'a>(name: &'a str, suffix: &str, separator: char) -> Option<&'a str> {
    name.strip_suffix(suffix).filter(|prefix| prefix.is_empty() || prefix.ends_with(separator))
}

/// Parts of names by which a related network is recognised, even where no plain stem is found.
const RELATIVES: [(&str, &str); 9] = [
    ("conv1.0.weight", "ResNet with a deep stem of three convolutions (ResNet-C or -D)"),
    ("/conv1/conv/W", "ResNet of ChainerCV"),
    ("stem.conv.weight", "pre-activation ResNet (version 2) or another of timm's networks"),
    ("features.init_block.", "network of imgclsmob"),
    (".se.", "squeeze-and-excitation ResNet"),
    (".se_module.", "squeeze-and-excitation ResNet"),
    (".attn.", "ResNet with attention"),
    (".filt", "ResNet with anti-aliased downsampling"),
    ("_packed_params", "quantised ResNet"),
];

fn unknown(state_dict: &StateDict) -> Reason {
    for (mark, variant) in RELATIVES {
        if let Some(name) = state_dict.tensors.keys().find(|name| name.contains(mark)) {
            return Reason::Variant { name: name.clone(), variant };
        }
    }
    let examples: Vec<&str> = state_dict.tensors.keys().take(3).map(String::as_str).collect();
    Reason::NotResNet { count: state_dict.tensors.len(), examples: format!("{}, …", examples.join(", ")) }
}

/// Refuses related networks that have the plain stem too. Without this, the user would get a long list of missing and
/// extra tensors instead of a name.
fn refuse_relatives(state_dict: &StateDict) -> Result<(), Reason> {
    for (name, weight) in &state_dict.tensors {
        let variant = RELATIVES.iter().find(|(mark, _)| name.contains(mark)).map(|&(_, variant)| variant);
        // In a ResNet-D the pooling comes first and moves the projection to the second place.
        let is_pooled = name.ends_with(".downsample.1.weight") && weight.shape.len() == 4;
        let variant = variant.or(is_pooled.then_some("ResNet-D, which pools in its shortcuts"));
        if let Some(variant) = variant {
            return Err(Reason::Variant { name: name.clone(), variant });
        }
    }
    if state_dict.tensors.contains_key("bn1.weight") && !state_dict.tensors.contains_key("bn1.running_mean") {
        let variant = "ResNet without running statistics (group normalization, or saved without its buffers)";
        return Err(Reason::Variant { name: "bn1.weight".to_owned(), variant });
    }
    Ok(())
}
