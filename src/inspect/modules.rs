//! Residual modules: each sum of two branches that come from one value, followed back to where they part.

use super::{
    layer::{Conv, Kind},
    layers::Layers,
};

/// How many layers a branch may have; it bounds the work on a hostile graph.
const BRANCH_LIMIT: usize = 64;

/// One residual module: two branches from one layer to a sum.
pub(super) struct Module<'a> {
    /// What the sum is called in the file.
    pub(super) name: &'a str,
    /// The layer of the sum.
    pub(super) sum: usize,
    /// The layer where the branches part.
    pub(super) fork: usize,
    /// The convolutions of the longer branch, in order.
    pub(super) convs: Vec<Conv>,
    /// What else stands in that branch: a gate, an activation that is no ReLU.
    pub(super) gates: Vec<Vec<&'a str>>,
    /// Operators of the longer branch that a residual module has no use for.
    pub(super) foreign: Vec<&'a str>,
    /// Whether normalisation or an activation stands before the first convolution (arXiv:1603.05027).
    pub(super) pre_activation: bool,
    pub(super) shortcut: Around,
}

/// What the shorter branch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Around {
    /// Nothing.
    Straight,
    /// One convolution, perhaps after a pool.
    Projection { kernel: [usize; 2], stride: [usize; 2], pooled: bool },
    /// No weights: every n-th pixel (or a mean of them), and zero channels before and behind; `None` inside where the
    /// graph computes how many.
    Identity { pooled: bool, channels: Option<Option<[usize; 2]>> },
    /// Something else.
    Other,
}

impl Module<'_> {
    pub(super) fn inputs(&self) -> usize {
        self.convs.first().map_or(0, |conv| conv.inputs)
    }

    pub(super) fn outputs(&self) -> usize {
        self.convs.last().map_or(0, |conv| conv.outputs)
    }

    /// Pixels from one place of what comes out to the next.
    pub(super) fn stride(&self) -> usize {
        self.convs.iter().fold(1, |stride, conv| stride.saturating_mul(conv.window.stride[0]))
    }

    pub(super) fn kernels(&self) -> Vec<usize> {
        self.convs.iter().map(|conv| conv.window.square().map_or(0, |(kernel, _)| kernel)).collect()
    }
}

/// What the sums of a graph are.
pub(super) struct Sums<'a> {
    /// In the order in which they run.
    pub(super) modules: Vec<Module<'a>>,
    /// Sums of two values that do not come from one.
    pub(super) others: usize,
}

/// Finds all sums.
pub(super) fn find<'a>(layers: &Layers<'a>) -> Sums<'a> {
    let mut sums = Sums { modules: Vec::new(), others: 0 };
    for (index, layer) in layers.all.iter().enumerate() {
        if let (Kind::Add, &[a, b]) = (&layer.kind, &layer.inputs[..]) {
            match module(layers, index, [a, b]) {
                Some(module) => sums.modules.push(module),
                None => sums.others += 1,
            }
        }
    }
    sums
}

fn module<'a>(layers: &Layers<'a>, sum: usize, [a, b]: [usize; 2]) -> Option<Module<'a>> {
    let [a, b] = [a, b].map(|start| layers.back_from(start).take(BRANCH_LIMIT).collect::<Vec<_>>());
    let (to_a, to_b) =
        a.iter().enumerate().find_map(|(at, layer)| Some((at, b.iter().position(|other| other == layer)?)))?;
    let fork = a[to_a];
    let convs = |way: &[usize]| way.iter().filter(|&&layer| matches!(layers.all[layer].kind, Kind::Conv(_))).count();
    let (mut main, mut short) = (a[..to_a].to_vec(), b[..to_b].to_vec());
    if convs(&main) < convs(&short) {
        std::mem::swap(&mut main, &mut short);
    }
    if convs(&main) == 0 || convs(&main) == convs(&short) {
        return None;
    }
    main.reverse();
    short.reverse();

    let mut module = Module {
        name: layers.all[sum].name,
        sum,
        fork,
        convs: Vec::new(),
        gates: Vec::new(),
        foreign: Vec::new(),
        pre_activation: false,
        shortcut: around(layers, &short),
    };
    for layer in main {
        match &layers.all[layer].kind {
            Kind::Conv(conv) => module.convs.push(conv.clone()),
            Kind::Norm | Kind::Activation(_) if module.convs.is_empty() => module.pre_activation = true,
            Kind::Norm | Kind::Activation("Relu") => {}
            Kind::Activation(op) => module.gates.push(vec![op]),
            Kind::Gate(ops) => module.gates.push(ops.clone()),
            kind => module.foreign.push(kind.word()),
        }
    }
    Some(module)
}

fn around(layers: &Layers<'_>, way: &[usize]) -> Around {
    let mut conv = None;
    let mut pooled = false;
    let mut subsampled = false;
    let mut channels = None;
    for &layer in way {
        match &layers.all[layer].kind {
            Kind::Conv(found) if conv.is_none() => conv = Some(found),
            Kind::AveragePool(_) | Kind::MaxPool(_) => pooled = true,
            Kind::Subsample => subsampled = true,
            Kind::PadChannels(found) => channels = Some(*found),
            // The pre-activation of version 2: the shortcut may pass through it before it parts from the branch.
            Kind::Norm | Kind::Activation(_) => {}
            _ => return Around::Other,
        }
    }
    match conv {
        Some(_) if channels.is_some() => Around::Other,
        Some(conv) => Around::Projection { kernel: conv.window.kernel, stride: conv.window.stride, pooled },
        None if pooled || subsampled || channels.is_some() => Around::Identity { pooled, channels },
        None => Around::Straight,
    }
}
