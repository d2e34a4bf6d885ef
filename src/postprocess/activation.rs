//! The last function of a classifier: from logits to probabilities.

use serde::{Deserialize, Serialize};

/// What is applied to a row of the network's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// One class is right: the row sums to 1.
    Softmax,
    /// Any number of classes may be right: each value on its own.
    Sigmoid,
    /// The graph gives logarithms of probabilities.
    Exp,
    /// The graph has it inside already.
    None,
}

impl Activation {
    /// Guesses the activation that a network's output still needs from one row of it. A graph that ends in softmax
    /// gives a row that sums to 1; logits do not, but by a rare accident.
    pub fn of_row(row: &[f32]) -> Self {
        let sum: f32 = row.iter().sum();
        let inside = row.iter().all(|value| (0.0..=1.0).contains(value)) && (sum - 1.0).abs() < 1e-3;
        if inside { Self::None } else { Self::Softmax }
    }

    /// Applies it to `row` in place, in `f64` inside so that rows of a thousand classes still sum to 1.
    pub fn apply(self, row: &mut [f32]) {
        match self {
            Self::Softmax => softmax(row),
            Self::Sigmoid => row.iter_mut().for_each(|value| *value = (1.0 / (1.0 + f64::from(-*value).exp())) as f32),
            Self::Exp => row.iter_mut().for_each(|value| *value = value.exp()),
            Self::None => {}
        }
    }
}

fn softmax(row: &mut [f32]) {
    // The largest logit is subtracted, so that the exponential of a large one does not overflow.
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for value in &mut *row {
        *value = (*value - largest).exp();
        sum += f64::from(*value);
    }
    let scale = (1.0 / sum) as f32;
    row.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_known_logits() {
        let mut row = [1.0, 2.0, 3.0];
        Activation::Softmax.apply(&mut row);
        for (got, want) in row.iter().zip([0.090_030_57, 0.244_728_47, 0.665_240_96]) {
            assert!((got - want).abs() < 1e-6, "{row:?}");
        }
    }

    #[test]
    fn softmax_survives_logits_beyond_the_range_of_exp() {
        let mut row = [1000.0, 1000.0, -1000.0];
        Activation::Softmax.apply(&mut row);
        assert_eq!(row, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn a_network_that_gives_probabilities_needs_no_softmax() {
        assert_eq!(Activation::of_row(&[0.2, 0.7, 0.1]), Activation::None);
        assert_eq!(Activation::of_row(&[0.2, 0.7, 0.2]), Activation::Softmax);
        assert_eq!(Activation::of_row(&[-0.5, 1.5, 0.0]), Activation::Softmax);
    }

    #[test]
    fn logarithms_of_probabilities_become_probabilities() {
        let mut row = [0.2, 0.7, 0.1].map(f32::ln);
        Activation::Exp.apply(&mut row);
        for (got, want) in row.iter().zip([0.2, 0.7, 0.1]) {
            assert!((got - want).abs() < 1e-6, "{row:?}");
        }
    }

    #[test]
    fn sigmoid_keeps_classes_apart() {
        let mut row = [0.0, 100.0, -100.0];
        Activation::Sigmoid.apply(&mut row);
        assert_eq!((row[0], row[1]), (0.5, 1.0));
        assert!(row[2] < 1e-30);
    }
}
