//! `resnetd check-config`: what would be in force, and whether it holds; every model, whatever is wrong with another.

use std::io::Write;

use anyhow::{bail, ensure};
use toml::{Table, Value};

use super::{
    ConfigArgs,
    auth::check_auth,
    output::{Output, complain},
    repositories::{check_elsewhere, on_disk},
    tls::check_tls,
};
use crate::{
    config::{Config, Flags},
    files,
    inspect::inspect_file,
    model::{GraphImage, Manifest, ModelFolder, RESNET20_CIFAR10, label_text, preset_warning, repository},
};

#[derive(Debug, clap::Args)]
pub(super) struct CheckConfigArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &CheckConfigArgs) -> anyhow::Result<()> {
    let config = args.config.load(Flags { serving: true, ..Flags::default() })?;
    args.config.check_repository()?;
    check_tls(&config.tls)?;
    check_auth(&config.auth)?;
    for (setting, address) in config.open_addresses() {
        complain(&format!(
            "warning: {setting} is {address}, and whoever reaches it is answered, without a key: docs/keys.md"
        ));
    }
    for (setting, address) in config.cleartext_addresses() {
        complain(&format!("warning: {setting} is {address}, and keys and tokens come there without TLS: docs/keys.md"));
    }
    let mut output = Output::stdout();
    output.write_all(toml::to_string(&config)?.as_bytes())?;

    let elsewhere = check_elsewhere(&config)?;
    if !elsewhere.is_empty() || config.models.repositories().len() > 1 {
        output.finish()?;
        for repository in elsewhere {
            complain(&format!("{repository} is looked at when the server starts: its models are not checked here"));
        }
        if config.models.repositories().len() > 1 {
            complain("there are several repositories: check the models of each folder with --models");
        }
        return Ok(());
    }
    let repository::Contents { models, passed_over } = repository::contents(on_disk(&config)?)?;
    for passed_over in passed_over {
        complain(&format!("warning: {passed_over}"));
    }
    if models.is_empty() {
        let built_in = &RESNET20_CIFAR10;
        let manifest = built_in.manifest(&config.batching, &config.runtime)?;
        let in_force = manifest.in_force(&GraphImage::default());
        write_model(&mut output, built_in.name, &in_force, &[built_in.version], "inside resnetd")?;
    }
    let mut wrong = 0;
    for folder in &models {
        let place = files::shown(&folder.path);
        match check(folder, &config) {
            Ok(None) => complain(&format!("warning: passed over {place}: it has no VERSION/model.onnx")),
            Ok(Some((in_force, served))) => write_model(&mut output, &folder.name, &in_force, &served, &place)?,
            Err(error) => {
                wrong += 1;
                complain(&format!("error: {place}: {error:#}"));
            }
        }
    }
    output.finish()?;
    ensure!(wrong == 0, "{wrong} of {} models would not be served; each is named above", models.len());
    Ok(())
}

/// What is in force for a model, and the versions that are served; `None` where there is nothing to serve.
fn check(folder: &ModelFolder, config: &Config) -> anyhow::Result<Option<(Manifest, Vec<u64>)>> {
    let manifest = Manifest::read(&folder.path, &config.batching, &config.runtime)?;
    label_text(&folder.path, manifest.output.labels.as_deref())?;
    if folder.versions.is_empty() {
        return Ok(None);
    }
    let missing = manifest.versions.missing(&folder.versions);
    if !missing.is_empty() {
        bail!("[versions] policy names {missing:?}, and there is {:?}: put it there, or leave it out", folder.versions);
    }
    let served = manifest.served_versions(&folder.versions);
    let Some(highest) = served.last() else {
        bail!("[versions] policy names no version; there is {:?}", folder.versions);
    };
    let dangling = manifest.versions.dangling(&served);
    if !dangling.is_empty() {
        bail!("[versions] labels point {dangling:?} at versions that are not served; served are {served:?}");
    }
    for line in manifest.traffic.unserved(&manifest.versions.labels, &served) {
        complain(&format!("warning: {}: {line}", files::shown(&folder.path)));
    }
    // What the graph says is a part of what is in force. Whether it can be run is seen when it is loaded.
    let inspection = inspect_file(&folder.graph(*highest)).ok();
    if let Some(warning) = inspection.as_ref().and_then(|it| preset_warning(&manifest.input, it, None)) {
        complain(&format!("warning: {}: {warning}", files::shown(&folder.path)));
    }
    let image = inspection.and_then(|inspection| inspection.input);
    let image = image.as_ref().map_or_else(GraphImage::default, GraphImage::from);
    let in_force = manifest.in_force(&image);
    Ok(Some((in_force, served)))
}

/// Writes the values of a model as `[model.NAME.…]`, with where it lies above.
fn write_model(
    output: &mut Output,
    name: &str,
    manifest: &Manifest,
    served: &[u64],
    place: &str,
) -> anyhow::Result<()> {
    let served = served.iter().map(|version| i64::try_from(*version).map(Value::Integer)).collect::<Result<_, _>>()?;
    // Before the tables, as TOML wants it.
    let mut values = Table::from_iter([("served_versions".to_owned(), Value::Array(served))]);
    values.extend(Table::try_from(manifest)?);
    let named = Table::from_iter([(name.to_owned(), Value::Table(values))]);
    let document = Table::from_iter([("model".to_owned(), Value::Table(named))]);
    writeln!(output)?;
    output.line(&format!("# {name}: {place}"))?;
    output.write_all(toml::to_string(&document)?.as_bytes())?;
    Ok(())
}
