//! The fp32 graph in the one form that the other steps know: batch normalisation folded, weights laid out by output
//! channel, identity shortcuts as convolutions. What it computes stays the same.
//!
//! Any exporter's graph comes in; what is not recognised stays as it is and is run in fp32.

use std::collections::{HashMap, HashSet};

use crate::onnx::{
    AttributeProto, BatchNormalization, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorError,
    TensorProto, Walk, f32_values, float_tensor, i64_values,
};

/// From this version on DequantizeLinear has one scale for each channel.
const OPSET: i64 = 13;
/// What [`OPSET`] asks for at least; files from version 4 on need not list weights among the inputs.
const IR_VERSION: i64 = 7;
/// The first version whose operators can be read as those of [`OPSET`], where [`UNCHANGED`] has them.
const OLDEST_OPSET: i64 = 7;
/// Operators that mean the same from [`OLDEST_OPSET`] to [`OPSET`], in the form in which ResNets use them.
const UNCHANGED: [&str; 18] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Concat",
    "Constant",
    "Conv",
    "Dropout",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Transpose",
];

/// Why a graph cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It has 8-bit arithmetic.
    #[error(
        "it is quantized already (node {node:?}, {op_type}); start from the fp32 version that it was made from (--version)"
    )]
    Quantized {
        /// The node that gives it away.
        node: String,
        /// What it is.
        op_type: String,
    },
    /// It has no convolution.
    #[error("it is no ResNet: it has no convolution with constant weights, so 8 bits gain nothing")]
    NoConvolution,
    /// The weights are 16-bit.
    #[error(
        "its weights are {found} (tensor {tensor:?}); quantize the version with fp32 weights that it was made from"
    )]
    Weights {
        /// The tensor.
        tensor: String,
        /// Its element type.
        found: &'static str,
    },
    /// The operators are too old to be read as those that 8 bits need.
    #[error("it is of opset {opset} with operator {op_type}; export it again with opset {OPSET} or newer")]
    Opset {
        /// The file's.
        opset: i64,
        /// What changed its meaning since, or `any`.
        op_type: String,
    },
    /// A weight cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Brings `model` into the one form.
///
/// # Errors
/// [`PrepareError`] for a graph that is quantized already, has no fp32 convolution, or is too old.
pub fn prepare(mut model: ModelProto) -> Result<ModelProto, PrepareError> {
    let opset = model.opset().unwrap_or(1);
    let mut graph = model.graph.take().unwrap_or_default();
    refuse(&graph)?;
    if opset < OPSET {
        check_opset(&graph, opset)?;
        model.opset_import.retain(|set| !matches!(set.domain.as_str(), "" | "ai.onnx"));
        model.opset_import.push(OperatorSetIdProto { domain: String::new(), version: OPSET });
    }
    model.ir_version = model.ir_version.max(IR_VERSION);

    constants_to_initializers(&mut graph);
    let weights: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.retain(|input| !weights.contains(input.name.as_str()));
    bypass(&mut graph);
    fold_batch_normalization(&mut graph)?;
    gemm_by_output(&mut graph)?;
    shortcuts_to_convolutions(&mut graph)?;
    prune(&mut graph);
    // Shapes and types of inner values that were exported along are not true of the 8-bit graph.
    graph.value_info.clear();
    model.graph = Some(graph);
    Ok(model)
}

fn refuse(graph: &GraphProto) -> Result<(), PrepareError> {
    let quantized = |op: &str| {
        op.starts_with("QLinear")
            || op.ends_with("QuantizeLinear")
            || op.ends_with("Integer")
            || op.starts_with("QGemm")
            || op == "DequantizeLinear"
    };
    if let Some(node) = graph.node.iter().find(|node| quantized(&node.op_type)) {
        return Err(PrepareError::Quantized { node: node.name.clone(), op_type: node.op_type.clone() });
    }
    let walk = Walk::new(graph);
    let kernels = graph.node.iter().filter(|node| node.op_type == "Conv");
    let mut kernels = kernels.filter_map(|node| walk.constant(node.input.get(1)?)).peekable();
    if kernels.peek().is_none() {
        return Err(PrepareError::NoConvolution);
    }
    match kernels.find(|tensor| tensor.data_type != i32::from(DataType::Float)) {
        Some(tensor) => {
            let found = DataType::try_from(tensor.data_type).map_or("of no known type", |found| found.as_str_name());
            Err(PrepareError::Weights { tensor: tensor.name.clone(), found })
        }
        None => Ok(()),
    }
}

fn check_opset(graph: &GraphProto, opset: i64) -> Result<(), PrepareError> {
    if opset < OLDEST_OPSET {
        return Err(PrepareError::Opset { opset, op_type: "any".into() });
    }
    match graph.node.iter().find(|node| !UNCHANGED.contains(&node.op_type.as_str())) {
        Some(node) => Err(PrepareError::Opset { opset, op_type: node.op_type.clone() }),
        None => Ok(()),
    }
}

