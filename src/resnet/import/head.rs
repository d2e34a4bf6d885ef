//! The classifier under the names that training scripts give it.
//!
//! A script that trains on classes of its own replaces `fc`, often by `Sequential(Dropout, Linear)`, and a framework that
//! keeps backbone and head apart has a name of its own. Knows names and ranks. Must not know files.

use std::collections::BTreeMap;

use super::error::Reason;
use crate::resnet::state_dict::Weight;

/// Modules that are the classifier where there is no `fc`: `head.fc` is MMPretrain's and timm's, `last_linear` that of Cadene's
/// models, `classifier` and `head` what people write.
const NAMES: [&str; 5] = ["fc", "head.fc", "last_linear", "classifier", "head"];

/// Whether a tensor that stands outside the network's prefix may be its classifier's.
pub(super) fn is_head(name: &str) -> bool {
    NAMES.iter().any(|head| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.')))
}

/// Names the one linear layer of the classifier `fc`.
///
/// # Errors
/// [`Reason::Variant`] for a classifier of several layers.
pub(super) fn rename(tensors: &mut BTreeMap<String, Weight>) -> Result<(), Reason> {
    if tensors.contains_key("fc.weight") {
        return Ok(());
    }
    for head in NAMES {
        let layers: Vec<String> = tensors
            .iter()
            .filter(|(name, weight)| is_layer_of(head, name) && weight.shape.len() == 2)
            .filter_map(|(name, _)| Some(name.strip_suffix(".weight")?.to_owned()))
            .collect();
        match &layers[..] {
            [] => {}
            [layer] => {
                for field in ["weight", "bias"] {
                    if let Some(weight) = tensors.remove(&format!("{layer}.{field}")) {
                        tensors.insert(format!("fc.{field}"), weight);
                    }
                }
                return Ok(());
            }
            [.., last] => {
                let variant = "network whose classifier has several layers";
                return Err(Reason::Variant { name: format!("{last}.weight"), variant });
            }
        }
    }
    Ok(())
}

/// `fc.weight`, or `fc.1.weight` of a `Sequential`.
fn is_layer_of(head: &str, name: &str) -> bool {
    let inner = name.strip_prefix(head).and_then(|rest| rest.strip_suffix("weight"));
    let index = inner.and_then(|inner| inner.strip_prefix('.'));
    index.is_some_and(|index| {
        index.is_empty()
            || index.strip_suffix('.').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(shapes: &[(&str, &[usize])]) -> Result<Vec<String>, Reason> {
        let weight = |shape: &[usize]| Weight { shape: shape.to_vec(), data: Vec::new() };
        let mut tensors = shapes.iter().map(|&(name, shape)| (name.to_owned(), weight(shape))).collect();
        rename(&mut tensors)?;
        Ok(tensors.into_keys().collect())
    }

    #[test]
    fn one_linear_layer_is_the_classifier_whatever_it_is_called() {
        for layer in ["fc", "fc.1", "head.fc", "last_linear", "classifier", "classifier.2", "head"] {
            let names = [format!("{layer}.weight"), format!("{layer}.bias")];
            assert_eq!(
                renamed(&[(&names[0], &[3, 4]), (&names[1], &[3])]).unwrap(),
                ["fc.bias", "fc.weight"],
                "{layer}"
            );
        }
    }

    #[test]
    fn several_layers_are_refused_and_what_is_no_layer_stays() {
        let two = renamed(&[("fc.0.weight", &[8, 4]), ("fc.3.weight", &[3, 8])]).unwrap_err().to_string();
        assert!(two.contains("fc.3.weight") && two.contains("several layers"), "{two}");
        let normed: [(&str, &[usize]); 3] = [("fc.0.weight", &[4]), ("fc.1.bias", &[3]), ("fc.1.weight", &[3, 4])];
        assert_eq!(renamed(&normed).unwrap(), ["fc.0.weight", "fc.bias", "fc.weight"]);
        assert_eq!(renamed(&[("fc.weight", &[3, 4]), ("head.weight", &[3, 4])]).unwrap(), ["fc.weight", "head.weight"]);
    }
}
