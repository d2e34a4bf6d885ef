//! ONNX's operators by name: which are activations, which normalise, which only move numbers, and which input is the
//! weight.

use std::collections::BTreeMap;

use crate::onnx::{NodeProto, Walk};

/// How often each operator stands in the graph.
pub(super) fn counted(walk: &Walk<'_>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in &walk.graph().node {
        *counts.entry(node.op_type.clone()).or_default() += 1;
    }
    counts
}

/// At which positions a node's inputs hold data, weight and bias: quantised forms have scales and zero points in
/// between.
#[derive(Clone, Copy)]
pub(super) struct Slots {
    /// What is computed on.
    pub(super) x: usize,
    /// The weight of a convolution or a matrix product.
    pub(super) weight: Option<usize>,
    /// Its bias.
    pub(super) bias: Option<usize>,
    /// The second summand or factor; of a fused convolution the value that is added to its result.
    pub(super) other: Option<usize>,
}

impl Slots {
    pub(super) fn of(node: &NodeProto) -> Self {
        let slots = |weight, bias, other| Self { x: 0, weight, bias, other };
        match node.op_type.as_str() {
            "Conv" | "Gemm" => slots(Some(1), Some(2), None),
            "FusedConv" => slots(Some(1), Some(2), Some(3)),
            "ConvInteger" | "MatMul" | "MatMulInteger" => slots(Some(1), None, None),
            "QLinearConv" => slots(Some(3), Some(8), None),
            "QGemm" => slots(Some(3), Some(6), None),
            "QLinearMatMul" => slots(Some(3), None, None),
            "QLinearAdd" | "QLinearMul" => slots(None, None, Some(3)),
            _ => slots(None, None, None),
        }
    }
}

/// Whether it is an activation function.
pub(super) fn is_activation(op: &str) -> bool {
    matches!(
        op,
        "Relu"
            | "Clip"
            | "LeakyRelu"
            | "PRelu"
            | "Elu"
            | "Selu"
            | "Celu"
            | "HardSwish"
            | "HardSigmoid"
            | "Sigmoid"
            | "Tanh"
            | "Gelu"
            | "Erf"
            | "Mish"
            | "Swish"
            | "Softplus"
            | "ThresholdedRelu"
            | "QLinearLeakyRelu"
            | "QLinearSigmoid"
    )
}

/// Whether it normalises.
pub(super) fn is_norm(op: &str) -> bool {
    matches!(
        op,
        "BatchNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "LayerNormalization"
            | "LpNormalization"
            | "MeanVarianceNormalization"
            | "RMSNormalization"
    )
}

/// Whether it only moves or converts numbers, so that the layers are the same without it.
pub(super) fn is_transparent(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "Cast"
            | "CastLike"
            | "Dropout"
            | "QuantizeLinear"
            | "DequantizeLinear"
            | "DynamicQuantizeLinear"
            | "Flatten"
            | "Reshape"
            | "Squeeze"
            | "Unsqueeze"
    )
}
