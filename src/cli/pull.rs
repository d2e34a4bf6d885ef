//! `resnetd pull`: ImageNet weights from the Hugging Face hub, built into a model folder that the server serves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    interrupt::Interrupt,
    output::{Output, complain},
};
use crate::files;
use crate::resnet::hub::catalogue::{self, PretrainedWeights};
use crate::resnet::hub::{Fetched, Hub};
use crate::resnet::{Recipe, Written, build, import};

#[derive(Debug, clap::Args)]
pub(super) struct PullArgs {
    /// resnet18/34/50/101/152, resnext50_32x4d, wide_resnet50_2 …: torchvision's weights; resnet50.tv2_in1k,
    /// resnet50.a1_in1k or microsoft/resnet-50: others
    #[arg(value_name = "NAME")]
    weights: String,
    /// Branch, tag or commit on the hub
    #[arg(long, default_value = "main")]
    revision: String,
    /// Model repository to write to
    #[arg(long, value_name = "DIR", default_value = "models")]
    output: PathBuf,
    /// The name that it is served under [default: the architecture's]
    #[arg(long)]
    name: Option<String>,
    /// Version number [default: the next one]
    #[arg(long)]
    version: Option<u64>,
    /// Replace a version that is there
    #[arg(long)]
    force: bool,
}

/// What a signal ends with before the model is there.
const INTERRUPTED: &str = "error: interrupted; no model was written, and what was fetched is kept for the next time";

pub(super) fn run(args: &PullArgs) -> anyhow::Result<()> {
    let entry = catalogue::find(&args.weights)?;
    let hub = Hub::from_env(|name| std::env::var(name).ok())?;

    let bar = progress_bar(&entry);
    let shown = bar.clone();
    let interrupt = Interrupt::watch(move || shown.finish_and_clear(), INTERRUPTED)?;
    let fetched = hub.fetch(entry.file(&args.revision), &mut |done, size| {
        bar.set_length(size);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let fetched = fetched?;
    if let Some(reason) = &fetched.unasked {
        complain(&format!("using the copy in the cache: {reason}"));
    }

    let mut held = None;
    let (recipe, written) = built(&entry, &fetched, &args.output, |recipe| {
        recipe.name = args.name.clone().unwrap_or(std::mem::take(&mut recipe.name));
        recipe.version = args.version;
        recipe.force = args.force;
        // Folders that are half filled appear under another name; a signal waits until that is gone.
        held = Some(interrupt.hold());
    })?;
    if let Some(mut held) = held {
        *held = true;
    }

    let mut output = Output::stdout();
    let PretrainedWeights { repository, license, .. } = &entry;
    let model = files::shown(&written.model);
    output.line(&format!("{model}: {} from {repository} ({license})", recipe.architecture))?;
    output.finish()
}

/// Builds a model of fetched weights.
///
/// * `change`: of the recipe, before anything is written
pub(super) fn built(
    entry: &PretrainedWeights,
    fetched: &Fetched,
    output: &Path,
    change: impl FnOnce(&mut Recipe),
) -> anyhow::Result<(Recipe, Written)> {
    let imported = import::read(&fetched.path)?;
    let mut recipe = entry.recipe(fetched, &imported)?;
    change(&mut recipe);
    let written = build(&recipe, imported.state_dict, output)?;
    Ok((recipe, written))
}

/// On stderr, and only on a terminal.
fn progress_bar(entry: &PretrainedWeights) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::no_length().with_message(entry.repository.clone());
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
