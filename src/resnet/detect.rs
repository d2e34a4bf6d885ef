//! Which network a state dict is of, from the names and shapes of its tensors.
//!
//! No tensor says where a halving bottleneck has its stride, where an identity shortcut puts its zeros, how the stem's
//! max-pool treats the border, or for which image size it was trained: these are torchvision's (the 3x3; trailing; padded;
//! 224 or 32) until the caller says otherwise.

use super::{
    architecture::{Architecture, Block, IdentityPadding, Shortcut, Stem},
    error::WeightsError,
    state_dict::StateDict,
};

/// Finds stem, block, modules of each stage, width, groups, shortcut and classes.
///
/// # Errors
/// [`WeightsError::Unrecognised`] when a tensor that the answer depends on is missing or has a strange shape. The other
/// tensors are left to [`check`](super::check).
pub fn detect(state: &StateDict) -> Result<Architecture, WeightsError> {
    let [width, kernel] = [0, 2].map(|axis| dim(state, "conv1.weight", 4, axis));
    let stem = match kernel? {
        3 => Stem::Cifar,
        7 => Stem::ImageNet(super::architecture::MaxPool::Padded),
        other => {
            return Err(WeightsError::Unrecognised {
                reason: format!("conv1.weight is a {other}x{other} convolution, and a ResNet begins with 7x7 or 3x3"),
            });
        }
    };
    let width = width?;
    let stages = stages(state);
    if stages.is_empty() {
        return Err(WeightsError::Unrecognised { reason: "there is no layer1.0.conv1.weight".into() });
    }
    let bottleneck = state.tensors.contains_key("layer1.0.conv3.weight");
    let (block, groups, width_per_group) = if bottleneck {
        let inner = dim(state, "layer1.0.conv2.weight", 4, 0)?;
        let per_group = dim(state, "layer1.0.conv2.weight", 4, 1)?;
        let groups = inner / per_group;
        (Block::Bottleneck, groups, per_group * 64 / width)
    } else {
        (Block::Basic, 1, 64)
    };
    let projects = state.tensors.keys().any(|name| name.contains(".downsample."));
    let shortcut = match projects || !changes_shape(&stages, block) {
        true => Shortcut::Projection,
        false => Shortcut::Identity(IdentityPadding::Trailing),
    };
    let usual = match stem {
        Stem::Cifar => Architecture::cifar(1),
        Stem::ImageNet(_) => Architecture::imagenet(block, &[]),
    };
    let architecture = Architecture {
        stem,
        block,
        stages,
        width,
        groups,
        width_per_group,
        shortcut,
        classes: dim(state, "fc.weight", 2, 0)?,
        conv1_bias: state.tensors.contains_key("conv1.bias"),
        ..usual
    };
    architecture.validate()?;
    Ok(architecture)
}

/// The number of modules of each stage. Stages and modules are counted up to the first number that is missing.
fn stages(state: &StateDict) -> Vec<usize> {
    let has = |stage: usize, module: usize| state.tensors.contains_key(&format!("layer{stage}.{module}.conv1.weight"));
    let modules = |stage: usize| (0..).take_while(|&module| has(stage, module)).count();
    (1..).map(modules).take_while(|&count| count > 0).collect()
}

fn changes_shape(stages: &[usize], block: Block) -> bool {
    stages.len() > 1 || block == Block::Bottleneck
}

/// A dimension of a tensor that has to be there, with `rank` dimensions, none of them 0.
fn dim(state: &StateDict, name: &str, rank: usize, axis: usize) -> Result<usize, WeightsError> {
    let reason = match state.tensors.get(name).map(|weight| weight.shape.as_slice()) {
        Some(shape) if shape.len() == rank && !shape.contains(&0) => return Ok(shape[axis]),
        Some(shape) => format!("{name} has the shape {shape:?}, expected {rank} dimensions"),
        None => format!("there is no {name}"),
    };
    Err(WeightsError::Unrecognised { reason })
}
