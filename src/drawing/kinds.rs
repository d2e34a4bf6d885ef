//! The kinds of modules that a network has, each with where it stands. Pure.

use crate::inspect::{OpenedConv, OpenedModule, OpenedShortcut, OpenedStage};

/// Kinds beyond it are counted, not shown.
const MOST: usize = 6;

/// Modules that are alike but for the number of channels.
pub(super) struct ModuleKind<'a> {
    /// The first of them.
    pub(super) module: &'a OpenedModule,
    /// Its stage, from 0.
    pub(super) stage: usize,
    /// Where all of them stand, a line for each run.
    pub(super) places: Vec<String>,
}

/// The kinds in the order in which they come, and how many are left out.
pub(super) fn kinds(stages: &[OpenedStage]) -> (Vec<ModuleKind<'_>>, usize) {
    let mut kinds: Vec<ModuleKind<'_>> = Vec::new();
    let mut left_out = 0;
    for (stage, opened) in stages.iter().enumerate() {
        let mut at = 1;
        for module in &opened.modules {
            let place = place(stage, at, module);
            at += module.count;
            match kinds.iter().position(|kind| alike(kind.module, module)) {
                Some(known) => kinds[known].places.push(place),
                None if kinds.len() < MOST => kinds.push(ModuleKind { module, stage, places: vec![place] }),
                None => left_out += 1,
            }
        }
    }
    (kinds, left_out)
}

/// `stage 2 · modules 2–4 · 512: 128, 128, 512`.
fn place(stage: usize, from: usize, module: &OpenedModule) -> String {
    let which = match module.count {
        1 => format!("module {from}"),
        count => format!("modules {from}–{}", from + count - 1),
    };
    let inputs = module.convolutions.first().map_or(0, |conv| conv.inputs);
    let outputs: Vec<String> = module.convolutions.iter().map(|conv| conv.outputs.to_string()).collect();
    format!("stage {} · {which} · {inputs} → {}", stage + 1, outputs.join(", "))
}

fn alike(a: &OpenedModule, b: &OpenedModule) -> bool {
    let shape = |conv: &OpenedConv| (conv.kernel, conv.stride, conv.dilation, conv.padding, conv.groups > 1);
    let mut pairs = a.convolutions.iter().zip(&b.convolutions);
    a.convolutions.len() == b.convolutions.len()
        && pairs.all(|(a, b)| shape(a) == shape(b))
        && around(&a.shortcut) == around(&b.shortcut)
        && (&a.extras, a.pre_activation) == (&b.extras, b.pre_activation)
}

/// A shortcut without its numbers of channels.
fn around(shortcut: &OpenedShortcut) -> OpenedShortcut {
    match shortcut {
        OpenedShortcut::Padded { channels: Some([before, behind]), widens, pooled } => OpenedShortcut::Padded {
            channels: Some([usize::from(*before > 0), usize::from(*behind > 0)]),
            widens: *widens,
            pooled: *pooled,
        },
        other => other.clone(),
    }
}
