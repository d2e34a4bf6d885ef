//! Which class each image of a folder is of: by the folder that it lies in, or by a list beside the images. Pure: what is in
//! the folder and in the list is given.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::listing::{ListedImage, Listing, ListingError, listed_images};
use crate::{
    files,
    postprocess::{ClassNames, NoClass},
};

/// An image and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledImage {
    /// Where it is.
    pub file: PathBuf,
    /// The same below the folder of all images, as people can read it.
    pub name: String,
    /// The index of its class.
    pub class: usize,
}

/// A folder's images, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelledImages {
    /// Those whose class is known.
    pub images: Vec<LabelledImage>,
    /// How many files have none: they lie beside the class folders, or the list does not name them.
    pub unlabelled: usize,
}

/// Why the classes of a folder's images are not known.
#[derive(Debug, thiserror::Error)]
pub enum LabelledError {
    /// Folders are called otherwise than classes.
    #[error(
        "{} of {all} folders in {} stand for no class: {}; this model calls its classes {}: name each folder after a label, its \
         WordNet id or its index, or put a labels.csv (file,class) beside the images",
        folders.len(), root.display(), some(folders), some(labels)
    )]
    Folders {
        /// Where they are.
        root: PathBuf,
        /// Their names, and what is wrong with each.
        folders: Vec<String>,
        /// How many folders there are.
        all: usize,
        /// What the model calls its classes.
        labels: Vec<String>,
    },
    /// The images lie in no folders, and there is no list.
    #[error(
        "none of the {images} images in {} lies in a folder named after its class ({}), and there is neither a labels.csv \
         (file,class) nor a val.txt (file index) beside them",
        root.display(), some(labels)
    )]
    Loose {
        /// Where they are.
        root: PathBuf,
        /// How many.
        images: usize,
        /// What the model calls its classes.
        labels: Vec<String>,
    },
    /// The list is wrong.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The list speaks of other images.
    #[error("none of the {listed} images that {} lists is in {}; it lists {example}", list.display(), root.display())]
    Elsewhere {
        /// The list.
        list: PathBuf,
        /// Where the images were looked for.
        root: PathBuf,
        /// How many it lists.
        listed: usize,
        /// One of them.
        example: String,
    },
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}

/// The classes of `found`, the images below `root`, in folders named after classes.
///
/// # Errors
/// [`LabelledError::Folders`], [`LabelledError::Loose`].
pub fn in_class_folders(
    classes: &ClassNames,
    root: &Path,
    found: Vec<PathBuf>,
) -> Result<LabelledImages, LabelledError> {
    let (mut labelled, mut meanings) = (LabelledImages::default(), BTreeMap::new());
    let images = found.len();
    for file in found {
        let below = file.strip_prefix(root).unwrap_or(&file);
        let mut parts = below.components();
        let folder = parts.next().filter(|_| parts.next().is_some());
        let Some(folder) = folder.map(|folder| folder.as_os_str().to_string_lossy().into_owned()) else {
            labelled.unlabelled += 1;
            continue;
        };
        let name = files::shown(below);
        match meanings.entry(folder).or_insert_with_key(|folder| classes.find(folder)) {
            Ok(class) => labelled.images.push(LabelledImage { class: *class, name, file }),
            Err(_) => labelled.unlabelled += 1,
        }
    }
    let wrong = |(folder, meaning): (&String, &Result<usize, NoClass>)| match meaning {
        Ok(_) => None,
        Err(NoClass::Unknown) => Some(folder.clone()),
        Err(reason) => Some(format!("{folder} ({reason})")),
    };
    let folders: Vec<_> = meanings.iter().filter_map(wrong).collect();
    let (root, labels) = (root.to_owned(), classes.labels().to_vec());
    if !folders.is_empty() {
        return Err(LabelledError::Folders { root, folders, all: meanings.len(), labels });
    }
    if labelled.images.is_empty() {
        return Err(LabelledError::Loose { root, images, labels });
    }
    labelled.images.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(labelled)
}

/// The classes of `found`, the images below `root`, as `listing` says. An image that is listed and not there stays in, for
/// whoever reads it to name.
///
/// # Errors
/// [`LabelledError::Listing`], [`LabelledError::Elsewhere`].
pub fn in_list(
    classes: &ClassNames,
    root: &Path,
    found: &[PathBuf],
    listing: &Listing,
) -> Result<LabelledImages, LabelledError> {
    let places = Places::of(root, found);
    let mut listed = listed_images(listing)?;
    // A headline names no class and no file.
    if listed.first().is_some_and(|first| classes.find(&first.class).is_err() && places.find(&first.file).is_none()) {
        listed.remove(0);
    }
    let mut images: BTreeMap<PathBuf, (usize, ListedImage)> = BTreeMap::new();
    let mut there = HashSet::new();
    for entry in listed {
        let class = classes.find(&entry.class).map_err(|reason| listing.no_class(&entry, reason))?;
        let file = match places.find(&entry.file) {
            Some(file) => {
                there.insert(file);
                file.clone()
            }
            None => root.join(&entry.file),
        };
        match images.get(&file) {
            Some((other, first)) if *other != class => return Err(listing.contradiction(first, &entry).into()),
            _ => images.insert(file, (class, entry)),
        };
    }
    if there.is_empty() {
        let example = images.into_values().next().map(|(_, entry)| entry.file).unwrap_or_default();
        let (list, root) = (listing.path.clone(), root.to_owned());
        return Err(LabelledError::Elsewhere { list, root, listed: listing.text.lines().count(), example });
    }
    let unlabelled = found.len() - there.len();
    let named = |(file, (class, _)): (PathBuf, (usize, ListedImage))| {
        let name = files::shown(file.strip_prefix(root).unwrap_or(&file));
        LabelledImage { file, name, class }
    };
    Ok(LabelledImages { images: images.into_iter().map(named).collect(), unlabelled })
}

