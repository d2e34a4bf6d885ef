//! Which class a folder of images stands for. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::images::Sample;

/// Names of classes, as people call folders.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// `None` for a name that several classes have.
    index: HashMap<String, Option<usize>>,
    labels: Vec<String>,
}

/// Folders that stand for no class.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of the folders in {} are no class of this model: {}; name each after a label ({}) or its WordNet id, or leave \
     the images without folders",
    folders.len(), root.display(), some(folders), some(labels)
)]
pub struct UnknownClasses {
    /// Where they are.
    pub root: PathBuf,
    /// Their names.
    pub folders: Vec<String>,
    /// What the model calls its classes.
    pub labels: Vec<String>,
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}

impl Classes {
    /// Reads the text of a label file: a line a class, `label` or `id<TAB>label`; a folder may be called either.
    pub fn parse(text: &str) -> Self {
        let mut classes = Self::default();
        for (index, line) in text.trim_start_matches('\u{feff}').trim_end().lines().enumerate() {
            let names: BTreeSet<String> = line.split('\t').map(normal).collect();
            for name in names {
                classes.index.entry(name).and_modify(|class| *class = None).or_insert(Some(index));
            }
            classes.labels.push(line.rsplit('\t').next().unwrap_or(line).trim().to_owned());
        }
        classes
    }

    /// The class of each of `files` below `root`, by the first folder on the way; none for files that lie in `root` itself.
    ///
    /// # Errors
    /// [`UnknownClasses`], with every folder that is no class.
    pub fn label(&self, root: &Path, files: Vec<PathBuf>) -> Result<Vec<Sample>, UnknownClasses> {
        let mut unknown = BTreeSet::new();
        let samples = files
            .into_iter()
            .map(|file| {
                let mut parts = file.strip_prefix(root).unwrap_or(&file).components();
                let folder = parts.next().filter(|_| parts.next().is_some());
                let folder = folder.map(|folder| folder.as_os_str().to_string_lossy().into_owned());
                let class = folder.as_deref().and_then(|folder| self.index.get(&normal(folder)).copied().flatten());
                if class.is_none() {
                    unknown.extend(folder);
                }
                Sample { file, class }
            })
            .collect();
        if unknown.is_empty() {
            return Ok(samples);
        }
        let folders = unknown.into_iter().collect();
        Err(UnknownClasses { root: root.to_owned(), folders, labels: self.labels.clone() })
    }
}

/// `Golden_Retriever` is `golden retriever`.
fn normal(name: &str) -> String {
    name.trim().replace('_', " ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(classes: &Classes, files: &[&str]) -> Result<Vec<Option<usize>>, UnknownClasses> {
        let samples = classes.label(Path::new("/eval"), files.iter().map(PathBuf::from).collect())?;
        Ok(samples.into_iter().map(|sample| sample.class).collect())
    }

    #[test]
    fn folders_are_called_by_label_or_wordnet_id() {
        let classes = Classes::parse("n01440764\ttench\nn02099601\tgolden retriever\n");
        let files = ["/eval/n02099601/1.jpg", "/eval/Golden_Retriever/a/b.jpg", "/eval/tench/1.jpg", "/eval/loose.jpg"];
        assert_eq!(label(&classes, &files).unwrap(), [Some(1), Some(1), Some(0), None]);
    }

    #[test]
    fn every_folder_that_is_no_class_is_named() {
        let classes = Classes::parse("cat\ndog\n");
        let message =
            label(&classes, &["/eval/cat/1.jpg", "/eval/wolf/1.jpg", "/eval/fox/1.jpg"]).unwrap_err().to_string();
        assert!(
            message.contains("2 of the folders") && message.contains("fox, wolf") && message.contains("cat, dog"),
            "{message}"
        );
    }

    #[test]
    fn a_label_that_two_classes_share_stands_for_neither() {
        let classes = Classes::parse("n02012849\tcrane\nn03126707\tcrane\n");
        assert!(label(&classes, &["/eval/crane/1.jpg"]).is_err());
        assert_eq!(label(&classes, &["/eval/n03126707/1.jpg"]).unwrap(), [Some(1)]);
    }
}
