//! Finds out whose names a file uses, and translates them into torchvision's.
//!
//! A network is found by its stem: the prefix before `conv1.weight` (or its like) is what training scripts have wrapped
//! around it (`module.`, `model.`, `_orig_mod.`, `backbone.`), and is taken off. A name that cannot be translated is
//! kept as it is; the builder then lists it among the tensors that do not belong.

use std::collections::BTreeMap;
use std::iter;

use super::error::Reason;
use super::raw_file::{Part, RawFile};
use super::{caffe2, chainer, head, hugging_face, keras};
use crate::resnet::CAFFE2_EPSILON;
use crate::resnet::state_dict::{StateDict, Weight, is_counter};

/// Whose names a file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLayout {
    /// `layer1.0.conv1.weight`: torchvision's, and those of timm's plain ResNets, which are the same.
    Torchvision,
    /// `resnet.encoder.stages.0.layers.0.layer.0.convolution.weight`: `transformers.ResNetForImageClassification`.
    HuggingFace,
    /// `res2/a/conv1/W`: Chainer's `ResNet50Layers` and its siblings.
    Chainer,
    /// `res2_0_branch2a_w`: Caffe2's and Detectron's model zoos.
    Caffe2,
    /// `conv2_block1_1_conv/kernel`: `keras.applications.ResNet50` and its siblings.
    Keras,
}

/// A network found among the tensors of a file.
pub(super) struct Network {
    pub(super) layout: KeyLayout,
    pub(super) state_dict: StateDict,
    /// Tensors that training left in the file and that belong to no network.
    pub(super) passed_over: Vec<String>,
    pub(super) part: Option<Part>,
}

/// What stands beside a network without a prefix in what Lightning and its like save.
const OF_TRAINING: [&str; 7] = ["criterion", "loss", "loss_fn", "loss_func", "metric", "metrics", "n_averaged"];

/// Translates a file's tensors into torchvision's names.
///
/// * `key`: the prefix of the one network that is wanted, where there are several and the file's format has no other keys
pub(super) fn to_torchvision(raw: RawFile, key: Option<&str>) -> Result<Network, Reason> {
    let RawFile { mut state_dict, others, mut part, .. } = raw;
    let stems = stems(&state_dict);
    let is_part = |key: &&str| part.as_ref().is_some_and(|part| part.key.split('.').next() == Some(key));
    let stem = match (key.filter(|key| !is_part(key)), &stems[..]) {
        (Some(key), stems) => {
            let wanted = |prefix: &str| prefix.trim_end_matches(['.', '/']) == key.trim_end_matches(['.', '/']);
            let (chosen, beside): (Vec<&Stem>, Vec<&Stem>) = stems.iter().partition(|stem| wanted(&stem.prefix));
            let [stem] = chosen[..] else { return Err(no_such_key(key, stems, part.as_ref())) };
            part = Some(Part { key: key.to_owned(), beside: beside.iter().map(|stem| stem.prefix.clone()).collect() });
            stem.clone()
        }
        (None, [stem]) => stem.clone(),
        (None, []) => return Err(unknown(&state_dict)),
        (None, stems) => {
            let places: Vec<String> = stems.iter().map(|stem| format!("`{}`", stem.prefix)).collect();
            return Err(Reason::Ambiguous { count: stems.len(), places: places.join(", ") });
        }
    };
    let (own, passed_over): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut state_dict.tensors).into_iter().partition(|(name, _)| stem.has(name));
    if let Some((name, dtype)) = others.iter().find(|(name, _)| stem.has(name) && !is_counter(name)) {
        return Err(Reason::Dtype { name: name.clone(), dtype: dtype.clone() });
    }
    let mut renamed: BTreeMap<String, (String, Weight)> = BTreeMap::new();
    for (name, weight) in own {
        let new = stem.rename(&name);
        if let Some((first, _)) = renamed.get(&new) {
            return Err(Reason::Collision { name: new, first: first.clone(), second: name });
        }
        renamed.insert(new, (name, weight));
    }
    state_dict.tensors = renamed.into_iter().map(|(name, (_, weight))| (name, weight)).collect();
    head::rename(&mut state_dict.tensors)?;
    if stem.layout == KeyLayout::Caffe2 {
        fill_statistics(&mut state_dict);
    }
    if matches!(stem.layout, KeyLayout::Caffe2 | KeyLayout::Keras) {
        move_biases(&mut state_dict);
    }
    refuse_relatives(&state_dict)?;
    let passed_over = passed_over.into_keys().chain(others.into_keys()).collect();
    Ok(Network { layout: stem.layout, state_dict, passed_over, part })
}

/// The first convolution of a network: whose names it has, and what stands before them.
#[derive(Clone, Debug)]
struct Stem {
    layout: KeyLayout,
    prefix: String,
}