fn constants_to_initializers(graph: &mut GraphProto) {
    let (constants, nodes): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.node)
        .into_iter()
        .partition(|node| node.op_type == "Constant" && node.tensor("value").is_some() && node.output.len() == 1);
    graph.node = nodes;
    for mut node in constants {
        if let Some(tensor) = node.attribute.pop().and_then(|attribute| attribute.t) {
            graph.initializer.push(TensorProto { name: node.output.swap_remove(0), ..tensor });
        }
    }
}

/// Takes out nodes that hand their input on at inference.
fn bypass(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut instead: HashMap<String, String> = HashMap::new();
    graph.node.retain(|node| {
        let hands_on = matches!(node.op_type.as_str(), "Identity" | "Dropout");
        let [output, rest @ ..] = &*node.output else { return true };
        let mask_unread = rest.iter().all(String::is_empty) || node.op_type == "Dropout";
        if !hands_on || !mask_unread || outputs.contains(output) || node.input.is_empty() {
            return true;
        }
        let source = instead.get(&node.input[0]).unwrap_or(&node.input[0]).clone();
        instead.insert(output.clone(), source);
        false
    });
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(source) = instead.get(name) {
            name.clone_from(source);
        }
    }
}

/// `Conv → BatchNormalization` becomes `Conv`, where nobody else reads the value between them.
fn fold_batch_normalization(graph: &mut GraphProto) -> Result<(), PrepareError> {
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

/// Weights of fully connected layers as `[K, C]`, so that the first axis is the output channel as in a convolution.
fn gemm_by_output(graph: &mut GraphProto) -> Result<(), PrepareError> {
    let mut transposed = Vec::new();
    let weights: HashMap<String, TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.clone())).collect();
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Gemm" && node.int("transB").unwrap_or(0) == 0) {
        let Some(weight) = node.input.get(1).and_then(|name| weights.get(name)) else { continue };
        let [rows, columns] = weight.dims[..] else { continue };
        let (rows, columns) = (rows as usize, columns as usize);
        let values = f32_values(weight)?;
        let turned: Vec<f32> =
            (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| values[r * columns + c]).collect();
        let name = format!("{}.by_output", weight.name);
        transposed.push(float_tensor(name.clone(), &[columns, rows], &turned));
        node.input[1] = name;
        node.attribute.retain(|attribute| attribute.name != "transB");
        node.attribute.push(AttributeProto::of_int("transB", 1));
    }
    graph.initializer.extend(transposed);
    Ok(())
}

/// The identity shortcut that changes the number of channels (every stride-th pixel, zeros for the new channels) becomes
/// a 1x1 convolution with ones on the diagonal. Exact in 8 bits too, and fused by every engine, while a Pad in 8 bits
/// makes them leave their own layout; it costs under 1 % of the network's products.
fn shortcuts_to_convolutions(graph: &mut GraphProto) -> Result<(), PrepareError> {
    let mut shortcuts = Vec::new();
    {
        let walk = Walk::new(graph);
        for pad in graph.node.iter().filter(|node| node.op_type == "Pad") {
            if let Some(shortcut) = padded_channels(&walk, pad)? {
                shortcuts.push(shortcut);
            }
        }
    }
    for (shortcut, kernel) in shortcuts {
        let output = &shortcut.output[0];
        if let Some(place) = graph.node.iter_mut().find(|node| node.output.first() == Some(output)) {
            *place = shortcut;
            graph.initializer.push(kernel);
        }
    }
    Ok(())
}

