//! New names for values, nodes and tensors that an edit of a graph adds.

use std::collections::HashSet;

use super::{GraphProto, NodeProto};

/// The names that are taken.
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of(graph: &GraphProto) -> Self {
        Self::of_all(graph, &graph.node)
    }

    /// For a graph whose nodes are elsewhere meanwhile.
    pub(super) fn of_all(graph: &GraphProto, nodes: &[NodeProto]) -> Self {
        let values = nodes.iter().flat_map(|node| node.input.iter().chain(&node.output).chain([&node.name]));
        let edges = graph.input.iter().chain(&graph.output).map(|value| &value.name);
        Self(values.chain(edges).chain(graph.initializer.iter().map(|tensor| &tensor.name)).cloned().collect())
    }

    /// `base.suffix`, or the like where that is taken.
    pub(super) fn fresh(&mut self, base: &str, suffix: &str) -> String {
        let mut name = format!("{base}.{suffix}");
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}
