//! Walking a graph: who makes a value, who reads it, and in which order nodes can run.

use std::collections::{HashMap, HashSet};

use super::{GraphProto, NodeProto, TensorProto};

impl GraphProto {
    /// The first node that shows that the network is quantized, in whichever form (QDQ, QOperator, dynamic): one that
    /// computes with integers, or converts between them and floats.
    pub fn quantized_node(&self) -> Option<&NodeProto> {
        let rounds = |node: &&NodeProto| matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear");
        self.node.iter().find(|node| rounds(node) || node.is_integer_arithmetic())
    }
}

impl NodeProto {
    /// Whether it computes with integers, as the nodes of networks in QOperator or dynamic form do.
    pub fn is_integer_arithmetic(&self) -> bool {
        let op = self.op_type.as_str();
        op.starts_with("QLinear") || matches!(op, "DynamicQuantizeLinear" | "ConvInteger" | "MatMulInteger" | "QGemm")
    }
}

/// An index over a graph that is not changed meanwhile.
#[derive(Debug)]
pub struct Walk<'a> {
    graph: &'a GraphProto,
    producers: HashMap<&'a str, usize>,
    consumers: HashMap<&'a str, Vec<usize>>,
    initializers: HashMap<&'a str, &'a TensorProto>,
}

/// The nodes read each other's values in a circle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the graph has a cycle through node {node:?}; the file is corrupt")]
pub struct CycleError {
    /// One of the nodes in it.
    pub node: String,
}

impl<'a> Walk<'a> {
    /// Indexes `graph`.
    pub fn new(graph: &'a GraphProto) -> Self {
        let mut producers = HashMap::new();
        let mut consumers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                producers.insert(name.as_str(), index);
            }
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                consumers.entry(name).or_default().push(index);
            }
        }
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        Self { graph, producers, consumers, initializers }
    }

    /// The graph.
    pub fn graph(&self) -> &'a GraphProto {
        self.graph
    }

    /// The node that writes the value; `None` for inputs, weights and unknown names.
    pub fn producer(&self, value: &str) -> Option<&'a NodeProto> {
        self.producers.get(value).map(|&index| &self.graph.node[index])
    }

    /// The nodes that read the value, in the order of the file; one that reads it twice is there twice.
    pub fn consumers(&self, value: &str) -> impl ExactSizeIterator<Item = &'a NodeProto> {
        let graph = self.graph;
        self.consumers.get(value).map_or(&[][..], Vec::as_slice).iter().map(move |&index| &graph.node[index])
    }

    /// The constant of that name: an initializer, or what a Constant node holds.
    pub fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        self.initializers.get(value).copied().or_else(|| {
            let node = self.producer(value).filter(|node| node.op_type == "Constant")?;
            node.tensor("value")
        })
    }

    /// Whether the value is one of the graph's outputs.
    pub fn is_output(&self, value: &str) -> bool {
        self.graph.output.iter().any(|output| output.name == value)
    }

    /// The graph's inputs without its weights, which files before IR version 4 list there too.
    pub fn inputs(&self) -> impl Iterator<Item = &'a super::ValueInfoProto> {
        self.graph.input.iter().filter(|input| !self.initializers.contains_key(input.name.as_str()))
    }

    /// Indices of the nodes, each after the nodes whose values it reads; otherwise in the order of the file.
    ///
    /// # Errors
    /// [`CycleError`].
    pub fn topological_order(&self) -> Result<Vec<usize>, CycleError> {
        let nodes = &self.graph.node;
        let mut waits_for: Vec<usize> = nodes
            .iter()
            .map(|node| node.input.iter().filter(|name| self.producers.contains_key(name.as_str())).count())
            .collect();
        let mut ready: std::collections::BTreeSet<usize> =
            (0..nodes.len()).filter(|&index| waits_for[index] == 0).collect();
        let mut order = Vec::with_capacity(nodes.len());
        // Nothing keeps a damaged file from naming a value twice: it is made once, by the node that the index knows.
        let mut made = HashSet::new();
        while let Some(index) = ready.pop_first() {
            order.push(index);
            let is_made_here = |name: &&String| self.producers.get(name.as_str()) == Some(&index);
            for output in nodes[index].output.iter().filter(is_made_here).filter(|&name| made.insert(name)) {
                for &consumer in self.consumers.get(output.as_str()).into_iter().flatten() {
                    waits_for[consumer] -= 1;
                    if waits_for[consumer] == 0 {
                        ready.insert(consumer);
                    }
                }
            }
        }
        match waits_for.iter().position(|&count| count > 0) {
            Some(index) => Err(CycleError { node: nodes[index].name.clone() }),
            None => Ok(order),
        }
    }
}
