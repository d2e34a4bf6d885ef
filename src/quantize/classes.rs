//! The classes of images in folders that are named after them. Pure.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::images::Sample;
use crate::postprocess::ClassNames;

/// Folders that stand for no class.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of the folders in {} are no class of this model: {}; name each after a label ({}), its WordNet id or its index, or \
     leave the images without folders",
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

/// The class of each of `files` below `root`, by the first folder on the way; none for files that lie in `root` itself.
///
/// # Errors
/// [`UnknownClasses`], with every folder that is no class.
pub fn by_folder(classes: &ClassNames, root: &Path, files: Vec<PathBuf>) -> Result<Vec<Sample>, UnknownClasses> {
    let mut unknown = BTreeSet::new();
    let samples = files
        .into_iter()
        .map(|file| {
            let mut parts = file.strip_prefix(root).unwrap_or(&file).components();
            let folder = parts.next().filter(|_| parts.next().is_some());
            let folder = folder.map(|folder| folder.as_os_str().to_string_lossy().into_owned());
            let class = folder.as_deref().and_then(|folder| classes.find(folder).ok());
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
    Err(UnknownClasses { root: root.to_owned(), folders, labels: classes.labels().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(classes: &str, files: &[&str]) -> Result<Vec<Option<usize>>, UnknownClasses> {
        let files = files.iter().map(PathBuf::from).collect();
        let samples = by_folder(&ClassNames::parse(classes), Path::new("/eval"), files)?;
        Ok(samples.into_iter().map(|sample| sample.class).collect())
    }

    #[test]
    fn folders_are_called_by_label_or_wordnet_id() {
        let classes = "n01440764\ttench\nn02099601\tgolden retriever\n";
        let files = ["/eval/n02099601/1.jpg", "/eval/Golden_Retriever/a/b.jpg", "/eval/tench/1.jpg", "/eval/loose.jpg"];
        assert_eq!(label(classes, &files).unwrap(), [Some(1), Some(1), Some(0), None]);
    }

    #[test]
    fn every_folder_that_is_no_class_is_named() {
        let files = ["/eval/cat/1.jpg", "/eval/wolf/1.jpg", "/eval/fox/1.jpg"];
        let message = label("cat\ndog\n", &files).unwrap_err().to_string();
        assert!(
            message.contains("2 of the folders") && message.contains("fox, wolf") && message.contains("cat, dog"),
            "{message}"
        );
    }
}
