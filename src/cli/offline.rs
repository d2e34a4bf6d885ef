//! Models without a server: the same service, loaded for one command.

use std::{io, path::Path};

use anyhow::bail;

use super::{ConfigArgs, repositories::on_disk, serve::limits};
use crate::{
    config::{Config, Flags},
    files,
    lifecycle::{Lifecycle, LoadOptions, ModelDefaults, wanted_models},
    model::Machine,
    runtime::Runtime,
    service::{ModelState, ModelStatus, RequestLimits, Service, cores},
    telemetry::{self, Metrics},
};

/// The service with one model that answers.
pub(super) struct Offline {
    pub(super) config: Config,
    pub(super) service: Service,
    pub(super) model: ModelStatus,
    /// A text that changes when ONNX Runtime or a GPU changes.
    pub(super) libraries: String,
    /// Ends the models when it is dropped.
    _lifecycle: Lifecycle,
}

/// What is in force for a command, and its log.
///
/// # Errors
/// What is wrong with the configuration.
pub(super) fn settings(args: &ConfigArgs) -> anyhow::Result<Config> {
    let mut defaults = Config::default();
    // A folder is classified sooner than every way to run the network is measured, and in fp32 it is the same anywhere.
    defaults.runtime.tune = false;
    // Of the log, only what is wrong: results are on stdout, progress on stderr.
    defaults.log.level = "warn".to_owned();
    let config = args.load_over(defaults, Flags::default())?;
    args.check_repository()?;
    telemetry::start_log(&config.log)?;
    Ok(config)
}

impl Offline {
    /// Loads the models, or `model` alone, and chooses the one that answers.
    ///
    /// # Errors
    /// Where there are several, none, or none that can be loaded.
    pub(super) fn start(config: Config, model: Option<&str>) -> anyhow::Result<Self> {
        let runtime = Runtime::load()?;
        let libraries = runtime.fingerprint();
        let (service, writer) = Service::new(
            RequestLimits { default_timeout: None, target_queue: None, ..limits(&config) },
            config.server.decode_threads,
            Metrics::default(),
        );
        let options = LoadOptions { retries: false, ..LoadOptions::default() };
        let lifecycle = Lifecycle::start(writer, Machine::new(runtime, cores), options)?;
        let defaults = ModelDefaults { batching: config.batching.clone(), runtime: config.runtime.clone() };
        lifecycle.apply(wanted_models(on_disk(&config)?, model, &defaults)?).wait();
        let model = choose(service.list(), model)?;
        Ok(Self { config, service, model, libraries, _lifecycle: lifecycle })
    }

    /// How many files are worked on at a time.
    pub(super) fn concurrency(&self) -> usize {
        let most = 2 * self.model.info.as_ref().map_or(1, |info| info.max_batch_size * info.instances);
        most.min(self.config.batching.queue_capacity)
    }

    /// The most bytes of a picture's file.
    pub(super) fn picture_limit(&self) -> u64 {
        self.service.max_body_bytes() as u64
    }

    /// The bytes of a picture's file.
    ///
    /// # Errors
    /// Where it cannot be read, or is larger than a request may be.
    pub(super) fn read(&self, file: &Path) -> anyhow::Result<Vec<u8>> {
        read_picture(file, self.picture_limit())
    }
}

/// The bytes of a picture's file, `limit` at most.
///
/// # Errors
/// Where it cannot be read, or is larger.
pub(super) fn read_picture(file: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    files::read(file, limit).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => anyhow::anyhow!("{error}: raise [limits] max_body_bytes"),
        _ => error.into(),
    })
}

fn choose(models: Vec<ModelStatus>, wanted: Option<&str>) -> anyhow::Result<ModelStatus> {
    let names = || {
        let mut names: Vec<_> = models.iter().map(|model| model.name.to_string()).collect();
        names.dedup();
        names.join(", ")
    };
    let several = || models.iter().any(|model| model.name != models[0].name);
    match wanted {
        None if models.is_empty() => bail!("the repository holds no model that can be loaded"),
        None if several() => bail!("there are several models: choose one with --model ({})", names()),
        Some(name) if models.iter().all(|model| &*model.name != name) => {
            bail!("there is no model `{name}`; give --models the folder that holds it")
        }
        _ => {}
    }
    let served = models.iter().rev().find(|model| model.state == ModelState::Available);
    match (served, models.last().map(|model| &model.state)) {
        (Some(model), _) => Ok(model.clone()),
        (None, Some(ModelState::Failed(reason))) => bail!("model `{}` cannot be loaded: {reason}", names()),
        (None, _) => bail!("model `{}` cannot be loaded", names()),
    }
}
