//! Lifts a graph of an older set of operators to opset 13, from which on the operators that ResNets use say the same: from 7,
//! the oldest that ONNX Runtime runs.
//!
//! The graph computes the same as before. An operator whose meaning has changed and that is not known here is refused by
//! its name: nothing is guessed. `nodes` restates one operator after the other, `softmax` those over several
//! dimensions; `lift` holds the graph meanwhile.

mod error;
mod lift;
mod nodes;
mod softmax;
mod unchanged;

use super::{DataType, GraphProto, ModelProto, OperatorSetIdProto, names::Names};
use lift::Lift;

pub use error::UpgradeError;

/// What graphs are lifted to: from this version on DequantizeLinear has a scale for each channel, and all that moves data
/// takes its axes as inputs.
pub const UPGRADED_OPSET: i64 = 13;

/// The oldest operators that are read.
const OLDEST_OPSET: i64 = 7;

/// The least file version for [`UPGRADED_OPSET`]. From version 4 on, files need not list weights among the inputs.
const IR_VERSION: i64 = 7;

/// Lifts `model` to opset 13; a newer one comes back as it is.
///
/// # Errors
/// [`UpgradeError`] for a file that is too old, and for an operator that is not known here.
pub fn upgrade(mut model: ModelProto) -> Result<ModelProto, UpgradeError> {
    let opset = model.opset().unwrap_or(0);
    if opset >= UPGRADED_OPSET {
        return Ok(model);
    }
    if opset < OLDEST_OPSET {
        return Err(UpgradeError::TooOld { opset });
    }
    if let Some(graph) = &mut model.graph {
        let nodes = std::mem::take(&mut graph.node);
        let ranks = softmax::Ranks::of(graph, &nodes);
        let mut lift = Lift { opset, float: float_type(graph), names: Names::of_all(graph, &nodes), graph };
        for node in nodes {
            lift.node(node, &ranks)?;
        }
    }
    model.opset_import.retain(|set| !matches!(set.domain.as_str(), "" | "ai.onnx"));
    model.opset_import.push(OperatorSetIdProto { domain: String::new(), version: UPGRADED_OPSET });
    model.ir_version = model.ir_version.max(IR_VERSION);
    Ok(model)
}

/// FLOAT16 for a network whose weights all are, else FLOAT.
fn float_type(graph: &GraphProto) -> DataType {
    let any = |data_type: DataType| graph.initializer.iter().any(|tensor| tensor.data_type == i32::from(data_type));
    if any(DataType::Float16) && !any(DataType::Float) { DataType::Float16 } else { DataType::Float }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{AttributeProto, GraphBuilder, Walk, i64_values, value_info};

    /// `op` with these attributes and inputs between an input and an output of three dimensions behind the batch.
    fn single(op: &str, inputs: &[&str], attributes: Vec<AttributeProto>, opset: i64) -> ModelProto {
        let mut graph = GraphBuilder::new("single");
        let x = graph.input(value_info("x", DataType::Float, &[3, 4, 4]));
        let inputs: Vec<&str> = [&*x].into_iter().chain(inputs.iter().copied()).collect();
        let y = graph.node(op, "node", &inputs, attributes);
        graph.output(&y, value_info("y", DataType::Float, &[3, 4, 4]));
        graph.finish(3, opset, &[])
    }

    fn ops(model: &ModelProto) -> Vec<&str> {
        model.graph.iter().flat_map(|graph| &graph.node).map(|node| node.op_type.as_str()).collect()
    }

    #[test]
    fn what_has_not_changed_keeps_its_nodes_and_newer_files_are_not_touched() {
        let lifted = upgrade(single("Relu", &[], Vec::new(), 7)).unwrap();
        assert_eq!((lifted.opset(), lifted.ir_version, ops(&lifted)), (Some(13), 7, vec!["Relu"]));
        let newer = single("Softmax", &[], Vec::new(), 13);
        assert_eq!(upgrade(newer.clone()).unwrap(), newer);
    }

    #[test]
    fn axes_become_inputs() {
        let model = single("Squeeze", &[], vec![AttributeProto::of_ints("axes", &[2, 3])], 11);
        let lifted = upgrade(model).unwrap();
        let graph = lifted.graph.as_ref().unwrap();
        assert!(graph.node[0].attribute.is_empty());
        let axes = Walk::new(graph).constant(&graph.node[0].input[1]).unwrap();
        assert_eq!(i64_values(axes).unwrap(), [2, 3]);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name_with_a_remedy() {
        for (op, opset) in [("Scan", 9), ("Loop", 11), ("RoiAlign", 10)] {
            let refusal = upgrade(single(op, &[], Vec::new(), opset)).unwrap_err().to_string();
            assert!(refusal.contains(op) && refusal.contains(&format!("opset {opset}")), "{refusal}");
            assert!(refusal.contains("export it again"), "{refusal}");
        }
        let refusal = upgrade(single("Relu", &[], Vec::new(), 6)).unwrap_err().to_string();
        assert!(refusal.contains("opset 6") && refusal.contains('7'), "{refusal}");
        let by_pixel = single("BatchNormalization", &[], vec![AttributeProto::of_int("spatial", 0)], 8);
        assert!(upgrade(by_pixel).unwrap_err().to_string().contains("BatchNormalization"));
    }

    #[test]
    fn a_softmax_over_several_dimensions_is_one_over_a_row_of_them() {
        let lifted = upgrade(single("Softmax", &[], vec![AttributeProto::of_int("axis", 1)], 9)).unwrap();
        assert_eq!(ops(&lifted), ["Shape", "Flatten", "Softmax", "Reshape"]);
        let last = upgrade(single("Softmax", &[], vec![AttributeProto::of_int("axis", 3)], 9)).unwrap();
        assert_eq!(ops(&last), ["Softmax"]);
    }
}
