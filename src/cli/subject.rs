//! A model whose speed is asked for: one of the repository, or the one in the binary; and measuring it.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use super::repositories::on_disk;
use crate::{
    config::Config,
    model::{
        LoadSteps, Machine, Manifest, RESNET20_CIFAR10, TuningReport, label_text,
        load::{tune, tuned_earlier},
        repository::{GRAPH_FILE, scan},
    },
    postprocess::parse_labels,
    runtime::GraphSource,
    tune::Circumstances,
};

pub(super) struct TuneSubject {
    pub(super) name: String,
    pub(super) manifest: Manifest,
    file: Option<PathBuf>,
    /// How many classes have names.
    labels: Option<usize>,
}

impl TuneSubject {
    /// * `name`: in the repository; may be left out where there is only one
    pub(super) fn find(config: &Config, name: Option<&str>) -> anyhow::Result<Self> {
        let repository: &Path = on_disk(config)?;
        let folders = scan(repository)?;
        let (batching, runtime) = (&config.batching, &config.runtime);
        let built_in = RESNET20_CIFAR10.name;
        if folders.is_empty() && name.is_none_or(|name| name == built_in) {
            let manifest = RESNET20_CIFAR10.manifest(batching, runtime)?;
            return Ok(Self { name: built_in.to_owned(), manifest, file: None, labels: None });
        }
        let found = match (name, &folders[..]) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), folders) => folders.iter().find(|folder| folder.name == name),
        };
        let Some(folder) = found else {
            let known: Vec<_> = folders.iter().map(|folder| folder.name.as_str()).collect();
            let known = if known.is_empty() { built_in.to_owned() } else { known.join(", ") };
            match name {
                Some(name) => bail!("there is no model `{name}` in {}; there is {known}", repository.display()),
                None => bail!("{} has several models: name one of {known}", repository.display()),
            }
        };
        let manifest = Manifest::read(&folder.path, batching, runtime)?;
        let Some(&version) = manifest.versions.pick(&folder.versions).last() else {
            bail!("{} has no version to serve: put the graph at VERSION/{GRAPH_FILE}", folder.path.display());
        };
        let labels = label_text(&folder.path, manifest.output.labels.as_deref())?;
        let labels = labels.as_deref().map(parse_labels).transpose()?.map(|labels| labels.len());
        Ok(Self { name: folder.name.clone(), manifest, file: Some(folder.graph(version)), labels })
    }

    /// Measures every way to run it, with a bar on a terminal, and keeps what was found for the server.
    pub(super) fn measure(&self, machine: &Machine) -> anyhow::Result<TuningReport> {
        let progress = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {elapsed}")?);
        let mut begun = 0;
        let steps = LoadSteps::new(&self.name, 0);
        let report = tune(machine, self.graph(), &self.manifest, self.labels, &steps, &mut |candidate, count| {
            progress.set_length(count as u64);
            progress.set_position(begun);
            progress.set_message(format!("{} in {}", candidate.engine, candidate.shape));
            begun += 1;
        })?;
        progress.finish_and_clear();
        Ok(report)
    }

    /// What was found before, and when.
    pub(super) fn earlier(&self, machine: &Machine) -> anyhow::Result<Option<(TuningReport, Option<Circumstances>)>> {
        Ok(tuned_earlier(machine, self.graph(), &self.manifest, self.labels)?)
    }

    fn graph(&self) -> GraphSource<'_> {
        self.file.as_deref().map_or(GraphSource::Memory(RESNET20_CIFAR10.graph), GraphSource::File)
    }
}
