//! What of a repository should be served: looks at the disk, and says what counts, what was asked for, and what it is called.
//!
//! Decides by what `settle` and `labels` say; the time is given. Starts no load, and knows nobody who does.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    cascades::judged,
    command::Labels,
    folders::RepositoryFolders,
    labels::Relabels,
    settle::Settling,
    wanted::{ModelDefaults, WantedModel, built_in, versions},
};
use crate::{
    model::{
        RESNET20_CIFAR10,
        fingerprint::{RepositoryLook, look_at_model},
        label_problem,
        repository::{RepositoryError, model},
    },
    service::{Error, ErrorKind, LabelTarget, Shown},
};

/// Repositories, and how they are followed.
#[derive(Clone, Debug)]
pub struct RepositoryOptions {
    /// Where they are; the first that has a name has it.
    pub dirs: Vec<PathBuf>,
    /// The settings of a model that says nothing else.
    pub defaults: ModelDefaults,
    /// From one look at it to the next; `None`: nobody looks unless somebody asks.
    pub watch_interval: Option<Duration>,
    /// How long files have to be unchanged that did not appear whole.
    pub settle: Duration,
    /// Where only what was asked for is served: what is served from the start, `*` for everything. `None`: all that is there.
    pub explicit: Option<Vec<String>>,
    /// Whether models are loaded when somebody asks for them.
    pub on_demand: bool,
}

/// What an operator who unloads a model wants.
pub(super) enum UnloadWish {
    /// Other models are what is wanted now.
    Forget,
    /// It stays, and its memory is given back until somebody asks for it.
    Cool,
}

pub(super) struct Keeper {
    options: RepositoryOptions,
    folders: RepositoryFolders,
    settling: Settling,
    /// What is wanted of each model that counts.
    known: BTreeMap<String, Vec<WantedModel>>,
    /// The models that were asked for; `None`: all.
    selected: Option<BTreeSet<String>>,
    relabels: Relabels,
    /// What is wrong with the repository, or with a folder in it: each is said once.
    trouble: BTreeMap<String, String>,
    looked: bool,
    /// The built-in model is served, as long as there is nothing else.
    has_stand_in: bool,
}

impl Keeper {
    pub(super) fn new(options: RepositoryOptions) -> Self {
        let selected = options.explicit.as_ref().map(|_| BTreeSet::new());
        let settling = Settling::new(options.settle);
        let (known, relabels, trouble) = (BTreeMap::new(), Relabels::default(), BTreeMap::new());
        let folders = RepositoryFolders::new(options.dirs.clone());
        Self { options, folders, settling, known, selected, relabels, trouble, looked: false, has_stand_in: false }
    }

    /// Looks at everything; whether something else should be served now.
    ///
    /// * `at_once`: what is there is complete, somebody says
    ///
    /// # Errors
    /// If the repository cannot be read; then nothing has changed.
    pub(super) fn look(&mut self, at_once: bool, now: Instant) -> Result<bool, RepositoryError> {
        let is_first = !std::mem::replace(&mut self.looked, true);
        if is_first {
            // Names what is no model.
            self.folders.name_what_is_no_model()?;
        }
        let look = self.folders.look()?;
        let is_empty = look.folders.is_empty() && look.unreadable.is_empty();
        if is_empty && !self.settling.names().is_empty() {
            let (dir, what) = (self.folders.shown(), if look.is_missing { "gone" } else { "empty" });
            let line = format!(
                "the model repository {dir} is {what}: what is served goes on; put it back, or stop the server if that is meant"
            );
            self.say("", line);
            return Ok(false);
        }
        self.trouble.remove("");
        let mut changed = self.note(&look, at_once || is_first, now);
        changed.iter().for_each(|name| self.rebuild(name, is_first));
        if self.known.is_empty() && is_first {
            let (repository, name) = (self.folders.shown(), RESNET20_CIFAR10.name);
            tracing::info!(%repository, "no models there: serving the built-in {name}");
            let wanted = vec![built_in(&self.options.defaults)];
            self.known.insert(name.to_owned(), wanted);
            self.has_stand_in = true;
            changed.push(name.to_owned());
        }
        if is_first {
            self.preload();
        }
        if !changed.is_empty() {
            self.warn_of_names();
        }
        for (name, line) in self.folders.doubled() {
            self.say(&format!("/ {name}"), line);
        }
        Ok(!changed.is_empty())
    }

