//! A graph on its way to newer operators, and what every step needs of it.

use super::error::UpgradeError;
use crate::onnx::{DataType, GraphProto, NodeProto, TensorProto, names::Names};

/// A graph on its way up: nodes are put back one after the other.
pub(super) struct Lift<'a> {
    pub(super) opset: i64,
    /// What its floats are.
    pub(super) float: DataType,
    pub(super) names: Names,
    pub(super) graph: &'a mut GraphProto,
}

impl Lift<'_> {
    /// Adds a constant under a name of its own, and gives the name.
    pub(super) fn constant(&mut self, base: &str, suffix: &str, tensor: TensorProto) -> String {
        let name = self.names.fresh(base, suffix);
        self.graph.initializer.push(TensorProto { name: name.clone(), ..tensor });
        name
    }

    pub(super) fn refused(&self, node: &NodeProto, reason: &'static str) -> UpgradeError {
        let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
        UpgradeError::Operator {
            opset: self.opset,
            op_type: node.op_type.clone(),
            node: name.cloned().unwrap_or_default(),
            reason,
        }
    }
}
