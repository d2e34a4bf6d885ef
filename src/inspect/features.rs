//! Where the features of a classifier are: the pooled values that its last layer reads.

use super::{layer::Kind, layers::Layers, operators::Slots, values::Values};
use crate::onnx::Walk;

/// The value that the last layer before `output` reads, behind which everything is pooled: a row for each image.
///
/// Where that layer rounds what it reads by itself, it is the value before the rounding.
///
/// # Errors
/// Why there is none, as the end of a sentence.
pub(super) fn features(
    walk: &Walk<'_>,
    layers: &Layers<'_>,
    values: &Values<'_>,
    output: &str,
) -> Result<String, String> {
    let mut way = layers.of_value(output).into_iter().flat_map(|end| layers.back_from(end));
    let is_weighted = |layer: &usize| matches!(layers.all[*layer].kind, Kind::Linear { .. } | Kind::Conv(_));
    let Some(last) = way.find(is_weighted) else {
        return Err("its graph has no layer of weights before its output".to_owned());
    };
    // Layers of weights in between belong to the head as well: nothing of the image's height and width is left there.
    let mut before =
        way.take_while(|&layer| !matches!(layers.all[layer].kind, Kind::Conv(_) | Kind::Add | Kind::Gate(_)));
    let is_pool = |layer: usize| {
        matches!(
            layers.all[layer].kind,
            Kind::GlobalPool | Kind::AveragePool(_) | Kind::Other("GlobalMaxPool" | "ReduceMax")
        )
    };
    if !before.any(is_pool) {
        return Err("nothing is pooled before its last layer".to_owned());
    }
    let unclear = || "its last layer is of a form that is not known".to_owned();
    let node = walk.producer(layers.all[last].value).ok_or_else(unclear)?;
    let read = node.input.get(Slots::of(node).x).filter(|value| !values.is_inert(value)).ok_or_else(unclear)?;
    match node.op_type.as_str() {
        "Gemm" | "MatMul" | "Conv" | "FusedConv" => Ok(read.clone()),
        "MatMulInteger" | "ConvInteger" => {
            let rounding = walk.producer(read).filter(|node| node.op_type == "DynamicQuantizeLinear");
            rounding.and_then(|node| node.input.first()).cloned().ok_or_else(unclear)
        }
        "QGemm" | "QLinearMatMul" | "QLinearConv" => {
            Err("its last layer reads integers of 8 bits, not numbers (a graph in QOperator form)".to_owned())
        }
        _ => Err(unclear()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        inspect::inspect,
        onnx::{DataType, GraphBuilder, float_tensor, value_info},
    };

    /// What is found in a network of these operators, one after the other; `Gemm`, `Conv` and their relatives have weights.
    fn found(operators: &[&str]) -> Result<String, String> {
        let mut graph = GraphBuilder::new("chain");
        let mut value = graph.input(value_info("x", DataType::Float, &[3, 8, 8]));
        for (place, op) in operators.iter().enumerate() {
            let weight = |name: &str, dims: &[usize]| float_tensor(name, dims, &vec![0.5; dims.iter().product()]);
            let name = format!("{op}{place}");
            let dims: Option<&[usize]> = match *op {
                "Conv" => Some(&[3, 3, 1, 1]),
                op if op.contains("Gemm") || op.contains("MatMul") => Some(&[3, 3]),
                _ => None,
            };
            let mut inputs = vec![value.clone()];
            if let Some(dims) = dims {
                let weight = graph.initializer(weight(&format!("{name}.w"), dims));
                // Of a quantized layer, scales and zero points stand in between.
                let rest = if op.starts_with('Q') { 3 } else { 1 };
                inputs.extend(std::iter::repeat_n(weight, rest));
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            value = graph.node(op, &name, &inputs, Vec::new());
        }
        graph.output(&value, value_info("y", DataType::Float, &[3]));
        inspect(&graph.finish(8, 17, &[])).unwrap().outputs.remove(0).features
    }

    #[test]
    fn they_are_what_the_last_layer_of_weights_reads_behind_the_pool() {
        for (operators, value) in [
            (&["Conv", "GlobalAveragePool", "Flatten", "Gemm"][..], "Flatten2"),
            (&["Conv", "GlobalAveragePool", "Conv", "Flatten"], "GlobalAveragePool1"),
            (&["Conv", "ReduceMean", "Dropout", "MatMul", "Softmax"], "Dropout2"),
            (&["Conv", "GlobalMaxPool", "Flatten", "Gemm", "Relu", "Gemm", "Sigmoid"], "Relu4"),
            (
                &["Conv", "GlobalAveragePool", "Flatten", "QuantizeLinear", "DequantizeLinear", "Gemm"],
                "DequantizeLinear4",
            ),
            (&["Conv", "GlobalAveragePool", "Flatten", "DynamicQuantizeLinear", "MatMulInteger"], "Flatten2"),
        ] {
            assert_eq!(found(operators), Ok(value.to_owned()), "{operators:?}");
        }
    }

    #[test]
    fn where_there_are_none_the_reason_is_told() {
        for (operators, reason) in [
            (&["Conv", "Flatten", "Gemm"][..], "nothing is pooled"),
            (&["Conv", "GlobalAveragePool", "Flatten"], "nothing is pooled"),
            (&["GlobalAveragePool", "Flatten"], "no layer of weights"),
            (&["Conv", "GlobalAveragePool", "Conv", "Conv", "Flatten"], "nothing is pooled"),
            (&["Conv", "GlobalAveragePool", "Flatten", "QGemm"], "integers of 8 bits"),
        ] {
            assert!(found(operators).is_err_and(|it| it.contains(reason)), "{operators:?}: {:?}", found(operators));
        }
    }
}
