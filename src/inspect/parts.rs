//! Which part of a network each node belongs to, what the parts weigh, and what their modules look like inside.

use std::collections::HashMap;

use super::{
    anatomy::{Anatomy, OpenedConv, OpenedHead, OpenedModule, OpenedShortcut, OpenedStage, PartWeight},
    facts::{macs_of, parameters_of},
    family::{NetworkHead, is_attention, is_weighted},
    layer::{Conv, Kind},
    layers::Layers,
    modules::{Around, Module},
    report::ResNet,
    values::Values,
};
use crate::onnx::Walk;

/// Takes a recognised network apart.
pub(super) fn taken_apart(
    walk: &Walk<'_>,
    values: &Values<'_>,
    layers: &Layers<'_>,
    modules: &[Module<'_>],
    resnet: &ResNet,
    head: &NetworkHead,
) -> Option<Anatomy> {
    let first = modules.first()?;
    let stage_of: Vec<usize> =
        resnet.stages.iter().enumerate().flat_map(|(index, stage)| std::iter::repeat_n(index, stage.modules)).collect();
    let mut weights = weights(walk, values, layers, modules, &stage_of, resnet.stages.len()).into_iter();
    let stem_weight = weights.next()?;
    let mut stages: Vec<OpenedStage> =
        weights.by_ref().take(resnet.stages.len()).map(|weight| OpenedStage { weight, modules: Vec::new() }).collect();
    for (module, &stage) in modules.iter().zip(&stage_of) {
        let opened = opened(module);
        let like = |last: &OpenedModule| *last == OpenedModule { count: last.count, ..opened.clone() };
        let of_stage = &mut stages.get_mut(stage)?.modules;
        match of_stage.last_mut() {
            Some(last) if like(last) => last.count += 1,
            _ => of_stage.push(opened),
        }
    }
    let mut stem: Vec<_> = layers
        .back_from(first.fork)
        .filter_map(|layer| match &layers.all[layer].kind {
            Kind::Conv(conv) => Some((conv_of(conv), layers.size(layer, values))),
            _ => None,
        })
        .collect();
    stem.reverse();
    let (stem, stem_sizes) = stem.into_iter().unzip();
    let NetworkHead { pooled, linears, softmax, .. } = *head;
    let head = OpenedHead { pooled, linears, softmax, weight: weights.next()? };
    Some(Anatomy { stem, stem_sizes, stem_weight, stages, head })
}

/// What stem, stages and head weigh, in this order: a node belongs to the first of them that needs it, and to the head
/// where none does.
fn weights<'a>(
    walk: &Walk<'a>,
    values: &Values<'_>,
    layers: &Layers<'a>,
    modules: &[Module<'_>],
    stage_of: &[usize],
    stages: usize,
) -> Vec<PartWeight> {
    let mut part_of: HashMap<&str, usize> = HashMap::new();
    let stem = modules.first().map(|module| (module.fork, 0));
    let ends = modules.iter().zip(stage_of).map(|(module, stage)| (module.sum, stage + 1));
    let mut waiting: Vec<&str> = Vec::new();
    for (layer, part) in stem.into_iter().chain(ends) {
        waiting.push(layers.all[layer].value);
        while let Some(value) = waiting.pop() {
            // Each node once, for the first part that comes by.
            let Some(node) = walk.producer(value).filter(|_| !part_of.contains_key(value)) else { continue };
            part_of.extend(node.output.iter().map(|output| (output.as_str(), part)));
            waiting.extend(node.input.iter().map(String::as_str));
        }
    }
    let mut weights = vec![PartWeight { parameters: 0, macs: Some(0) }; stages + 2];
    for node in &walk.graph().node {
        let part = node.output.first().and_then(|output| part_of.get(output.as_str())).copied();
        let weight = &mut weights[part.unwrap_or(stages + 1)];
        weight.parameters = weight.parameters.saturating_add(parameters_of(node, values, layers));
        weight.macs = weight.macs.zip(macs_of(node, values)).map(|(sum, macs)| sum.saturating_add(macs));
    }
    weights
}

fn opened(module: &Module<'_>) -> OpenedModule {
    let shortcut = match &module.shortcut {
        Around::Straight => OpenedShortcut::Identity,
        Around::Projection { kernel, stride, pooled } => {
            OpenedShortcut::Projection { kernel: *kernel, stride: *stride, pooled: *pooled }
        }
        Around::Identity { pooled, channels } => {
            OpenedShortcut::Padded { channels: channels.flatten(), widens: channels.is_some(), pooled: *pooled }
        }
        Around::Other => OpenedShortcut::Other,
    };
    OpenedModule {
        count: 1,
        convolutions: module.convs.iter().map(conv_of).collect(),
        shortcut,
        extras: module.gates.iter().map(|ops| extra(ops)).collect(),
        pre_activation: module.pre_activation,
    }
}

fn conv_of(conv: &Conv) -> OpenedConv {
    let Conv { inputs, outputs, groups, window, .. } = conv;
    OpenedConv {
        kernel: window.kernel,
        stride: window.stride,
        dilation: window.dilation,
        padding: window.pads,
        groups: *groups,
        inputs: *inputs,
        outputs: *outputs,
    }
}

/// What a gate is called.
fn extra(ops: &[&str]) -> String {
    match (is_attention(ops), is_weighted(ops)) {
        (true, true) => "squeeze-and-excitation".to_owned(),
        (true, false) => "channel attention".to_owned(),
        (false, _) => ops.join(", "),
    }
}
