//! Why a graph cannot be lifted to newer operators.

/// Why a graph cannot be lifted to newer operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Nobody runs it any more.
    #[error("the graph is of opset {opset}, and the oldest that is read is 7; export it again with opset 13 or newer")]
    TooOld {
        /// The version of ONNX's operators that the file asks for; 0 where it asks for none.
        opset: i64,
    },
    /// An operator has changed its meaning since, or is not known here.
    #[error(
        "it is of opset {opset} with operator {op_type} (node {node:?}), {reason}; export it again with opset 13 or newer"
    )]
    Operator {
        /// The file's.
        opset: i64,
        /// The operator.
        op_type: String,
        /// The node.
        node: String,
        /// What is in the way.
        reason: &'static str,
    },
}