fn padded_channels(walk: &Walk<'_>, pad: &NodeProto) -> Result<Option<(NodeProto, TensorProto)>, PrepareError> {
    let zero = match pad.input.get(2).filter(|name| !name.is_empty()) {
        None => true,
        Some(value) => match walk.constant(value) {
            Some(tensor) => f32_values(tensor)?.iter().all(|&value| value == 0.0),
            None => false,
        },
    };
    let Some(pads) = pad.input.get(1).and_then(|name| walk.constant(name)) else { return Ok(None) };
    let pads = i64_values(pads)?;
    let [0, before, 0, 0, 0, after, 0, 0] = pads[..] else { return Ok(None) };
    let constant_mode = pad.string("mode").unwrap_or("constant") == "constant";
    if before < 0 || after < 0 || !zero || !constant_mode || pad.input.len() > 3 {
        return Ok(None);
    }
    let (mut input, mut stride) = (&pad.input[0], 1);
    let read_once = walk.consumers(input).len() == 1 && !walk.is_output(input);
    if let Some(pool) = walk.producer(input).filter(|node| read_once && is_subsample(node)) {
        (input, stride) = (&pool.input[0], pool.ints("strides").map_or(1, |strides| strides[0]));
    }
    let Some(channels) = channels_of(walk, input) else { return Ok(None) };
    let (before, outputs) = (before as usize, channels + before as usize + after as usize);
    let mut weights = vec![0.0; outputs * channels];
    (0..channels).for_each(|channel| weights[(before + channel) * channels + channel] = 1.0);
    let output = &pad.output[0];
    let kernel = float_tensor(format!("{output}.identity"), &[outputs, channels, 1, 1], &weights);
    let node = NodeProto {
        op_type: "Conv".into(),
        name: pad.name.clone(),
        input: vec![input.clone(), kernel.name.clone()],
        output: vec![output.clone()],
        attribute: vec![
            AttributeProto::of_ints("kernel_shape", &[1, 1]),
            AttributeProto::of_ints("strides", &[stride, stride]),
        ],
        ..NodeProto::default()
    };
    Ok(Some((node, kernel)))
}

/// A max-pool of single pixels.
fn is_subsample(node: &NodeProto) -> bool {
    let equal = |name: &str, value: i64| node.ints(name).is_none_or(|values| values.iter().all(|&v| v == value));
    node.op_type == "MaxPool"
        && node.ints("kernel_shape") == Some(&[1, 1])
        && equal("pads", 0)
        && node.ints("strides").is_none_or(|strides| strides.len() == 2 && strides[0] == strides[1])
}

/// The number of channels of a value, found from the weights of the nearest convolution before it.
fn channels_of(walk: &Walk<'_>, value: &str) -> Option<usize> {
    let mut value = value;
    // A graph with a cycle would not end; no shortcut is this far from a convolution.
    for _ in 0..1000 {
        let node = walk.producer(value)?;
        match node.op_type.as_str() {
            "Conv" => return walk.constant(node.input.get(1)?)?.dims.first().map(|&dim| dim as usize),
            "Relu" | "MaxPool" | "BatchNormalization" => value = node.input.first()?,
            "Add" => {
                let by_conv = |name: &&String| walk.producer(name).is_some_and(|node| node.op_type == "Conv");
                value = node.input.iter().find(by_conv).or(node.input.first())?;
            }
            _ => return None,
        }
    }
    None
}