    /// Takes in what was seen; the models of which something else counts now.
    fn note(&mut self, look: &RepositoryLook, at_once: bool, now: Instant) -> Vec<String> {
        let mut changed = Vec::new();
        for name in self.settling.names() {
            let is_gone = !look.folders.contains_key(&name) && !look.unreadable.contains_key(&name);
            if is_gone && self.settling.note(&name, None, at_once, now) {
                changed.push(name);
            }
        }
        for (name, folder) in &look.folders {
            if self.settling.note(name, Some(folder), at_once, now) {
                changed.push(name.clone());
            }
        }
        self.trouble.retain(|of, _| of.is_empty() || of.starts_with('/') || look.unreadable.contains_key(of));
        for (name, reason) in &look.unreadable {
            let line = format!("cannot look at model `{name}` now, and what is served of it goes on: {reason}");
            self.say(name, line);
        }
        changed
    }

    /// Says what is wrong, if it was not said before.
    fn say(&mut self, of: &str, line: String) {
        if self.trouble.get(of) != Some(&line) {
            tracing::warn!("{line}");
            self.trouble.insert(of.to_owned(), line);
        }
    }

    /// Something else cannot be read: said once, until it can be read again.
    pub(super) fn complain(&mut self, error: &RepositoryError) {
        self.say("", format!("{error}; what is served goes on"));
    }

    /// Reads one model's settings and versions again.
    ///
    /// * `is_named`: what is passed over in its folder was said before
    fn rebuild(&mut self, name: &str, is_named: bool) {
        let before = self.known.remove(name).unwrap_or_default();
        let Some(seen) = self.settling.counts(name) else {
            if !before.is_empty() {
                tracing::info!(model = name, "its folder is gone");
            }
            return;
        };
        let mut passed_over = Vec::new();
        let wanted = match model(&self.folders.of(name), &mut passed_over) {
            Ok(Some(mut folder)) => {
                // One that is gone since a moment still counts.
                folder.versions.extend(before.iter().map(|version| version.version));
                folder.versions.retain(|version| seen.versions.contains_key(version));
                folder.versions.sort_unstable();
                folder.versions.dedup();
                versions(&seen, folder, &self.options.defaults)
            }
            // It went, or cannot be looked at, since a moment: the next look says which.
            Ok(None) | Err(_) => before,
        };
        if !is_named {
            passed_over.iter().for_each(|passed_over| tracing::warn!("{passed_over}"));
        }
        if let Some(settings) = wanted.iter().find_map(WantedModel::labels)
            && self.relabels.yield_to(name, settings)
        {
            tracing::info!(model = name, "its labels are those of its model.toml again, which has changed");
        }
        if !wanted.is_empty() && std::mem::take(&mut self.has_stand_in) {
            self.known.remove(RESNET20_CIFAR10.name);
        }
        self.known.insert(name.to_owned(), wanted);
    }

    /// Chooses what is served from the start.
    fn preload(&mut self) {
        let (Some(selected), Some(preload)) = (&mut self.selected, &self.options.explicit) else { return };
        for name in preload {
            if name == "*" {
                selected.extend(self.known.keys().cloned());
            } else if self.known.contains_key(name) {
                selected.insert(name.clone());
            } else {
                tracing::warn!(
                    "[models] preload names `{name}`, and there is no such folder: put it there, or leave it out"
                );
            }
        }
    }

    /// Clients, and file systems elsewhere, take such names for the same.
    fn warn_of_names(&mut self) {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in self.known.keys() {
            names.entry(name.to_lowercase()).or_default().push(name.clone());
        }
        for (lower, alike) in names.into_iter().filter(|(_, alike)| alike.len() > 1) {
            let alike = alike.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
            self.say(
                &format!("/{lower}"),
                format!("{alike} differ only in case: each is served by its own name; rename one"),
            );
        }
    }

    /// What should be served, and how it is called.
    pub(super) fn wanted(&self) -> (Vec<WantedModel>, Labels) {
        let is_selected = |name: &String| self.selected.as_ref().is_none_or(|selected| selected.contains(name));
        let selected = self.known.iter().filter(|(name, _)| is_selected(name));
        let (mut wanted, mut labels) = (Vec::new(), Labels::new());
        for (name, known) in selected {
            if let Some(settings) = known.iter().find_map(WantedModel::labels) {
                labels.insert(name.clone(), self.relabels.in_force(name, settings));
            }
            wanted.extend(known.iter().cloned());
        }
        (judged(wanted), labels)
    }

