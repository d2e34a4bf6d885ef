//! How a graph ends: whether what it gives are logits, or a softmax, a log-softmax or a sigmoid of them.
//!
//! Found by walking back from an output through nodes that only move, pick, convert or round numbers. A row of an answer
//! cannot tell as much: the probabilities of an int8 graph do not sum to 1, and those of a sigmoid never do.

use super::{NodeProto, Walk};

/// What the last function of a graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Numbers of any size: a layer, and nothing after it.
    Logits,
    /// Probabilities of classes of which one is right.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
    /// A probability for each class.
    Sigmoid,
    /// Something that is not looked into: a function of the file's own, a branch, an operator of somebody else.
    Unknown,
}

/// More nodes than this behind the last function have never been seen; a damaged file can have a circle.
const MOST_HOPS: usize = 64;

impl Ending {
    /// How the output called `output` ends.
    pub fn of(walk: &Walk<'_>, output: &str) -> Self {
        back(walk, output, MOST_HOPS)
    }
}

fn back(walk: &Walk<'_>, value: &str, hops: usize) -> Ending {
    let Some(hops) = hops.checked_sub(1) else { return Ending::Unknown };
    // An input or a constant: nothing was done to it.
    let Some(node) = walk.producer(value) else { return Ending::Logits };
    let input = |place: usize| node.input.get(place).map_or("", String::as_str);
    match node.op_type.as_str() {
        "Softmax" | "QLinearSoftmax" => Ending::Softmax,
        "LogSoftmax" => Ending::LogSoftmax,
        // Both give a number from 0 to 1 for each class.
        "Sigmoid" | "QLinearSigmoid" | "HardSigmoid" => Ending::Sigmoid,
        "Log" => match back(walk, input(0), hops) {
            Ending::Softmax => Ending::LogSoftmax,
            _ => Ending::Logits,
        },
        "Exp" => match back(walk, input(0), hops) {
            Ending::LogSoftmax => Ending::Softmax,
            _ => Ending::Logits,
        },
        // As Keras and CNTK wrote them before there was an operator for it.
        "Div" if is_exponential_over_sum(walk, node) => Ending::Softmax,
        "Sub" if is_sum_of(walk, "ReduceLogSumExp", input(1), input(0)) => Ending::LogSoftmax,
        op if hands_on(op) => back(walk, input(0), hops),
        "If" | "Loop" | "Scan" => Ending::Unknown,
        _ if matches!(node.domain.as_str(), "" | "ai.onnx" | "com.microsoft") => Ending::Logits,
        _ => Ending::Unknown,
    }
}

/// Whether an operator leaves the numbers of its first input what they are, but for their place, type or last digits.
fn hands_on(op: &str) -> bool {
    matches!(
        op,
        "QuantizeLinear"
            | "DequantizeLinear"
            | "Reshape"
            | "Identity"
            | "Cast"
            | "CastLike"
            | "Squeeze"
            | "Unsqueeze"
            | "Flatten"
            | "Transpose"
            | "Dropout"
            | "Clip"
            | "Slice"
            | "Gather"
            | "Concat"
    )
}

/// `exp(x) / sum(exp(x))`.
fn is_exponential_over_sum(walk: &Walk<'_>, node: &NodeProto) -> bool {
    let [above, below] = &node.input[..] else { return false };
    walk.producer(above).is_some_and(|node| node.op_type == "Exp") && is_sum_of(walk, "ReduceSum", below, above)
}

/// Whether `value` is what `op` makes of `of`.
fn is_sum_of(walk: &Walk<'_>, op: &str, value: &str, of: &str) -> bool {
    walk.producer(value).is_some_and(|node| node.op_type == op && node.input.first().is_some_and(|input| input == of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{DataType, GraphBuilder, GraphProto, value_info};

    /// A graph of these operators, one after the other.
    fn chain(operators: &[&str]) -> GraphProto {
        let mut graph = GraphBuilder::new("chain");
        let mut value = graph.input(value_info("x", DataType::Float, &[10]));
        for (place, op) in operators.iter().enumerate() {
            value = graph.node(op, &format!("{place}"), &[&value, "parameter"], Vec::new());
        }
        graph.output(&value, value_info("y", DataType::Float, &[10]));
        graph.finish(8, 17, &[]).graph.unwrap()
    }

    fn ending(operators: &[&str]) -> Ending {
        Ending::of(&Walk::new(&chain(operators)), "y")
    }

    #[test]
    fn the_last_function_is_seen_through_what_only_moves_converts_or_rounds() {
        for (op, expected) in [
            ("Softmax", Ending::Softmax),
            ("LogSoftmax", Ending::LogSoftmax),
            ("Sigmoid", Ending::Sigmoid),
            ("Gemm", Ending::Logits),
        ] {
            assert_eq!(ending(&["Conv", op]), expected);
            assert_eq!(ending(&[op, "QuantizeLinear", "DequantizeLinear"]), expected);
            let moved = [op, "Reshape", "Identity", "Cast", "Squeeze", "Flatten", "Unsqueeze"];
            assert_eq!(ending(&moved), expected);
        }
    }

    #[test]
    fn a_softmax_further_inside_is_not_the_last_function() {
        assert_eq!(ending(&["Softmax", "MatMul"]), Ending::Logits);
        assert_eq!(ending(&["Sigmoid", "Mul", "Gemm"]), Ending::Logits);
        assert_eq!(ending(&[]), Ending::Logits);
    }

    #[test]
    fn a_softmax_in_single_steps_is_one() {
        let mut graph = GraphBuilder::new("steps");
        let x = graph.input(value_info("x", DataType::Float, &[10]));
        let above = graph.node("Exp", "exp", &[&x], Vec::new());
        let below = graph.node("ReduceSum", "sum", &[&above, "axes"], Vec::new());
        let y = graph.node("Div", "div", &[&above, &below], Vec::new());
        graph.output(&y, value_info("y", DataType::Float, &[10]));
        let graph = graph.finish(8, 17, &[]).graph.unwrap();
        assert_eq!(Ending::of(&Walk::new(&graph), "y"), Ending::Softmax);
        assert_eq!(ending(&["Softmax", "Log"]), Ending::LogSoftmax);
        assert_eq!(ending(&["LogSoftmax", "Exp"]), Ending::Softmax);
    }

    #[test]
    fn what_is_not_looked_into_and_a_circle_are_unknown() {
        let mut foreign = chain(&["Softmax"]);
        foreign.node[0].domain = "my.functions".to_owned();
        foreign.node[0].op_type = "Head".to_owned();
        assert_eq!(Ending::of(&Walk::new(&foreign), "y"), Ending::Unknown);
        let mut circle = chain(&["Identity", "Identity"]);
        circle.node[0].input[0] = "y".to_owned();
        assert_eq!(Ending::of(&Walk::new(&circle), "y"), Ending::Unknown);
    }
}
