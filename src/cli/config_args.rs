//! `--config` and `--models`, and the configuration that they, the environment and a command's own flags make.

use std::{fs, io, path::PathBuf};

use clap::Args;

use super::repositories::is_elsewhere;
use crate::{
    config::{Config, ConfigError, Flags},
    files,
};

/// The options of every command that reads the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file (TOML); config/resnetd.toml shows every key
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Model repository: DIR/NAME/VERSION/model.onnx; `serve`: or s3://bucket/prefix, gs://…, az://…, and several of them
    #[arg(long, value_name = "DIR")]
    pub(super) models: Vec<PathBuf>,
}

impl ConfigArgs {
    pub(super) fn load(&self, flags: Flags) -> Result<Config, ConfigError> {
        self.load_over(Config::default(), flags)
    }

    /// For a command whose results are on stdout and whose progress is on stderr: it logs at `level` unless another one is
    /// set.
    pub(super) fn load_quiet(&self, level: &str) -> Result<Config, ConfigError> {
        let mut defaults = Config::default();
        defaults.log.level = level.to_owned();
        self.load_over(defaults, Flags::default())
    }

    /// For a command whose defaults differ from the server's.
    pub(super) fn load_over(&self, defaults: Config, flags: Flags) -> Result<Config, ConfigError> {
        let flags = Flags { models: self.models.clone(), ..flags };
        defaults.load(self.config.as_deref(), std::env::vars_os(), &flags)
    }

    /// Refuses a repository that `--models` names and that does not exist.
    pub(super) fn check_repository(&self) -> anyhow::Result<()> {
        for models in self.models.iter().filter(|models| !is_elsewhere(models)) {
            let reason = match fs::metadata(models) {
                Ok(there) if there.is_dir() => continue,
                Ok(_) => "it is no folder".to_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such folder".to_owned(),
                Err(error) => error.to_string(),
            };
            anyhow::bail!("--models {}: {reason}; create it or correct the path", files::shown(models));
        }
        Ok(())
    }
}
