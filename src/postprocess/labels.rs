//! Label files: one label a line, or `WordNet-id<TAB>label`.

use std::{path::PathBuf, sync::Arc};

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// The file cannot be read.
    #[error("cannot read the labels {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A line in the middle is empty.
    #[error("line {line} of the labels is empty: one label a line, in the order of the classes")]
    EmptyLine {
        /// Counted from 1.
        line: usize,
    },
}

/// Parses the text of a label file; empty lines at its end do not count.
///
/// # Errors
/// [`LabelsError::EmptyLine`].
pub fn parse_labels(text: &str) -> Result<Arc<[Arc<str>]>, LabelsError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let line = line.trim();
            let label = match line.split_once('\t') {
                Some((id, label)) if is_wordnet_id(id) => label.trim(),
                _ => line,
            };
            if label.is_empty() { Err(LabelsError::EmptyLine { line: index + 1 }) } else { Ok(Arc::from(label)) }
        })
        .collect()
}

/// Where two models' classes differ, in words; `None` where they do not.
///
/// * `one`, `other`: their names
pub fn labels_difference((one, labels): (&str, &[Arc<str>]), (other, others): (&str, &[Arc<str>])) -> Option<String> {
    if labels.len() != others.len() {
        return Some(format!("model `{one}` has {} classes and `{other}` has {}", labels.len(), others.len()));
    }
    let index = labels.iter().zip(others).position(|(label, other)| label != other)?;
    let (label, its) = (labels.get(index)?, others.get(index)?);
    Some(format!("class {index} is `{label}` in model `{one}` and `{its}` in `{other}`"))
}

/// `n` and eight digits: a noun synset of WordNet, as ImageNet names its classes.
fn is_wordnet_id(text: &str) -> bool {
    text.len() == 9 && text.starts_with('n') && text[1..].bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_wordnet_lines_are_read() {
        let labels = parse_labels("n01440764\ttench\r\ngoldfish\n\n").unwrap();
        assert_eq!(labels.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["tench", "goldfish"]);
    }

    #[test]
    fn the_first_difference_of_classes_is_named() {
        let labels = |labels: &[&str]| labels.iter().map(|label| Arc::from(*label)).collect::<Vec<Arc<str>>>();
        let (pets, cars, one) = (labels(&["cat", "dog"]), labels(&["cat", "bus"]), labels(&["cat"]));
        assert_eq!(labels_difference(("pets", &pets), ("more", &pets)), None);
        assert_eq!(
            labels_difference(("pets", &pets), ("cars", &cars)).unwrap(),
            "class 1 is `dog` in model `pets` and `bus` in `cars`"
        );
        assert_eq!(
            labels_difference(("pets", &pets), ("one", &one)).unwrap(),
            "model `pets` has 2 classes and `one` has 1"
        );
    }

    #[test]
    fn a_hole_is_named_by_its_line() {
        assert!(parse_labels("tench\n\ngoldfish\n").unwrap_err().to_string().contains("line 2"));
    }
}
