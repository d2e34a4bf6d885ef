//! Softmax and its relatives: before opset 13 over all dimensions from an axis on at once, since then over one.

use std::collections::HashMap;

use super::{error::UpgradeError, lift::Lift};
use crate::onnx::{AttributeProto, GraphProto, NodeProto, ValueInfoProto, type_proto};

impl Lift<'_> {
    pub(super) fn softmax(&mut self, mut node: NodeProto, ranks: &Ranks) -> Result<(), UpgradeError> {
        let axis = node.int("axis").unwrap_or(1);
        let (Some(x), Some(y)) = (node.input.first().cloned(), node.output.first().cloned()) else {
            return Err(self.refused(&node, "without input or output"));
        };
        let last = axis == -1 || ranks.of_value(&x).is_some_and(|rank| axis == rank - 1);
        node.attribute.clear();
        node.attribute.push(AttributeProto::of_int("axis", -1));
        if last {
            self.graph.node.push(node);
            return Ok(());
        }
        // The dimensions in front of the axis are rows, those behind it columns; then everything is as it was.
        let [shape, flat, row] = ["shape", "rows", "softmax"].map(|suffix| self.names.fresh(&y, suffix));
        let made = |op: &str, inputs: &[&str], output: &str, attribute| NodeProto {
            op_type: op.to_owned(),
            name: output.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        };
        let before = [
            made("Shape", &[&x], &shape, Vec::new()),
            made("Flatten", &[&x], &flat, vec![AttributeProto::of_int("axis", axis)]),
        ];
        let after = made("Reshape", &[&row, &shape], &y, Vec::new());
        node.input[0] = flat;
        node.output[0] = row;
        self.graph.node.extend(before.into_iter().chain([node, after]));
        Ok(())
    }
}

/// The number of dimensions of values, as far as the file tells.
pub(super) struct Ranks(HashMap<String, i64>);

impl Ranks {
    /// Of what `graph` declares, and of what is plain from `nodes`, which come in the order in which they run.
    pub(super) fn of(graph: &GraphProto, nodes: &[NodeProto]) -> Self {
        let declared = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
        let mut ranks: HashMap<String, i64> =
            declared.filter_map(|value| Some((value.name.clone(), rank(value)?))).collect();
        for node in nodes {
            let known = match node.op_type.as_str() {
                "Gemm" | "Flatten" => Some(2),
                "Identity" | "Dropout" | "Relu" | "Cast" => {
                    node.input.first().and_then(|input| ranks.get(input).copied())
                }
                _ => None,
            };
            if let (Some(rank), Some(output)) = (known, node.output.first()) {
                ranks.entry(output.clone()).or_insert(rank);
            }
        }
        Self(ranks)
    }

    fn of_value(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }
}

fn rank(value: &ValueInfoProto) -> Option<i64> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor.shape.as_ref()?.dim.len() as i64),
        _ => None,
    }
}
