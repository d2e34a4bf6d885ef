//! `resnetd evaluate`: errors of a model on a labelled folder, without a server; two versions compared.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    ConfigArgs,
    images::FoundImages,
    interrupt::{Interrupt, KEPT, NOTHING_WRITTEN},
    output::{Output, complain},
    place::ModelPlace,
    repositories::on_disk,
};
use crate::{
    config::Config,
    evaluate::{
        ExaminedNetwork, Journal, JournalKey, LabelledImages, Listing, Spectator, VersionComparison, Views, evaluate,
        in_class_folders, in_list,
        report::{EvaluationReport, ExaminedVersion, html, json, table},
    },
    files,
    model::Manifest,
    postprocess::ClassNames,
    resnet::IMAGENET_LABELS,
    runtime::Runtime,
    service::cores,
    telemetry,
    tune::cache,
};

/// A list of ImageNet's 50,000 images has 2 MB.
const LARGEST_LIST: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct EvaluateArgs {
    /// The model's name in the repository, or the built-in resnet20-cifar10
    #[arg(value_name = "NAME")]
    name: String,
    /// Images in folders named after their class (label, WordNet id or index), or beside a labels.csv (file,class) or a val.txt (file index)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// 1: as the model is served; 10: four corners, the centre and their mirror images, probabilities averaged
    #[arg(long, value_name = "1|10", default_value = "1", value_parser = ["1", "10"], conflicts_with = "scales")]
    crops: String,
    /// Whole pictures, the shorter side resized to each of these numbers with commas between, probabilities averaged
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4096))]
    scales: Vec<u32>,
    /// The version to evaluate [default: the highest]
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// A second version, to compare with
    #[arg(long, value_name = "VERSION")]
    against: Option<u64>,
    /// How the report looks; html is a page with plots
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write the report to this file; what is done is kept beside it until then
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Html,
}

impl EvaluateArgs {
    fn views(&self) -> Views {
        match &self.crops[..] {
            _ if !self.scales.is_empty() => Views::Scales(self.scales.clone()),
            "10" => Views::TenCrops,
            _ => Views::OneCrop,
        }
    }
}

pub(super) fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    // What the engine logs as an error comes back as one, too.
    let config = args.config.load_quiet("warn,ort=off")?;
    args.config.check_repository()?;
    telemetry::start_log(&config.log)?;
    let place = ModelPlace::find(on_disk(&config)?, &args.name)?;
    let version = place.version(args.version)?;
    let against = args.against.map(|wanted| place.version(Some(wanted)).context("--against")).transpose()?;
    if against == Some(version) {
        bail!("--against {version} is the version that is evaluated; name another one, or choose with --version");
    }
    let manifest = place.manifest(&config)?;
    let found = find(&args.data).context("--data")?;
    let mut output = Output::to(args.output.as_deref())?;

    let runtime = Runtime::load()?;
    let beside = output.is_file().then(|| args.output.clone()).flatten();
    let data = fs::canonicalize(&args.data)?;
    let desk = Desk { name: &args.name, place, manifest, runtime, views: args.views(), data, beside };
    let mut network = desk.open(version)?;
    let classes = network.classes();
    let names = desk.class_names(classes)?;
    let LabelledImages { images, unlabelled } = labelled(&names, &args.data, found.files)?;
    // Opened now, because the first one may run for an hour.
    let mut second = against.map(|against| anyhow::Ok((against, desk.open(against)?))).transpose()?;
    if let Some((against, other)) = &second
        && other.classes() != classes
    {
        let others = other.classes();
        bail!("version {version} has {classes} classes and version {against} has {others}: they cannot be compared");
    }

    let mut first_journal = desk.journal(version)?;
    let mut second_journal = against.map_or(Ok(None), |against| desk.journal(against))?;
    let runs = if against.is_some() { 2 } else { 1 };
    let bar = Bar::new(runs * images.len());
    let shown = bar.0.clone();
    let kept = first_journal.is_some() && (against.is_none() || second_journal.is_some());
    let line = if kept { KEPT } else { NOTHING_WRITTEN };
    let interrupt = Interrupt::watch(move || shown.finish_and_clear(), line)?;
    let examine = |version: u64, network: &mut ExaminedNetwork, journal: &mut Option<Journal>| {
        let answers = evaluate(network, &images, journal.as_mut(), cores(), &bar)
            .with_context(|| format!("cannot evaluate {} version {version}", args.name))?;
        if answers.failures.len() == images.len() {
            bail!("none of the {} images could be read; each is named above", images.len());
        }
        Ok(ExaminedVersion::new(version, answers, classes))
    };
    let first = examine(version, &mut network, &mut first_journal)?;
    let second =
        second.as_mut().map(|(against, network)| examine(*against, network, &mut second_journal)).transpose()?;
    bar.0.finish_and_clear();

    let report = EvaluationReport {
        model: &args.name,
        protocol: desk.views.to_string(),
        data: &args.data,
        labels: names.labels(),
        images: &images,
        unlabelled,
        passed_over: found.passed_over.into_iter().map(|(path, reason)| (files::shown(&path), reason)).collect(),
        against: second.map(|second| {
            let comparison = VersionComparison::of(&first.answers.verdicts, &second.answers.verdicts);
            (second, comparison)
        }),
        first,
    };
    match args.format {
        Format::Table => table::write(&mut output, &report)?,
        Format::Json => json::write(&mut output, &report)?,
        Format::Html => html::write(&mut output, &report)?,
    }
    let mut written = interrupt.hold();
    output.finish()?;
    *written = true;
    drop(written);
    for journal in [first_journal, second_journal].into_iter().flatten() {
        journal.remove()?;
    }
    Ok(())
}

