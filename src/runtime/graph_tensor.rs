//! A tensor at the edge of a graph, as the engine describes it.

/// A tensor at the edge of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphTensor {
    /// Its name in the graph.
    pub name: String,
    /// Free dimensions are `-1`; empty where even their number is.
    pub shape: Vec<i64>,
    /// `float32`, `float16`, or what else the engine calls it.
    pub element: String,
}