impl Stem {
    /// Whether a tensor of this name belongs to the network: everything behind its prefix, and a head outside of it. Without a
    /// prefix everything but what only training needs.
    fn has(&self, name: &str) -> bool {
        match self.layout {
            KeyLayout::Caffe2 if name.ends_with(caffe2::OF_OPTIMIZER) => return false,
            KeyLayout::Keras => return keras::is_weight(name),
            _ => {}
        }
        if self.prefix.is_empty() {
            return !OF_TRAINING.contains(&name.split(['.', '/']).next().unwrap_or(name));
        }
        name.starts_with(&self.prefix) || head::is_head(self.inner(name)) || self.translated(self.inner(name)).is_some()
    }

    fn rename(&self, name: &str) -> String {
        let inner = self.inner(name);
        self.translated(inner).unwrap_or_else(|| inner.to_owned())
    }

    fn translated(&self, inner: &str) -> Option<String> {
        match self.layout {
            KeyLayout::Torchvision => None,
            KeyLayout::HuggingFace => hugging_face::torchvision_name(inner),
            KeyLayout::Chainer => chainer::torchvision_name(inner),
            KeyLayout::Caffe2 => caffe2::torchvision_name(inner),
            KeyLayout::Keras => keras::torchvision_name(inner),
        }
    }

    /// `name` without the prefix or, for a head that stands outside the backbone, without the longest part of it.
    fn inner<'n>(&self, name: &'n str) -> &'n str {
        let parts = self.prefix.match_indices(['.', '/']).map(|(end, _)| &self.prefix[..=end]).rev();
        parts.filter_map(|part| name.strip_prefix(part)).next().unwrap_or(name)
    }
}

/// Where the ResNets of the file start.
fn stems(state_dict: &StateDict) -> Vec<Stem> {
    let has = |prefix: &str, name: &str| state_dict.tensors.contains_key(&format!("{prefix}{name}"));
    let mut stems = Vec::new();
    let mut add = |layout, prefix: &str| stems.push(Stem { layout, prefix: prefix.to_owned() });
    for name in state_dict.tensors.keys() {
        if let Some(prefix) = prefix_before(name, "embedder.embedder.convolution.weight", '.') {
            add(KeyLayout::HuggingFace, prefix);
        } else if let Some(prefix) = prefix_before(name, "conv1.weight", '.') {
            if has(prefix, "layer1.0.conv1.weight") {
                add(KeyLayout::Torchvision, prefix);
            }
        } else if let Some(prefix) = prefix_before(name, "conv1/W", '/') {
            if has(prefix, "res2/a/conv1/W") {
                add(KeyLayout::Chainer, prefix);
            }
        } else if name == "conv1_w" && has("", "res2_0_branch2a_w") {
            add(KeyLayout::Caffe2, "");
        } else if name == "conv1_conv/kernel" && has("", "conv2_block1_1_conv/kernel") {
            add(KeyLayout::Keras, "");
        }
    }
    stems
}

/// A batch normalization with fixed statistics is only a scale and a shift: as if it had seen a mean of 0 and a variance that
/// with its epsilon is 1.
fn fill_statistics(state_dict: &mut StateDict) {
    let fixed: Vec<(String, usize)> = state_dict
        .tensors
        .iter()
        .filter_map(|(name, weight)| Some((name.strip_suffix(".weight")?.to_owned(), weight.shape.clone())))
        .filter(|(_, shape)| shape.len() == 1)
        .map(|(norm, shape)| (norm, shape[0]))
        .collect();
    for (norm, channels) in fixed {
        let mut fill = |field, value| {
            let weight = || Weight { shape: vec![channels], data: vec![value; channels] };
            state_dict.tensors.entry(format!("{norm}.{field}")).or_insert_with(weight);
        };
        fill("running_mean", 0.0);
        fill("running_var", 1.0 - CAFFE2_EPSILON as f32);
    }
}

/// A convolution's bias is taken off the mean that its batch normalization subtracts next: a network as PyTorch has it, which has
/// no biases, and the same answers.
fn move_biases(state_dict: &mut StateDict) {
    let norm_of = |conv: &str| match conv.strip_suffix("downsample.0") {
        Some(module) => format!("{module}downsample.1"),
        None => conv.replace("conv", "bn"),
    };
    let biased: Vec<String> = state_dict
        .tensors
        .keys()
        .filter_map(|name| name.strip_suffix(".bias"))
        .filter(|layer| layer.contains("conv") || layer.ends_with("downsample.0"))
        .map(str::to_owned)
        .collect();
    for conv in biased {
        let mean = format!("{}.running_mean", norm_of(&conv));
        let name = format!("{conv}.bias");
        let fits = state_dict.tensors.get(&mean).is_some_and(|mean| mean.shape == state_dict.tensors[&name].shape);
        if let Some(bias) = fits.then(|| state_dict.tensors.remove(&name)).flatten() {
            let means = state_dict.tensors.get_mut(&mean).into_iter().flat_map(|mean| &mut mean.data);
            means.zip(bias.data).for_each(|(mean, bias)| *mean -= bias);
        }
    }
}

