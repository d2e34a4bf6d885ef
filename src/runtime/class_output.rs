//! Which of a graph's outputs has the classes. Pure.

use super::graph_tensor::GraphTensor;

/// The number of classes that have names where no file names them: ImageNet's.
const NAMED_WITHOUT_A_FILE: usize = 1000;

/// Why there is no such output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// None is a row of numbers for each image.
    #[error("no image classifier: no output is a float32 or float16 row of classes for each image (there is {found})")]
    None {
        /// What there is.
        found: String,
    },
    /// Several could be it.
    #[error(
        "it gives several rows of numbers for an image ({found}), and {labels}: set [output] name to the one that has the classes"
    )]
    Several {
        /// All that could be it.
        found: String,
        /// What is known of the labels.
        labels: String,
    },
    /// The one that model.toml names cannot be it.
    #[error("[output] name = {name:?} {problem}; there is {found}")]
    Named {
        /// What model.toml says.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What there is.
        found: String,
    },
}

/// Finds the output with the classes.
///
/// * `name`: by model.toml
/// * `labels`: how many classes have names
pub(super) fn choose<'a>(
    outputs: &'a [GraphTensor],
    name: Option<&str>,
    labels: Option<usize>,
) -> Result<&'a GraphTensor, OutputError> {
    if let Some(name) = name {
        let refused = |problem| OutputError::Named { name: name.to_owned(), problem, found: listed(outputs) };
        let output =
            outputs.iter().find(|output| output.name == name).ok_or_else(|| refused("is none of its outputs"))?;
        return classes(output).map(|_| output).ok_or_else(|| refused("is no row of classes for each image"));
    }
    let rows: Vec<&GraphTensor> = outputs.iter().filter(|output| classes(output).is_some()).collect();
    let wanted = labels.unwrap_or(NAMED_WITHOUT_A_FILE);
    let mut fitting = rows.iter().filter(|output| classes(output) == Some(Some(wanted)));
    match (&rows[..], fitting.next(), fitting.next()) {
        ([], ..) => Err(OutputError::None { found: listed(outputs) }),
        ([only], ..) => Ok(only),
        (_, Some(output), None) => Ok(output),
        _ => Err(OutputError::Several {
            found: listed(rows.iter().copied()),
            labels: labels
                .map_or("there is no labels.txt to count".to_owned(), |count| format!("there are {count} labels")),
        }),
    }
}

fn listed<'a>(outputs: impl IntoIterator<Item = &'a GraphTensor>) -> String {
    let named = outputs.into_iter().map(|output| format!("`{}` {}{:?}", output.name, output.element, output.shape));
    named.collect::<Vec<_>>().join(", ")
}

/// The number of classes of an output that is a row for each image, as far as it is declared; `None` for another output.
///
/// `[N, K]`, `[N, K, 1, 1]` as Caffe's graphs end, `[N, 1, 1, K]`, or `[K]` for a batch of one. Of sizes that the graph
/// leaves open the first run tells; but a map of many channels with open sizes is no row.
pub(super) fn classes(output: &GraphTensor) -> Option<Option<usize>> {
    if !matches!(output.element.as_str(), "float32" | "float16") {
        return None;
    }
    let dims = match &output.shape[..] {
        [] => return Some(None),
        [only] => std::slice::from_ref(only),
        [_, image @ ..] => image,
    };
    let free = dims.iter().any(|&dim| dim < 1);
    let mut large = dims.iter().filter(|&&dim| dim > 1);
    match (large.next(), large.next()) {
        (Some(&classes), None) if !free => Some(usize::try_from(classes).ok()),
        (None, _) if free => Some(None),
        (None, _) => Some(Some(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, shape: &[i64]) -> GraphTensor {
        GraphTensor { name: name.into(), shape: shape.into(), element: "float32".into() }
    }

    #[test]
    fn a_row_for_each_image_comes_in_many_shapes() {
        for shape in [&[-1, 10][..], &[-1, 1, 1, 10], &[-1, 10, 1, 1], &[10], &[1, 10], &[-1, 1, 10]] {
            assert_eq!(classes(&output("y", shape)), Some(Some(10)), "{shape:?}");
        }
        for shape in [&[-1, -1][..], &[-1], &[], &[-1, -1, -1, -1]] {
            assert_eq!(classes(&output("y", shape)), Some(None), "{shape:?}");
        }
        assert_eq!(classes(&output("y", &[-1, 1])), Some(Some(1)));
        for shape in [&[-1, 512, 7, 7][..], &[-1, 512, -1, -1], &[-1, 21, 224, 224]] {
            assert_eq!(classes(&output("map", shape)), None, "{shape:?}");
        }
    }

    #[test]
    fn of_several_outputs_the_one_with_as_many_columns_as_labels_is_taken() {
        let outputs = [output("feat", &[-1, 512]), output("map", &[-1, 512, 7, 7]), output("y", &[-1, 10])];
        assert_eq!(choose(&outputs, None, Some(10)).unwrap().name, "y");
        assert_eq!(choose(&outputs, Some("feat"), Some(10)).unwrap().name, "feat");
        let imagenet = [output("feat", &[-1, 512]), output("y", &[-1, 1000])];
        assert_eq!(choose(&imagenet, None, None).unwrap().name, "y", "its classes have names without a file");
        assert_eq!(choose(&outputs[1..], None, None).unwrap().name, "y", "it is the only one");
    }

    #[test]
    fn what_is_not_clear_is_refused_with_all_names_and_the_key() {
        let outputs = [output("feat", &[-1, 512]), output("y", &[-1, 10])];
        for labels in [None, Some(3)] {
            let refusal = choose(&outputs, None, labels).unwrap_err().to_string();
            assert!(refusal.contains("`feat`") && refusal.contains("`y`"), "{refusal}");
            assert!(refusal.contains("[output] name"), "{refusal}");
        }
        let heads = [output("aux", &[-1, 10]), output("y", &[-1, 10])];
        assert!(choose(&heads, None, Some(10)).unwrap_err().to_string().contains("10 labels"));
        let refusal = choose(&outputs, Some("logits"), None).unwrap_err().to_string();
        assert!(refusal.contains("\"logits\"") && refusal.contains("`y`"), "{refusal}");
        let map = [output("map", &[-1, 512, 7, 7]), output("y", &[-1, 10])];
        assert!(choose(&map, Some("map"), None).unwrap_err().to_string().contains("no row of classes"));
        assert!(choose(&map[..1], None, None).unwrap_err().to_string().contains("`map`"));
    }
}