/// The images in `folder`; what of it cannot be looked at is said on stderr.
pub(super) fn find(folder: &Path) -> anyhow::Result<FoundImages> {
    if fs::metadata(folder).is_ok_and(|there| !there.is_dir()) {
        bail!("{} is no folder", files::shown(folder));
    }
    let found = FoundImages::among(&[folder.to_owned()])?;
    for (path, reason) in &found.passed_over {
        complain(&format!("passed over {}: {reason}", files::shown(path)));
    }
    Ok(found)
}

/// The classes of the images in `root`: from a list in it, else, where images lie in it without folders, from a list beside it,
/// else from the folders.
pub(super) fn labelled(names: &ClassNames, root: &Path, found: Vec<PathBuf>) -> anyhow::Result<LabelledImages> {
    let is_flat = found.iter().any(|file| file.parent() == Some(root));
    let above = is_flat.then(|| root.join("..")).into_iter();
    let lists = std::iter::once(root.to_owned()).chain(above);
    let mut lists = lists.flat_map(|folder| Listing::FILES.map(|file| folder.join(file)));
    let Some(path) = lists.find(|path| path.exists()) else {
        return Ok(in_class_folders(names, root, found)?);
    };
    let text = files::read_text(&path, LARGEST_LIST).with_context(|| files::shown(&path))?;
    Ok(in_list(names, root, &found, &Listing { path, text })?)
}

/// What both versions share.
pub(super) struct Desk<'a> {
    name: &'a str,
    place: ModelPlace,
    manifest: Manifest,
    runtime: Runtime,
    views: Views,
    data: PathBuf,
    /// The report's file, if it is one.
    beside: Option<PathBuf>,
}

impl<'a> Desk<'a> {
    /// Of the model's settings as they are served, in one view of each image.
    pub(super) fn as_served(name: &'a str, config: &Config, runtime: Runtime) -> anyhow::Result<Self> {
        let place = ModelPlace::find(&config.models.dir, name)?;
        let manifest = place.manifest(config)?;
        Ok(Self { name, place, manifest, runtime, views: Views::OneCrop, data: PathBuf::new(), beside: None })
    }

    /// The model's settings.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The version that is served.
    pub(super) fn version(&self) -> anyhow::Result<u64> {
        self.place.version(None)
    }

    pub(super) fn open(&self, version: u64) -> anyhow::Result<ExaminedNetwork> {
        let labels = self.place.class_count(&self.manifest)?;
        let network = self.place.with_graph(version, |graph| {
            ExaminedNetwork::open(&self.runtime, graph, &self.manifest, labels, self.views.clone(), cores())
        });
        network.with_context(|| format!("cannot evaluate {} version {version}", self.name))
    }

    /// What the classes are called, by the same rules as in a server.
    pub(super) fn class_names(&self, classes: usize) -> anyhow::Result<ClassNames> {
        let text = self.place.labels(&self.manifest)?;
        let imagenet = || ClassNames::parse(IMAGENET_LABELS);
        let names = match text {
            Some(text) => ClassNames::parse(&text).with_ids_of(IMAGENET_LABELS),
            None if classes == imagenet().labels().len() => imagenet(),
            None => ClassNames::numbered(classes),
        };
        match names.labels().len() {
            labels if labels == classes => Ok(names),
            labels => bail!("{} has {classes} classes and {labels} labels; correct its label file", self.name),
        }
    }

    /// Where what is done is kept: beside the report, else in the user's cache folder; nowhere if there is none.
    fn journal(&self, version: u64) -> anyhow::Result<Option<Journal>> {
        let settings = (&self.manifest.input, &self.manifest.output);
        let key = JournalKey {
            resnetd: env!("CARGO_PKG_VERSION").to_owned(),
            libraries: self.runtime.fingerprint(),
            model: format!("{} version {version}", self.name),
            digest: self.place.digest(version),
            images_and_answers: serde_json::to_string(&settings)?,
            protocol: self.views.to_string(),
            data: self.data.clone(),
        };
        let path = match &self.beside {
            Some(report) => {
                let mut name = report.clone().into_os_string();
                name.push(format!(".v{version}.journal"));
                PathBuf::from(name)
            }
            None => match cached(&key) {
                Ok(Some(path)) => path,
                Ok(None) => return Ok(None),
                Err(error) => {
                    complain(&format!("note: what is done is not kept: {error:#}"));
                    return Ok(None);
                }
            },
        };
        let journal = Journal::open(&path, &key)?;
        if !journal.is_empty() {
            let path = files::shown(&path);
            complain(&format!("going on after {} images of version {version}; {path} has them", journal.len()));
        }
        Ok(Some(journal))
    }
}

/// The place in the user's cache folder for what this evaluation did.
fn cached(key: &JournalKey) -> anyhow::Result<Option<PathBuf>> {
    let Some(folder) = cache::user_folder() else { return Ok(None) };
    let folder = folder.join("evaluate");
    fs::create_dir_all(&folder).with_context(|| files::shown(&folder))?;
    let name = &cache::digest(&serde_json::to_vec(key)?)[..24];
    Ok(Some(folder.join(format!("{name}.journal"))))
}

/// On terminals.
pub(super) struct Bar(pub(super) ProgressBar);

impl Bar {
    pub(super) fn new(images: usize) -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new(images as u64) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} images, {per_sec}, {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Spectator for Bar {
    fn advance(&self, images: usize) {
        self.0.inc(images as u64);
    }

    fn passed_over(&self, file: &Path, reason: &str) {
        self.0.suspend(|| complain(&format!("passed over {}: {reason}", files::shown(file))));
    }
}