/// Takes out nodes and weights that nobody reads any more.
fn prune(graph: &mut GraphProto) {
    loop {
        let mut read: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
        read.extend(graph.node.iter().flat_map(|node| node.input.iter().cloned()));
        let before = graph.node.len();
        graph.node.retain(|node| node.output.iter().any(|output| read.contains(output)));
        if graph.node.len() == before {
            graph.initializer.retain(|tensor| read.contains(&tensor.name));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{ConvShape, GraphBuilder, PoolShape, int_tensor, value_info};

    const POINT: ConvShape = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };

    fn finish(graph: GraphBuilder, opset: i64) -> ModelProto {
        graph.finish(3, opset, &[])
    }

    fn values(model: &ModelProto, node: &NodeProto, place: usize) -> Vec<f32> {
        let graph = model.graph.as_ref().unwrap();
        f32_values(graph.initializer.iter().find(|tensor| tensor.name == node.input[place]).unwrap()).unwrap()
    }

    #[test]
    fn batch_normalization_is_folded_by_hand_computed_numbers() {
        let mut graph = GraphBuilder::new("bn");
        let x = graph.input(value_info("x", DataType::Float, &[1, 2, 2]));
        let weight = graph.initializer(float_tensor("w", &[1, 1, 1, 1], &[2.0]));
        let bias = graph.initializer(float_tensor("b", &[1], &[0.5]));
        let y = graph.conv("conv", &x, &weight, Some(&bias), POINT);
        let parameters = [("gamma", 3.0), ("beta", 0.25), ("mean", 1.0), ("variance", 3.0)];
        let names = parameters.map(|(name, value)| graph.initializer(float_tensor(name, &[1], &[value])));
        let y = graph.batch_normalization("bn", &y, names.each_ref().map(String::as_str), 1.0);
        graph.output(&y, value_info("out", DataType::Float, &[1, 2, 2]));

        let model = prepare(finish(graph, 17)).unwrap();

        let nodes = &model.graph.as_ref().unwrap().node;
        assert_eq!(nodes.len(), 1);
        assert_eq!(nodes[0].output, ["out"]);
        // 3 / sqrt(3 + 1) = 1.5 times the weight; 0.25 + (0.5 - 1) * 1.5 for the bias.
        assert_eq!(values(&model, &nodes[0], 1), [3.0]);
        assert_eq!(values(&model, &nodes[0], 2), [-0.5]);
        assert_eq!(model.graph.as_ref().unwrap().initializer.len(), 2, "the old parameters are gone");
    }

    #[test]
    fn an_identity_shortcut_becomes_a_convolution_with_ones_on_the_diagonal() {
        let mut graph = GraphBuilder::new("shortcut");
        let x = graph.input(value_info("x", DataType::Float, &[2, 4, 4]));
        let weight = graph.initializer(float_tensor("w", &[2, 2, 1, 1], &[1.0; 4]));
        let y = graph.conv("conv", &x, &weight, None, POINT);
        let y = graph.subsample("half", &y, 2);
        let y = graph.pad_channels("pad", &y, 1, 0);
        graph.output(&y, value_info("out", DataType::Float, &[3, 2, 2]));

        let model = prepare(finish(graph, 17)).unwrap();

        let nodes = &model.graph.as_ref().unwrap().node;
        assert_eq!(nodes.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>(), ["Conv", "Conv"]);
        assert_eq!(nodes[1].ints("strides"), Some(&[2, 2][..]));
        assert_eq!(values(&model, &nodes[1], 1), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn weights_of_a_fully_connected_layer_come_by_output() {
        let mut graph = GraphBuilder::new("fc");
        let x = graph.input(value_info("x", DataType::Float, &[2, 1, 1]));
        let kernel = graph.initializer(float_tensor("k", &[2, 2, 1, 1], &[1.0; 4]));
        let y = graph.conv("conv", &x, &kernel, None, POINT);
        let y = graph.flatten("flat", &y);
        let weight = graph.initializer(float_tensor("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let y = graph.node("Gemm", "fc", &[&y, &weight], Vec::new());
        graph.output(&y, value_info("out", DataType::Float, &[3]));

        let model = prepare(finish(graph, 17)).unwrap();

        let fc = model.graph.as_ref().unwrap().node.last().unwrap().clone();
        assert_eq!(fc.int("transB"), Some(1));
        assert_eq!(values(&model, &fc, 1), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn a_file_of_an_older_opset_is_lifted_and_one_that_cannot_be_is_refused() {
        let graph = |op: &str| {
            let mut graph = GraphBuilder::new("old");
            let x = graph.input(value_info("x", DataType::Float, &[1, 2, 2]));
            let weight = float_tensor("w", &[1, 1, 1, 1], &[2.0]);
            let weight = graph.initializer(weight);
            graph.input(value_info("w", DataType::Float, &[1, 1, 1]));
            let y = graph.conv("conv", &x, &weight, None, POINT);
            let y = graph.node(op, "after", &[&y], Vec::new());
            graph.output(&y, value_info("out", DataType::Float, &[1, 2, 2]));
            graph
        };
        let model = prepare(finish(graph("Relu"), 8)).unwrap();
        assert_eq!(model.opset(), Some(13));
        assert_eq!(model.graph.unwrap().input.len(), 1, "weights are no inputs any more");
        let refused = prepare(finish(graph("Upsample"), 8)).unwrap_err().to_string();
        assert!(refused.contains("opset 8") && refused.contains("Upsample"), "{refused}");
    }

    #[test]
    fn what_is_no_fp32_convolutional_network_is_refused_with_the_reason() {
        let mut graph = GraphBuilder::new("relu");
        let x = graph.input(value_info("x", DataType::Float, &[3, 2, 2]));
        let y = graph.max_pool("pool", &x, PoolShape { kernel: 1, stride: 1, padding: 0, ceil_mode: false });
        let y = graph.relu("relu", &y);
        graph.output(&y, value_info("out", DataType::Float, &[3, 2, 2]));
        assert!(matches!(prepare(finish(graph, 17)), Err(PrepareError::NoConvolution)));

        let mut graph = GraphBuilder::new("half");
        let x = graph.input(value_info("x", DataType::Float16, &[1, 2, 2]));
        let weight = graph.initializer(crate::onnx::half_tensor("w", &[1, 1, 1, 1], &[1.0]));
        let y = graph.conv("conv", &x, &weight, None, POINT);
        graph.output(&y, value_info("out", DataType::Float16, &[1, 2, 2]));
        assert!(prepare(finish(graph, 17)).unwrap_err().to_string().contains("FLOAT16"));

        let mut graph = GraphBuilder::new("qdq");
        let x = graph.input(value_info("x", DataType::Float, &[3, 2, 2]));
        let zero = graph.initializer(int_tensor("zero", &[0]));
        let y = graph.node("QuantizeLinear", "q", &[&x, &zero, &zero], Vec::new());
        graph.output(&y, value_info("out", DataType::Uint8, &[3, 2, 2]));
        assert!(matches!(prepare(finish(graph, 17)), Err(PrepareError::Quantized { .. })));
    }
}
