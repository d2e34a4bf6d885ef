//! `--config` and `--models`, and the configuration that they, the environment and a command's own flags make.

use std::{fs, io, path::PathBuf};

use clap::Args;

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
    /// Model repository: DIR/NAME/VERSION/model.onnx
    #[arg(long, value_name = "DIR")]
    pub(super) models: Option<PathBuf>,
}

impl ConfigArgs {
    pub(super) fn load(&self, flags: Flags) -> Result<Config, ConfigError> {
        self.load_over(Config::default(), flags)
    }

    /// For a command whose defaults differ from the server's.
    pub(super) fn load_over(&self, defaults: Config, flags: Flags) -> Result<Config, ConfigError> {
        let flags = Flags { models: self.models.clone(), ..flags };
        // A variable that is no Unicode cannot be one of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        defaults.load(self.config.as_deref(), environment, &flags)
    }

    /// Refuses a repository that `--models` names and that does not exist.
    pub(super) fn check_repository(&self) -> anyhow::Result<()> {
        let Some(models) = &self.models else { return Ok(()) };
        let reason = match fs::metadata(models) {
            Ok(there) if there.is_dir() => return Ok(()),
            Ok(_) => "it is no folder".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no such folder".to_owned(),
            Err(error) => error.to_string(),
        };
        anyhow::bail!("--models {}: {reason}; create it or correct the path", files::shown(models))
    }
}
