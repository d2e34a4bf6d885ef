//! Which class people mean by a name: of a folder, or in a list of images. Pure.
//!
//! A name is a label, the WordNet id that stands beside it, or the class's index; where a label file has several words for a
//! class, as `tench, Tinca tinca`, each of them.

use std::collections::HashMap;

/// Of so many classes, in the same order, lists of ImageNet's labels that differ in spelling agree in this share.
const SAME_LIST: f64 = 0.9;

/// The names of a model's classes.
#[derive(Clone, Debug, Default)]
pub struct ClassNames {
    labels: Vec<String>,
    /// Whole labels and ids, to the classes that have them.
    names: HashMap<String, Vec<usize>>,
    /// The words of labels that have several.
    words: HashMap<String, Vec<usize>>,
}

/// Why a name stands for no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoClass {
    /// No class is called so.
    #[error("no class of this model")]
    Unknown,
    /// Several are.
    #[error("the label of classes {}", listed(.0))]
    Several(Vec<usize>),
    /// It is an index, and too large.
    #[error("an index beyond the last class, {last}")]
    Beyond {
        /// The largest index.
        last: usize,
    },
}

fn listed(classes: &[usize]) -> String {
    classes.iter().map(usize::to_string).collect::<Vec<_>>().join(" and ")
}

impl ClassNames {
    /// Reads the text of a label file: a line a class, `label` or `id<TAB>label`.
    pub fn parse(text: &str) -> Self {
        let mut classes = Self::default();
        for (index, line) in text.trim_start_matches('\u{feff}').trim_end().lines().enumerate() {
            for name in line.split('\t') {
                add(&mut classes.names, name, index);
            }
            let label = line.rsplit('\t').next().unwrap_or(line).trim();
            if label.contains(',') {
                label.split(',').for_each(|word| add(&mut classes.words, word, index));
            }
            classes.labels.push(label.to_owned());
        }
        classes
    }

    /// Classes that are called by their index only.
    pub fn numbered(count: usize) -> Self {
        Self { labels: (0..count).map(|index| index.to_string()).collect(), ..Self::default() }
    }

    /// Takes over the ids of `other`, a label file with ids, if it lists the same classes in the same order.
    #[must_use]
    pub fn with_ids_of(mut self, other: &str) -> Self {
        let lines: Vec<_> = other.lines().filter_map(|line| line.split_once('\t')).collect();
        let called = |(index, (_, label)): &(usize, &(&str, &str))| {
            let of = |names: &HashMap<String, Vec<usize>>| {
                names.get(&normal(label)).is_some_and(|classes| classes.contains(index))
            };
            of(&self.names) || of(&self.words)
        };
        let same = lines.iter().enumerate().filter(called).count();
        if lines.len() == self.labels.len() && same as f64 >= SAME_LIST * lines.len() as f64 {
            for (index, (id, _)) in lines.into_iter().enumerate() {
                add(&mut self.names, id, index);
            }
        }
        self
    }

    /// What the classes are called.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The class that is called `name`. A label that is a number goes before an index.
    ///
    /// # Errors
    /// [`NoClass`].
    pub fn find(&self, name: &str) -> Result<usize, NoClass> {
        let wanted = normal(name);
        match self.names.get(&wanted).or_else(|| self.words.get(&wanted)).map(Vec::as_slice) {
            Some(&[class]) => return Ok(class),
            Some(classes) => return Err(NoClass::Several(classes.to_vec())),
            None => {}
        }
        if wanted.is_empty() || !wanted.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoClass::Unknown);
        }
        let index = wanted.parse().ok().filter(|&index: &usize| index < self.labels.len());
        index.ok_or(match self.labels.len().checked_sub(1) {
            Some(last) => NoClass::Beyond { last },
            None => NoClass::Unknown,
        })
    }
}

fn add(names: &mut HashMap<String, Vec<usize>>, name: &str, class: usize) {
    let name = normal(name);
    if name.is_empty() {
        return;
    }
    let classes = names.entry(name).or_default();
    if classes.last() != Some(&class) {
        classes.push(class);
    }
}

/// `Golden_Retriever` is `golden retriever`.
fn normal(name: &str) -> String {
    name.trim().replace('_', " ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_called_by_label_id_or_index() {
        let names = ClassNames::parse("n01440764\ttench\nn02099601\tgolden retriever\n");
        for (name, class) in [("n02099601", 1), ("Golden_Retriever", 1), ("tench", 0), ("1", 1), ("000", 0)] {
            assert_eq!(names.find(name), Ok(class), "{name}");
        }
        assert_eq!(names.find("wolf"), Err(NoClass::Unknown));
        assert_eq!(names.find(""), Err(NoClass::Unknown));
        assert_eq!(names.find("2"), Err(NoClass::Beyond { last: 1 }));
        assert_eq!(names.find("99999999999999999999"), Err(NoClass::Beyond { last: 1 }));
    }

    #[test]
    fn a_label_that_is_a_number_goes_before_the_index() {
        assert_eq!(ClassNames::parse("7\n3\n0\n").find("0"), Ok(2));
        assert_eq!(ClassNames::numbered(3).find("2"), Ok(2));
    }

    #[test]
    fn a_label_that_two_classes_share_stands_for_neither() {
        let names = ClassNames::parse("n02012849\tcrane\nn03126707\tcrane\n");
        assert_eq!(names.find("crane"), Err(NoClass::Several(vec![0, 1])));
        assert_eq!(names.find("n03126707"), Ok(1));
    }

    #[test]
    fn each_word_of_a_long_label_is_a_name_and_whole_labels_go_first() {
        let names = ClassNames::parse("tench, Tinca tinca\ncrane, bird\ncrane\n");
        assert_eq!(names.find("tinca_tinca"), Ok(0));
        assert_eq!(names.find("crane"), Ok(2));
    }

    #[test]
    fn labels_without_ids_get_them_from_a_list_of_the_same_classes_only() {
        let ids = "n1\ttench\nn2\tgoldfish\n";
        assert_eq!(ClassNames::parse("tench, Tinca tinca\ngoldfish\n").with_ids_of(ids).find("n2"), Ok(1));
        assert_eq!(ClassNames::parse("goldfish\ntench\n").with_ids_of(ids).find("n2"), Err(NoClass::Unknown));
    }
}
