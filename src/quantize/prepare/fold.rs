//! Batch normalisation into the convolution before it.

use std::collections::HashSet;

use super::PrepareError;
use crate::onnx::{BatchNormalization, GraphProto, NodeProto, TensorProto, Walk, f32_values, float_tensor};

/// `Conv → BatchNormalization` becomes `Conv`, where nobody else reads the value between them.
pub(super) fn fold_batch_normalization(graph: &mut GraphProto) -> Result<(), PrepareError> {
    let mut folded: Vec<(String, NodeProto, Vec<TensorProto>)> = Vec::new();
    let mut gone: HashSet<String> = HashSet::new();
    {
        let walk = Walk::new(graph);
        for bn in graph.node.iter().filter(|node| node.op_type == "BatchNormalization" && node.input.len() == 5) {
            let x = bn.input[0].as_str();
            let Some(conv) = walk.producer(x).filter(|node| node.op_type == "Conv") else { continue };
            if walk.consumers(x).len() != 1 || walk.is_output(x) {
                continue;
            }
            let Some(fold) = folded_conv(&walk, conv, bn)? else { continue };
            gone.insert(bn.output[0].clone());
            folded.push((x.to_owned(), fold.0, fold.1));
        }
    }
    graph.node.retain(|node| !(node.op_type == "BatchNormalization" && gone.contains(&node.output[0])));
    for (old_output, node, tensors) in folded {
        if let Some(place) = graph.node.iter_mut().find(|node| node.output.first() == Some(&old_output)) {
            *place = node;
        }
        graph.initializer.extend(tensors);
    }
    Ok(())
}

/// The convolution that does both; `None` where a parameter is no constant.
fn folded_conv(
    walk: &Walk<'_>,
    conv: &NodeProto,
    bn: &NodeProto,
) -> Result<Option<(NodeProto, Vec<TensorProto>)>, PrepareError> {
    let constant = |name: &String| walk.constant(name);
    let Some(kernel) = conv.input.get(1).and_then(constant) else { return Ok(None) };
    let [Some(gamma), Some(beta), Some(mean), Some(variance)] = [1, 2, 3, 4].map(|i| constant(&bn.input[i])) else {
        return Ok(None);
    };
    let own_bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => match constant(name) {
            Some(tensor) => Some(f32_values(tensor)?),
            None => return Ok(None),
        },
        None => None,
    };
    let epsilon = f64::from(bn.float("epsilon").unwrap_or(1e-5));
    let [gamma, beta] = [f32_values(gamma)?, f32_values(beta)?];
    let [mean, variance] = [f32_values(mean)?, f32_values(variance)?];
    let mut weights = f32_values(kernel)?;
    let outputs = kernel.dims.first().map_or(0, |&dim| dim as usize);
    let sizes = [gamma.len(), beta.len(), mean.len(), variance.len(), own_bias.as_ref().map_or(outputs, Vec::len)];
    if outputs == 0 || sizes.iter().any(|&size| size != outputs) {
        return Ok(None);
    }
    let normalization = BatchNormalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon };
    let bias = normalization.fold_into(&mut weights, own_bias.as_deref());
    let name = &bn.output[0];
    let shape: Vec<usize> = kernel.dims.iter().map(|&dim| dim as usize).collect();
    let tensors = vec![
        float_tensor(format!("{name}.folded_weight"), &shape, &weights),
        float_tensor(format!("{name}.folded_bias"), &[outputs], &bias),
    ];
    let node = NodeProto {
        input: vec![conv.input[0].clone(), tensors[0].name.clone(), tensors[1].name.clone()],
        output: vec![name.clone()],
        ..conv.clone()
    };
    Ok(Some((node, tensors)))
}