fn no_such_key(key: &str, stems: &[Stem], part: Option<&Part>) -> Reason {
    let keys = part.iter().flat_map(|part| iter::once(&part.key).chain(&part.beside));
    let prefixes = stems.iter().map(|stem| &stem.prefix).filter(|prefix| !prefix.is_empty());
    let there: Vec<String> = keys.chain(prefixes).map(|place| format!("`{place}`")).collect();
    let there = if there.is_empty() { "only one, without a key".to_owned() } else { there.join(", ") };
    Reason::NoSuchKey { key: key.to_owned(), there }
}

/// What stands before `suffix`: nothing, or something that ends with the separator.
fn prefix_before<'a>(name: &'a str, suffix: &str, separator: char) -> Option<&'a str> {
    name.strip_suffix(suffix).filter(|prefix| prefix.is_empty() || prefix.ends_with(separator))
}

/// Parts of names by which a related network is recognised, even where no plain stem is found.
const RELATIVES: [(&str, &str); 13] = [
    ("neck.", "network with layers between the ResNet and its head"),
    ("conv1.0.weight", "ResNet with a deep stem of three convolutions (ResNet-C or -D)"),
    ("/conv1/conv/W", "ResNet of ChainerCV"),
    ("_preact_bn/", "pre-activation ResNet (version 2)"),
    ("_conv/depthwise_kernel", "ResNeXt of Keras"),
    ("res2a_branch2a/", "ResNet50 of Keras before 2.3, whose pooling and epsilon changed between its versions"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(names: &[&str]) -> RawFile {
        let weight = || Weight { shape: vec![1; 4], data: vec![0.0] };
        let tensors = names.iter().map(|&name| (name.to_owned(), weight())).collect();
        RawFile { state_dict: StateDict { tensors }, ..RawFile::default() }
    }

    #[test]
    fn relatives_are_called_what_they_are_with_a_plain_stem_and_without() {
        for (name, called) in [
            ("neck.0.weight", "layers between"),
            ("conv1.0.weight", "ResNet-C or -D"),
            ("layer2.0.downsample.1.weight", "ResNet-D"),
            ("layer1.0.se.fc1.weight", "squeeze-and-excitation"),
            ("layer1.0.se_module.fc1.weight", "squeeze-and-excitation"),
            ("layer1.0.attn.conv.weight", "attention"),
            ("layer2.0.downsample.0.filt", "anti-aliased"),
            ("fc._packed_params", "quantised"),
        ] {
            let refused = to_torchvision(network(&["conv1.weight", "layer1.0.conv1.weight", name]), None).err();
            let said = refused.map(|reason| reason.to_string()).unwrap_or_default();
            assert!(said.contains(called) && said.contains(name), "{name}: {said}");
        }
        for (name, called) in [
            ("stem.conv.weight", "version 2"),
            ("features.init_block.conv.weight", "imgclsmob"),
            ("extractor/conv1/conv/W", "ChainerCV"),
            ("res2a_branch2a/kernel", "Keras before"),
        ] {
            let refused = to_torchvision(network(&[name]), None).err();
            let said = refused.map(|reason| reason.to_string()).unwrap_or_default();
            assert!(said.contains(called) && said.contains(name), "{name}: {said}");
        }
        for (name, called) in [
            ("conv2_block1_preact_bn/gamma", "version 2"),
            ("conv2_block1_2_conv/depthwise_kernel", "ResNeXt of Keras"),
        ] {
            let names = ["conv1_conv/kernel", "conv2_block1_1_conv/kernel", name];
            let refused = to_torchvision(network(&names), None).err();
            let said = refused.map(|reason| reason.to_string()).unwrap_or_default();
            assert!(said.contains(called) && said.contains(name), "{name}: {said}");
        }
    }

    #[test]
    fn a_bias_moves_into_the_mean_behind_it() {
        let tensor = |values: &[f32]| Weight { shape: vec![values.len()], data: values.to_vec() };
        let mut state_dict = StateDict::default();
        for (name, values) in [
            ("conv1.bias", [1.0, 2.0]),
            ("bn1.running_mean", [5.0, 5.0]),
            ("layer1.0.downsample.0.bias", [3.0, 4.0]),
            ("layer1.0.downsample.1.running_mean", [0.0, 1.0]),
            ("layer1.0.conv2.bias", [9.0, 9.0]),
            ("fc.bias", [7.0, 7.0]),
        ] {
            state_dict.tensors.insert(name.to_owned(), tensor(&values));
        }
        move_biases(&mut state_dict);
        let left: Vec<(&str, &[f32])> =
            state_dict.tensors.iter().map(|(name, weight)| (&**name, &*weight.data)).collect();
        let expected: [(&str, &[f32]); 4] = [
            ("bn1.running_mean", &[4.0, 3.0]),
            ("fc.bias", &[7.0, 7.0]),
            // Without a mean behind it, it stays where it is, and is listed.
            ("layer1.0.conv2.bias", &[9.0, 9.0]),
            ("layer1.0.downsample.1.running_mean", &[-3.0, -3.0]),
        ];
        assert_eq!(left, expected);
    }
}
