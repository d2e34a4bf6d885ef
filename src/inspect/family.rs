//! From modules to a network: stem, stages, head, and whether all of it is a ResNet.

use super::{
    layer::Kind,
    layers::Layers,
    modules::{Around, Module, Sums},
    name,
    report::{Block, ResNet, Shortcut, Stage, StemKind, StrideIn},
    stem::stem,
    values::Values,
    window::described,
};

/// A network that is a ResNet: its facts, its name, and what is unusual about it.
pub(super) struct Recognised {
    pub(super) resnet: ResNet,
    pub(super) architecture: String,
    pub(super) head: NetworkHead,
    pub(super) unusual: Vec<String>,
}

/// Recognises the network.
///
/// # Errors
/// Why it is no ResNet, as a sentence.
pub(super) fn recognise(
    layers: &Layers<'_>,
    sums: &Sums<'_>,
    values: &Values<'_>,
    outputs: &[usize],
) -> Result<Recognised, String> {
    let modules = &sums.modules[..];
    let (Some(first), Some(last)) = (modules.first(), modules.last()) else {
        let joins = layers.all.iter().filter(|layer| matches!(layer.kind, Kind::Other("Concat"))).count();
        let joins = match joins {
            0 => String::new(),
            _ => format!("; {joins} Concat join branches, as in DenseNet and Inception"),
        };
        return Err(format!(
            "it has no residual modules: no sum joins a branch of convolutions with the value that the branch started \
             from{joins}"
        ));
    };
    let block = block(modules)?;
    if sums.others > 0 {
        return Err(format!(
            "beside {} residual modules it has {} sums of values that do not come from one fork",
            modules.len(),
            sums.others
        ));
    }

    let mut unusual = Vec::new();
    let stem = stem(layers, first, &mut unusual)?;
    chain(layers, modules, &mut unusual)?;
    let stages = stages(layers, modules, block, values);
    let mid = &first.convs[first.convs.len() / 2];
    let width = (stages[0].channels / block.expansion()).max(1);
    let (groups, width_per_group) = match block {
        Block::Basic => (1, 64),
        Block::Bottleneck => (mid.groups, mid.outputs.saturating_mul(64) / width.saturating_mul(mid.groups)),
    };
    let pre_activation = modules.iter().filter(|module| module.pre_activation).count() * 2 > modules.len();
    let mut resnet = ResNet {
        depth: modules.len() * modules[0].convs.len() + 2,
        block,
        pre_activation,
        stem,
        stages,
        groups,
        width_per_group,
        stride_in: stride_in(modules, block),
        shortcut: shortcut(modules, &mut unusual),
        classes: None,
    };

    let regular = widths(&resnet, &mut unusual);
    if !regular && resnet.stem.kind == StemKind::Other {
        return Err(format!(
            "its {} residual modules are like a ResNet's, but neither its stem ({}) nor its widths {:?} are: RegNet and \
             others look like this",
            modules.len(),
            resnet.stem.convolutions.join(", "),
            resnet.stages.iter().map(|stage| stage.channels).collect::<Vec<_>>()
        ));
    }
    let foreign = branches(modules, pre_activation, &mut unusual);
    let gated = modules.iter().filter(|module| module.gates.iter().any(|ops| is_attention(ops))).count();
    let pooled = modules.iter().any(|module| matches!(module.shortcut, Around::Projection { pooled: true, .. }));
    let traits = name::Traits {
        attention: if gated == modules.len() { attention(modules) } else { "" },
        pooled_shortcut: pooled,
        regular,
    };
    let architecture = name::of(&resnet, &traits);
    if gated > 0 {
        unusual.push(format!("{gated} of {} modules have channel attention (squeeze-and-excitation)", modules.len()));
    }
    if !foreign.is_empty() {
        return Err(format!(
            "it is built like {architecture}, but {} in its residual branches make it another network",
            foreign.join(", ")
        ));
    }

    let head = head(layers, last, outputs).map_err(|after| {
        format!(
            "its backbone is {architecture}, but {after} follows: no classifier (perhaps a detector or a segmenter)"
        )
    })?;
    resnet.classes = head.classes;
    if head.classes.is_none() {
        unusual.push("it has no classifier: features come out".into());
    }
    if head.linears > 1 {
        unusual.push(format!("{} fully connected layers at the end, not 1", head.linears));
    }
    if !head.pooled {
        unusual.push("no global average pooling before the classifier".into());
    }
    Ok(Recognised { resnet, architecture, head, unusual })
}

