//! Several repositories looked at as one: where each model is, and what is said where they disagree.
//!
//! The first repository that has a name has it. One that cannot be read, or is suddenly empty, keeps its models as they were: the others go on
//! without it. Knows the disk; what a look means is said elsewhere.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::model::{
    fingerprint::{RepositoryLook, look_at},
    repository::{RepositoryError, scan},
};

/// The repositories, and where models were found in them.
pub(super) struct RepositoryFolders {
    dirs: Vec<PathBuf>,
    /// By the models' names.
    homes: BTreeMap<String, usize>,
    /// Names that several have.
    doubled: Vec<String>,
}

impl RepositoryFolders {
    /// * `dirs`: one or more, the first has precedence
    pub(super) fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs, homes: BTreeMap::new(), doubled: Vec::new() }
    }

    /// Where a model is, or would be.
    pub(super) fn of(&self, name: &str) -> PathBuf {
        let home = self.homes.get(name).and_then(|home| self.dirs.get(*home)).map(|dir| dir.join(name));
        let found = || self.dirs.iter().map(|dir| dir.join(name)).find(|place| place.exists());
        home.filter(|place| place.exists()).or_else(found).unwrap_or_else(|| self.first().join(name))
    }

    fn first(&self) -> &Path {
        self.dirs.first().map_or(Path::new("models"), PathBuf::as_path)
    }

    /// As messages have them.
    pub(super) fn shown(&self) -> String {
        self.dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Says what is no model, once.
    ///
    /// # Errors
    /// If none can be read.
    pub(super) fn name_what_is_no_model(&self) -> Result<(), RepositoryError> {
        self.any_of(self.dirs.iter().map(|dir| scan(dir).map(drop)).collect()).map(drop)
    }

    /// Looks at all.
    ///
    /// # Errors
    /// If none can be read.
    pub(super) fn look(&mut self) -> Result<RepositoryLook, RepositoryError> {
        let looks = self.dirs.iter().map(|dir| look_at(dir)).collect();
        let looks = self.any_of(looks)?;
        let had: BTreeMap<String, usize> = std::mem::take(&mut self.homes);
        let mut all = RepositoryLook { is_missing: true, ..RepositoryLook::default() };
        self.doubled.clear();
        for (home, look) in looks.into_iter().enumerate() {
            let dir = &self.dirs[home];
            let look = match look {
                Ok(look) => look,
                Err(error) => {
                    all.unreadable.extend(names_of(&had, home).map(|name| (name, error.to_string())));
                    self.homes.extend(names_of(&had, home).map(|name| (name, home)));
                    all.is_missing = false;
                    continue;
                }
            };
            all.is_missing &= look.is_missing;
            // With others beside it; alone, it is told for itself.
            if look.folders.is_empty() && look.unreadable.is_empty() && self.dirs.len() > 1 {
                let what = if look.is_missing { "gone" } else { "empty" };
                let reason = format!("its repository {} is {what}", dir.display());
                all.unreadable.extend(names_of(&had, home).map(|name| (name, reason.clone())));
                self.homes.extend(names_of(&had, home).map(|name| (name, home)));
                continue;
            }
            for (name, folder) in look.folders {
                if self.homes.contains_key(&name) {
                    self.doubled.push(name);
                } else {
                    self.homes.insert(name.clone(), home);
                    all.folders.insert(name, folder);
                }
            }
            for (name, reason) in look.unreadable {
                if !self.homes.contains_key(&name) {
                    self.homes.insert(name.clone(), home);
                    all.unreadable.insert(name, reason);
                }
            }
        }
        Ok(all)
    }

    /// Names that several repositories have, with what is said of each.
    pub(super) fn doubled(&self) -> Vec<(String, String)> {
        let line = |name: &String| {
            let home =
                self.homes.get(name).and_then(|home| self.dirs.get(*home)).map_or(self.first(), PathBuf::as_path);
            (
                name.clone(),
                format!(
                    "several repositories have a model `{name}`: that in {} is served; rename the others",
                    home.display()
                ),
            )
        };
        self.doubled.iter().map(line).collect()
    }

    /// Where one of several cannot be read, the others can.
    fn any_of<T>(
        &self,
        mut outcomes: Vec<Result<T, RepositoryError>>,
    ) -> Result<Vec<Result<T, RepositoryError>>, RepositoryError> {
        if outcomes.iter().all(Result::is_err)
            && let Some(Err(error)) = outcomes.pop()
        {
            return Err(error);
        }
        Ok(outcomes)
    }
}

fn names_of(had: &BTreeMap<String, usize>, home: usize) -> impl Iterator<Item = String> {
    had.iter().filter(move |(_, of)| **of == home).map(|(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(look: &RepositoryLook) -> [Vec<&String>; 2] {
        [look.folders.keys().collect(), look.unreadable.keys().collect()]
    }

    #[test]
    fn the_first_that_has_a_name_has_it_and_one_that_goes_keeps_its_models() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for place in ["a/one", "a/both", "b/both", "b/two"] {
            fs::create_dir_all(at(place)).unwrap();
        }
        let mut folders = RepositoryFolders::new(vec![at("a"), at("b")]);
        assert_eq!(names(&folders.look().unwrap()), [vec!["both", "one", "two"], vec![]]);
        assert_eq!(
            [folders.of("both"), folders.of("two"), folders.of("new")],
            [at("a/both"), at("b/two"), at("a/new")]
        );
        let doubled = folders.doubled();
        assert_eq!(doubled.len(), 1);
        assert!(doubled[0].1.contains(&format!("that in {} is served", at("a").display())), "{doubled:?}");

        fs::rename(at("a"), at("away")).unwrap();
        let look = folders.look().unwrap();
        assert_eq!(names(&look), [vec!["two"], vec!["both", "one"]], "what `a` had is not looked for in `b`");
        assert!(look.unreadable["one"].ends_with("/a is gone"), "{:?}", look.unreadable);
        fs::rename(at("away"), at("a")).unwrap();
        assert_eq!(names(&folders.look().unwrap()), [vec!["both", "one", "two"], vec![]]);

        fs::remove_dir_all(at("a/both")).unwrap();
        let look = folders.look().unwrap();
        assert_eq!(names(&look), [vec!["both", "one", "two"], vec![]]);
        assert_eq!(folders.of("both"), at("b/both"));
    }

    #[test]
    fn one_alone_is_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let mut folders = RepositoryFolders::new(vec![root.path().join("none")]);
        let look = folders.look().unwrap();
        assert!(look.is_missing && look.folders.is_empty());
        fs::write(root.path().join("none"), "").unwrap();
        assert!(folders.look().is_err());
    }
}