/// Images by their path below the folder and, where it is the only one, by their name alone: ImageNet's lists name files
/// without the folder `val`.
struct Places<'a> {
    root: &'a Path,
    paths: BTreeSet<&'a PathBuf>,
    names: HashMap<&'a Path, Option<&'a PathBuf>>,
}

impl<'a> Places<'a> {
    fn of(root: &'a Path, found: &'a [PathBuf]) -> Self {
        let mut names: HashMap<&Path, Option<&PathBuf>> = HashMap::new();
        for file in found {
            if let Some(name) = file.file_name() {
                names.entry(Path::new(name)).and_modify(|place| *place = None).or_insert(Some(file));
            }
        }
        Self { root, paths: found.iter().collect(), names }
    }

    fn find(&self, listed: &str) -> Option<&'a PathBuf> {
        let path = self.root.join(listed);
        self.paths.get(&path).copied().or_else(|| *self.names.get(Path::new(listed))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| Path::new("/eval").join(name)).collect()
    }

    fn classes(labelled: &LabelledImages) -> Vec<(&str, usize)> {
        labelled.images.iter().map(|image| (&*image.name, image.class)).collect()
    }

    fn list(names: &str, found: &[&str], file: &str, text: &str) -> Result<LabelledImages, LabelledError> {
        let listing = Listing { path: Path::new("/eval").join(file), text: text.to_owned() };
        in_list(&ClassNames::parse(names), Path::new("/eval"), &paths(found), &listing)
    }

    #[test]
    fn class_folders_are_called_by_label_id_or_index_and_loose_files_are_counted() {
        let names = ClassNames::parse("n1\tcat\nn2\tgreat dane\n");
        let found = paths(&["n2/b.png", "Great_Dane/x/a.png", "0/c.png", "loose.png"]);
        let labelled = in_class_folders(&names, Path::new("/eval"), found).unwrap();
        assert_eq!(classes(&labelled), [("0/c.png", 0), ("Great_Dane/x/a.png", 1), ("n2/b.png", 1)]);
        assert_eq!(labelled.unlabelled, 1);
    }

    #[test]
    fn folders_that_are_no_class_are_named_with_the_reason_and_what_there_is() {
        let names = ClassNames::parse("cat\ndog\n");
        let refusal = |found: &[&str]| {
            in_class_folders(&names, Path::new("/eval"), paths(found)).expect_err("no class").to_string()
        };
        let folders = refusal(&["cat/1.png", "wolf/1.png", "2/1.png"]);
        assert!(folders.contains("2 of 3 folders") && folders.contains("2 (an index beyond the last class, 1)"));
        assert!(folders.contains("wolf") && folders.contains("cat, dog"), "{folders}");
        assert!(refusal(&["1.png"]).contains("labels.csv"));
    }

    #[test]
    fn a_list_names_files_with_or_without_their_folder_and_may_have_a_headline() {
        let found = ["val/1.JPEG", "val/2.JPEG", "val/3.JPEG"];
        let labelled = list("cat\ndog\n", &found, "val.txt", "1.JPEG 1\nval/2.JPEG 0\n").unwrap();
        assert_eq!((classes(&labelled), labelled.unlabelled), (vec![("val/1.JPEG", 1), ("val/2.JPEG", 0)], 1));
        let labelled = list("cat\ndog\n", &found, "labels.csv", "file,class\n3.JPEG,\"dog\"\n").unwrap();
        assert_eq!(classes(&labelled), [("val/3.JPEG", 1)]);
    }

    #[test]
    fn a_listed_image_that_is_not_there_stays_in_and_a_list_of_none_is_refused() {
        let labelled = list("cat\ndog\n", &["1.png"], "val.txt", "1.png 0\n2.png 1\n").unwrap();
        assert_eq!(classes(&labelled), [("1.png", 0), ("2.png", 1)]);
        let refusal = list("cat\ndog\n", &["1.png"], "val.txt", "7.png 0\n8.png 1\n").unwrap_err().to_string();
        assert!(refusal.contains("none of the 2 images") && refusal.contains("7.png"), "{refusal}");
    }

    #[test]
    fn a_wrong_class_and_two_classes_of_one_image_are_named_by_their_lines() {
        let refusal = |text| list("cat\ndog\n", &["1.png", "2.png"], "labels.csv", text).unwrap_err().to_string();
        assert!(refusal("1.png,cat\n2.png,2\n").contains("line 2: 2 is an index beyond the last class, 1"));
        assert!(refusal("1.png,cat\n2.png,wolf\n").contains("wolf is no class of this model"));
        let contradiction = refusal("1.png,cat\n2.png,dog\n1.png,dog\n");
        assert!(contradiction.contains("line 3") && contradiction.contains("line 1"), "{contradiction}");
    }
}