fn block(modules: &[Module<'_>]) -> Result<Block, String> {
    let depthwise =
        modules.iter().filter(|module| module.convs.iter().any(|c| c.groups > 1 && c.groups == c.inputs)).count();
    if depthwise > 0 {
        return Err(format!(
            "{depthwise} of its {} residual modules have depthwise convolutions, as MobileNet, EfficientNet and ConvNeXt do",
            modules.len()
        ));
    }
    let kind = |module: &Module<'_>| match module.kernels()[..] {
        [3, 3] => Ok(Block::Basic),
        [1, 3, 1] => Ok(Block::Bottleneck),
        _ => Err(format!(
            "the residual module {:?} has convolutions {}, neither a basic module's (3x3, 3x3) nor a bottleneck's (1x1, 3x3, 1x1)",
            module.name,
            described(module.convs.iter().map(|conv| &conv.window))
        )),
    };
    let first = kind(&modules[0])?;
    for module in modules {
        if kind(module)? != first {
            return Err("it mixes basic modules and bottlenecks".into());
        }
    }
    Ok(first)
}

/// Checks that each module starts where the last one ended.
fn chain(layers: &Layers<'_>, modules: &[Module<'_>], unusual: &mut Vec<String>) -> Result<(), String> {
    for pair in modules.windows(2) {
        let mut reached = false;
        for layer in layers.back_from(pair[1].fork) {
            reached = layer == pair[0].sum;
            match &layers.all[layer].kind {
                Kind::Norm | Kind::Activation(_) | Kind::Add => {}
                other => unusual.push(format!(
                    "{} between the modules {:?} and {:?}",
                    other.word(),
                    pair[0].name,
                    pair[1].name
                )),
            }
        }
        if !reached {
            return Err(format!(
                "its {} residual modules are no chain: {:?} does not start where {:?} ends",
                modules.len(),
                pair[1].name,
                pair[0].name
            ));
        }
    }
    Ok(())
}

/// Groups modules by width. With one width, a stride begins a stage.
fn stages(layers: &Layers<'_>, modules: &[Module<'_>], block: Block, values: &Values<'_>) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (index, module) in modules.iter().enumerate() {
        let widens = |at: usize| modules.get(at).is_none_or(|next| next.outputs() != modules[at - 1].outputs());
        // Keras' second version halves in the last module of a stage.
        let begins = index == 0 || widens(index) || (module.stride() > 1 && !widens(index + 1));
        let inner = match block {
            Block::Basic => module.convs[0].outputs,
            Block::Bottleneck => module.convs[1].outputs,
        };
        let size = layers.size(module.sum, values);
        match stages.last_mut() {
            Some(stage) if !begins => {
                stage.modules += 1;
                stage.stride = stage.stride.saturating_mul(module.stride());
                stage.size = size;
            }
            _ => stages.push(Stage {
                modules: 1,
                channels: module.outputs(),
                inner_channels: inner,
                stride: module.stride(),
                size,
            }),
        }
    }
    stages
}

