//! What makes probabilities of a network's answers: what `model.toml` says, else how the graph ends. A row of the warm-up only
//! confirms it, and decides where the graph is not known. Pure.

use std::collections::HashMap;

use crate::{
    onnx::{Ending, ModelProto, Walk},
    postprocess::Activation,
};

/// How far from 1 the probabilities of a graph with a softmax may sum, with rounding to 16 bits.
const SUM_TOLERANCE: f32 = 0.01;

/// How each output of a graph ends; empty for a graph that could not be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Endings(HashMap<String, Ending>);

impl Endings {
    pub(super) fn of(model: &ModelProto) -> Self {
        let Some(graph) = &model.graph else { return Self::default() };
        let walk = Walk::new(graph);
        Self(graph.output.iter().map(|output| (output.name.clone(), Ending::of(&walk, &output.name))).collect())
    }

    pub(super) fn of_output(&self, name: &str) -> Option<Ending> {
        self.0.get(name).copied()
    }
}

/// What is still to be done to the answers of a graph that ends so; `None` where only the answers can tell.
pub fn needed_after(ending: Ending) -> Option<Activation> {
    match ending {
        Ending::Logits => Some(Activation::Softmax),
        Ending::Softmax | Ending::Sigmoid => Some(Activation::None),
        Ending::LogSoftmax => Some(Activation::Exp),
        Ending::Unknown => None,
    }
}

/// The activation for a model, and what to warn of where its answers do not look as the graph says.
///
/// * `stated`: by `model.toml`
/// * `ending`: of the graph, where it could be read
/// * `rounded`: the network has 8-bit values, whose probabilities need not sum to 1
/// * `row`: an answer to a photo
pub(super) fn decide(
    stated: Option<Activation>,
    ending: Option<Ending>,
    rounded: bool,
    row: &[f32],
) -> (Activation, Option<String>) {
    let needed = ending.and_then(|ending| Some((ending, needed_after(ending)?)));
    let (Some((ending, activation)), None) = (needed, stated) else {
        return (stated.unwrap_or_else(|| Activation::of_row(row)), None);
    };
    (activation, doubt(ending, rounded, row))
}

fn doubt(ending: Ending, rounded: bool, row: &[f32]) -> Option<String> {
    let (low, high) = row.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let within = |least: f32, most: f32| low >= least - SUM_TOLERANCE && high <= most + SUM_TOLERANCE;
    let sums_to_1 = |sum: f32| rounded || (sum - 1.0).abs() <= SUM_TOLERANCE;
    let (holds, said, taken) = match ending {
        Ending::Logits => (Activation::of_row(row) == Activation::Softmax, "no softmax", "they get one"),
        Ending::Softmax => {
            (within(0.0, 1.0) && sums_to_1(row.iter().sum()), "a softmax", "they are taken for probabilities")
        }
        Ending::Sigmoid => (within(0.0, 1.0), "a sigmoid", "they are taken for probabilities"),
        Ending::LogSoftmax => (
            high <= SUM_TOLERANCE && sums_to_1(row.iter().map(|value| value.exp()).sum()),
            "a log-softmax",
            "they are taken for logarithms",
        ),
        Ending::Unknown => return None,
    };
    let sum: f32 = row.iter().sum();
    (!holds).then(|| {
        format!(
            "its graph ends with {said}, and its answers to a photo lie between {low} and {high} and sum to {sum}: {taken}; if \
             that is wrong, set [output] activation = \"softmax\", \"sigmoid\", \"exp\" or \"none\""
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBABILITIES: [f32; 3] = [0.2, 0.7, 0.1];
    const LOGITS: [f32; 3] = [-0.5, 4.5, 0.0];
    /// As an int8 graph of a thousand classes rounds them.
    const ROUNDED: [f32; 3] = [0.0625, 0.0, 0.0];

    #[test]
    fn the_graph_decides_and_model_toml_before_it() {
        let decided = |stated, ending, row: &[f32]| decide(stated, ending, true, row).0;
        assert_eq!(decided(None, Some(Ending::Softmax), &ROUNDED), Activation::None);
        assert_eq!(decided(None, Some(Ending::Sigmoid), &[0.9, 0.8, 0.1]), Activation::None);
        assert_eq!(decided(None, Some(Ending::LogSoftmax), &[-0.1, -4.0, -3.0]), Activation::Exp);
        assert_eq!(decided(None, Some(Ending::Logits), &PROBABILITIES), Activation::Softmax);
        assert_eq!(decided(Some(Activation::Sigmoid), Some(Ending::Softmax), &LOGITS), Activation::Sigmoid);
        assert_eq!(decided(None, Some(Ending::Unknown), &PROBABILITIES), Activation::None);
        assert_eq!(decided(None, None, &LOGITS), Activation::Softmax);
    }

    #[test]
    fn answers_that_do_not_look_as_the_graph_says_are_warned_of_with_the_key() {
        let warning = |ending, rounded, row: &[f32]| decide(None, Some(ending), rounded, row).1;
        assert_eq!(warning(Ending::Softmax, true, &ROUNDED), None);
        assert_eq!(warning(Ending::Softmax, false, &PROBABILITIES), None);
        assert_eq!(warning(Ending::Logits, false, &LOGITS), None);
        assert_eq!(warning(Ending::LogSoftmax, false, &PROBABILITIES.map(f32::ln)), None);
        for (ending, row) in [
            (Ending::Softmax, ROUNDED),
            (Ending::Softmax, LOGITS),
            (Ending::Sigmoid, LOGITS),
            (Ending::LogSoftmax, LOGITS),
            (Ending::Logits, PROBABILITIES),
        ] {
            let warning = warning(ending, false, &row).unwrap();
            assert!(warning.contains("[output] activation"), "{ending:?}: {warning}");
        }
        let stated = decide(Some(Activation::None), Some(Ending::Logits), false, &PROBABILITIES);
        assert_eq!(stated, (Activation::None, None), "who says it is not asked again");
    }
}
