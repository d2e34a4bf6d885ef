//! `resnetd push`: a version into an object store, in an order in which no watcher sees half of it.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    interrupt::Interrupt,
    output::{Output, complain},
    repositories::environment,
};
use crate::{
    model::Manifest,
    onnx,
    settings::{Batching, RuntimeSettings},
    store::{LocalVersion, PushOptions, StoreUrl, open, push},
};

#[derive(Debug, clap::Args)]
pub(super) struct PushArgs {
    /// The version: MODELS/NAME/VERSION, a folder with model.onnx in it
    #[arg(value_name = "VERSION")]
    version: PathBuf,
    /// The repository: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix; the version is NAME/VERSION in it
    #[arg(value_name = "URL")]
    url: String,
    /// Overwrite a version that is there
    #[arg(long)]
    force: bool,
    /// Replace model.toml, labels and what else is beside the versions, where it is different there
    #[arg(long)]
    settings: bool,
}

/// What a signal ends with before the version is there.
const INTERRUPTED: &str =
    "error: interrupted; the version is not complete in the store, and no server takes it: push it again";

pub(super) fn run(args: &PushArgs) -> anyhow::Result<()> {
    // Not parsed with the arguments, where a refusal would repeat what was given.
    let url: StoreUrl = args.url.parse()?;
    let local = LocalVersion::at(&args.version)?;
    // What no server could read is not sent to all of them.
    Manifest::read(&local.model_folder(), &Batching::default(), &RuntimeSettings::default())?;
    let graph = onnx::decode(onnx::read_bytes(&local.graph())?)?;
    onnx::check_external(&graph, local.graph().parent())?;
    drop(graph);
    let client = open(&url, &environment()).with_context(|| url.to_string())?;
    let bar = progress_bar(&local.model);
    let shown = bar.clone();
    let _interrupt = Interrupt::watch(move || shown.finish_and_clear(), INTERRUPTED)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = PushOptions { force: args.force, settings: args.settings };
    let pushed = runtime.block_on(push(&client, &url, &local, options, &mut |done, size| {
        bar.set_length(size);
        bar.set_position(done);
    }));
    bar.finish_and_clear();
    let pushed = pushed?;
    if !pushed.left.is_empty() {
        let left = pushed.left.join(", ");
        complain(&format!("{left}: different there, and left so; --settings replaces what is beside the versions"));
    }
    let mut output = Output::stdout();
    let target = url.join(&format!("{}/{}", local.model, local.version));
    let what =
        if pushed.was_there { "is there already".to_owned() } else { format!("{} bytes, complete", pushed.bytes) };
    output.line(&format!("{target}: {what}"))?;
    output.finish()
}

/// On stderr, and only on a terminal.
fn progress_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::no_length().with_message(name.to_owned());
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