fn stride_in(modules: &[Module<'_>], block: Block) -> Option<StrideIn> {
    if block == Block::Basic {
        return None;
    }
    modules
        .iter()
        .filter(|module| module.stride() > 1)
        .map(|module| match module.convs.iter().position(|conv| conv.window.stride[0] > 1) {
            Some(0) => StrideIn::Conv1x1,
            Some(1) => StrideIn::Conv3x3,
            _ => StrideIn::Mixed,
        })
        .reduce(|a, b| if a == b { a } else { StrideIn::Mixed })
}

fn shortcut(modules: &[Module<'_>], unusual: &mut Vec<String>) -> Shortcut {
    let mut kinds = Vec::new();
    let (mut projected, mut subsampled, mut other) = (0, 0, 0);
    for module in modules {
        let widens = module.inputs() != module.outputs();
        match &module.shortcut {
            Around::Projection { kernel, .. } => {
                projected += usize::from(!widens && module.stride() == 1);
                if *kernel != [1, 1] {
                    unusual.push(format!(
                        "the shortcut of {:?} is a {}x{} convolution",
                        module.name, kernel[0], kernel[1]
                    ));
                }
                kinds.push(Shortcut::Projection);
            }
            Around::Identity { channels: Some(channels), .. } => kinds.push(match channels {
                Some([0, _]) => Shortcut::IdentityTrailing,
                Some([before, after]) if before.abs_diff(*after) <= 1 => Shortcut::IdentityCentered,
                _ => Shortcut::Identity,
            }),
            Around::Identity { channels: None, .. } => subsampled += 1,
            Around::Straight => {}
            Around::Other => other += 1,
        }
        if let Around::Identity { pooled: true, .. } = module.shortcut {
            unusual.push(format!("the shortcut of {:?} is an average of pixels", module.name));
        }
    }
    if projected > 1 {
        unusual.push(format!("{projected} modules that keep their shape have a projection (option C of the paper)"));
    }
    if subsampled > 0 {
        unusual.push(format!("{subsampled} modules only subsample their shortcut (Keras' ResNetV2)"));
    }
    if other > 0 {
        unusual.push(format!("{other} shortcuts do what no ResNet's do"));
    }
    kinds.into_iter().reduce(|a, b| if a == b { a } else { Shortcut::Mixed }).unwrap_or(Shortcut::None)
}

/// Whether the stages have the widths of a ResNet: each twice the one before, and the inner channels with them.
fn widths(resnet: &ResNet, unusual: &mut Vec<String>) -> bool {
    let width = resnet.stages[0].channels / resnet.block.expansion();
    let mut regular = true;
    let channels: Vec<usize> = resnet.stages.iter().map(|stage| stage.channels).collect();
    if channels.windows(2).any(|pair| pair[0].checked_mul(2) != Some(pair[1])) {
        unusual.push(format!("widths of the stages {channels:?} do not double"));
        regular = false;
    }
    let odd_inner = |stage: &Stage| {
        let planes = stage.channels / resnet.block.expansion();
        let per_group = planes.saturating_mul(resnet.width_per_group);
        stage.inner_channels != per_group.saturating_mul(resnet.groups) / 64
            || !stage.channels.is_multiple_of(planes.max(1))
    };
    if resnet.stages.iter().any(odd_inner) {
        let inner: Vec<usize> = resnet.stages.iter().map(|stage| stage.inner_channels).collect();
        unusual.push(format!("inner channels {inner:?} do not follow the widths {channels:?}"));
        regular = false;
    }
    if resnet.stem.channels != width {
        unusual
            .push(format!("the stem has {} channels where the first stage's width is {width}", resnet.stem.channels));
    }
    regular
}

/// How the convolutions of the branches are padded and what activations they have; gives the operators that have no
/// place there.
fn branches<'a>(modules: &[Module<'a>], pre_activation: bool, unusual: &mut Vec<String>) -> Vec<&'a str> {
    let odd = modules.iter().filter(|module| module.pre_activation != pre_activation).count();
    // In version 2 the first module of a stage may share its pre-activation with the shortcut.
    if odd > 0 && !pre_activation {
        unusual.push(format!("{odd} modules have pre-activation, the others not"));
    }
    let mut foreign: Vec<&str> = modules.iter().flat_map(|module| module.foreign.iter().copied()).collect();
    foreign.sort_unstable();
    foreign.dedup();
    let mut activations: Vec<&str> =
        modules.iter().flat_map(|module| &module.gates).filter(|ops| !is_attention(ops)).flatten().copied().collect();
    activations.sort_unstable();
    activations.dedup();
    if !activations.is_empty() {
        unusual.push(format!("{} in place of ReLU in the residual branches", activations.join(", ")));
    }
    let convs = || modules.iter().flat_map(|module| &module.convs);
    let uneven: Vec<_> = convs().filter(|conv| !conv.window.is_symmetric()).collect();
    if let Some(conv) = uneven.first() {
        unusual.push(format!(
            "{} convolutions are padded unevenly: {} (TensorFlow's SAME)",
            uneven.len(),
            conv.window.sides()
        ));
    }
    let dilated = convs().filter(|conv| conv.window.dilation != [1, 1]).count();
    if dilated > 0 {
        unusual.push(format!("{dilated} dilated convolutions: made for segmentation or detection"));
    }
    let unpadded = convs().filter(|conv| conv.window.kernel == [3, 3] && conv.window.pads == [0; 4]).count();
    if unpadded > 0 {
        unusual.push(format!("{unpadded} of the 3x3 convolutions have no padding"));
    }
    foreign
}

