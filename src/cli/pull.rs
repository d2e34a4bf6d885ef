//! `resnetd pull`: ImageNet weights from the Hugging Face hub, built into a model folder that the server serves.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::{Output, complain};
use crate::resnet::architecture::Architecture;
use crate::resnet::hub::catalogue::{self, Entry};
use crate::resnet::hub::{Fetched, Hub};
use crate::resnet::{Choices, IMAGENET_LABELS, Options, Recipe, Variant, build, import};

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

pub(super) fn run(args: &PullArgs) -> anyhow::Result<()> {
    let entry = catalogue::find(&args.weights)?;
    let hub = Hub::from_env(|name| std::env::var(name).ok())?;

    let bar = progress_bar(&entry);
    let fetched = hub.fetch(entry.file(&args.revision), &mut |done, size| {
        bar.set_length(size);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let fetched = fetched?;
    if let Some(reason) = &fetched.unasked {
        complain(&format!("using the copy in the cache: {reason}"));
    }

    let imported = import::read(&fetched.path)?;
    let state = imported.state_dict;
    let variant = imported.notes.variant;
    let architecture = Choices::default().architecture(entry.architecture, variant, Some(&state))?;
    let recipe = recipe(args, &entry, &fetched, variant, architecture);
    let written = build(&recipe, state, &args.output)?;

    let mut output = Output::to(None)?;
    let Entry { repository, license, .. } = &entry;
    writeln!(output, "{}: {} from {repository} ({license})", written.model.display(), recipe.architecture)?;
    output.finish()
}

fn recipe(args: &PullArgs, entry: &Entry, fetched: &Fetched, variant: Variant, architecture: Architecture) -> Recipe {
    let metadata = [
        ("variant", variant.as_str().to_owned()),
        ("source", format!("https://huggingface.co/{} at {}", entry.repository, fetched.commit)),
        ("sha256", fetched.sha256.clone()),
        ("license", entry.license.to_owned()),
    ];
    Recipe {
        options: Options {
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            ..Options::default()
        },
        preprocessing: entry.preprocessing(&architecture),
        name: args.name.clone().unwrap_or_else(|| entry.architecture.to_owned()),
        version: args.version,
        labels: Some(IMAGENET_LABELS.to_owned()),
        force: args.force,
        architecture,
    }
}

/// On stderr, and only on a terminal.
fn progress_bar(entry: &Entry) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::no_length().with_message(entry.repository.clone());
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