    /// Looks at one model, which is complete and wanted.
    ///
    /// # Errors
    /// If there is nothing that could be served; then nothing has changed.
    pub(super) fn load(&mut self, name: &str, now: Instant) -> Result<(), Error> {
        let is_stand_in = self.has_stand_in && name == RESNET20_CIFAR10.name && !self.folders.of(name).exists();
        if !is_stand_in {
            self.read_anew(name, now)?;
        }
        if let Some(selected) = &mut self.selected {
            selected.insert(name.to_owned());
        }
        Ok(())
    }

    fn read_anew(&mut self, name: &str, now: Instant) -> Result<(), Error> {
        let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        let seen = if is_name { look_at_model(&self.folders.of(name)) } else { Ok(None) };
        let folder = match seen {
            Ok(Some(folder)) => folder,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let message = format!("cannot look at the folder of model `{}`: {error}", Shown(name));
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            Ok(None) | Err(_) => return Err(self.no_folder(name)),
        };
        self.settling.note(name, Some(&folder), true, now);
        self.rebuild(name, false);
        if self.known.get(name).is_none_or(Vec::is_empty) {
            let message =
                format!("the folder of model `{}` holds no VERSION/model.onnx: put a version there", Shown(name));
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        self.warn_of_names();
        Ok(())
    }

    fn no_folder(&self, name: &str) -> Error {
        let dir = self.folders.shown();
        let message =
            format!("there is no folder `{}` in the model repository {dir}: put the model there", Shown(name));
        Error::new(ErrorKind::NotFound, message)
    }

    /// A model is not wanted any more, or not for the moment.
    ///
    /// # Errors
    /// If it was not, or if the folder decides.
    pub(super) fn unload(&mut self, name: &str) -> Result<UnloadWish, Error> {
        if self.selected.is_none() && self.options.on_demand {
            return self.known.get(name).map(|_| UnloadWish::Cool).ok_or_else(|| self.no_folder(name));
        }
        let Some(selected) = &mut self.selected else {
            let message = "what is in the model repository is served: remove the folder, or set [models] control = \"explicit\" \
                           to load and unload by calls, or load = \"on_demand\" to unload until the next request";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        };
        if selected.remove(name) {
            return Ok(UnloadWish::Forget);
        }
        let loaded = selected.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let loaded = if loaded.is_empty() { "none is".to_owned() } else { format!("loaded are: {loaded}") };
        Err(Error::new(ErrorKind::NotFound, format!("model `{}` is not loaded; {loaded}", Shown(name))))
    }

    /// Points a label elsewhere until the server ends or the model's settings say something else; what it points at then.
    ///
    /// # Errors
    /// If there is no such model, version or label, or if it cannot be a label.
    pub(super) fn label(&mut self, name: &str, label: &str, target: LabelTarget) -> Result<Option<u64>, Error> {
        if let Some(problem) = label_problem(label) {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("the label {problem}")));
        }
        let not_found = |message: String| Error::new(ErrorKind::NotFound, message);
        let known = self.known.get(name).ok_or_else(|| self.no_folder(name))?;
        let Some(settings) = known.iter().find_map(WantedModel::labels).cloned() else {
            return Err(not_found(format!("model `{}` is not served: mend its model.toml first", Shown(name))));
        };
        let in_force = self.relabels.in_force(name, &settings);
        let version = match target {
            LabelTarget::Nothing => None,
            LabelTarget::Version(version) => Some(version),
            LabelTarget::SameAs(other) => {
                let there = in_force.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let there = if there.is_empty() { "there is none".to_owned() } else { format!("there is {there}") };
                let version = in_force.get(&other).copied();
                let message = format!("model `{}` has no version labelled `{}`; {there}", Shown(name), Shown(&other));
                Some(version.ok_or_else(|| not_found(message))?)
            }
        };
        if let Some(version) = version
            && known.iter().all(|wanted| wanted.version != version)
        {
            let there = known.iter().map(|wanted| wanted.version.to_string()).collect::<Vec<_>>().join(", ");
            let message = format!(
                "version {version} of model `{}` is not served, and a label would point at nothing; served are {there}: [versions] policy \
                 in its model.toml chooses",
                Shown(name)
            );
            return Err(not_found(message));
        }
        self.relabels.point(name, &settings, label, version);
        let to = version.map_or("nothing".to_owned(), |version| format!("version {version}"));
        tracing::info!(
            model = name,
            label,
            "points at {to} until the server ends or [versions] labels in model.toml changes: write it there to keep it"
        );
        Ok(version)
    }
}