/// timm's prefix for the kind of channel attention: `se` if its factor is computed by two layers of weights, `eca` if
/// by one along the channels.
fn attention(modules: &[Module<'_>]) -> &'static str {
    let excited = modules.iter().all(|module| module.gates.iter().any(|ops| is_weighted(ops)));
    if excited { "se" } else { "eca" }
}

/// Whether the factor of a gate is computed from the mean of each channel, as attention's is.
pub(super) fn is_attention(ops: &[&str]) -> bool {
    ops.contains(&"GlobalAveragePool")
}

/// Whether the factor of a gate has layers of weights of its own.
pub(super) fn is_weighted(ops: &[&str]) -> bool {
    ops.iter().filter(|op| matches!(**op, "Conv" | "Gemm")).count() > 1
}

/// What follows the last module.
pub(super) struct NetworkHead {
    pub(super) classes: Option<usize>,
    pub(super) linears: usize,
    pub(super) pooled: bool,
    pub(super) softmax: bool,
}

/// Reads from the last module to an output. The error names the operator there that no classifier has.
fn head(layers: &Layers<'_>, last: &Module<'_>, outputs: &[usize]) -> Result<NetworkHead, String> {
    let mut nearest = "something with several branches".to_owned();
    let mut best: Option<NetworkHead> = None;
    for &output in outputs {
        let way: Vec<usize> = layers.back_from(output).collect();
        let Some(end) = way.iter().position(|&layer| layer == last.sum) else { continue };
        let mut head = NetworkHead { classes: None, linears: 0, pooled: false, softmax: false };
        let mut foreign = None;
        for &layer in way[..end].iter().rev() {
            match &layers.all[layer].kind {
                Kind::GlobalPool => head.pooled = true,
                Kind::AveragePool(_) if layers.all[layer].inputs == [last.sum] => head.pooled = true,
                Kind::Linear { classes } => (head.classes, head.linears) = (*classes, head.linears + 1),
                Kind::Conv(conv) if head.pooled && conv.window.kernel == [1, 1] => {
                    (head.classes, head.linears) = (Some(conv.outputs), head.linears + 1);
                }
                Kind::Softmax => head.softmax = true,
                Kind::Norm | Kind::Activation(_) => {}
                other => foreign = foreign.or(Some(other.word())),
            }
        }
        match foreign {
            Some(foreign) => nearest = foreign.to_owned(),
            None if best.as_ref().is_none_or(|best| head.linears > best.linears) => best = Some(head),
            None => {}
        }
    }
    best.ok_or(nearest)
}
