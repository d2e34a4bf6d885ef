//! The command line: the third door. Only here is the configuration read, and only here does `anyhow` carry errors.
//!
//! Results go to stdout, logs and progress to stderr. Exit 0: done; 1: failed, with one line that says what and how to
//! mend it; 2: wrong usage.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "a comment on an option is its help text, with brackets as usage lines have them"
)]

mod build;
mod check_config;
mod classify;
mod healthcheck;
mod inspect;
mod interrupt;
mod kept;
mod output;
mod pull;
mod quantize;
mod serve;
mod tune;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, ConfigError, Flags},
    telemetry,
};

/// Serves ResNet image classifiers over HTTP and gRPC, and makes them.
#[derive(Debug, Parser)]
#[command(name = "resnetd", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the models of a repository, or the built-in one
    Serve(serve::ServeArgs),
    /// Classify image files and folders, without a server
    Classify(classify::ClassifyArgs),
    /// Say which ResNet an ONNX file is, whoever exported it
    Inspect(inspect::InspectArgs),
    /// Turn another framework's weights into a served model
    Build(build::BuildArgs),
    /// Fetch ImageNet weights from the Hugging Face hub and build them into a served model
    Pull(pull::PullArgs),
    /// Make an 8-bit version of a served model, if its answers hold
    Quantize(quantize::QuantizeArgs),
    /// Measure every way to run a model on this machine; the server uses the best
    Tune(tune::TuneArgs),
    /// Check the configuration and every model.toml, and print what is in force
    CheckConfig(check_config::CheckConfigArgs),
    /// Ask a running server whether it is ready; exit 0 if so (for container health checks)
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// The options of every command that reads the configuration.
#[derive(Debug, Clone, Default, Args)]
struct ConfigArgs {
    /// Configuration file (TOML); config/resnetd.toml shows every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Model repository: DIR/NAME/VERSION/model.onnx
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self, flags: Flags) -> Result<Config, ConfigError> {
        self.load_over(Config::default(), flags)
    }

    /// For a command whose defaults differ from the server's.
    fn load_over(&self, defaults: Config, flags: Flags) -> Result<Config, ConfigError> {
        let flags = Flags { models: self.models.clone(), ..flags };
        // A variable that is no Unicode cannot be one of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        defaults.load(self.config.as_deref(), environment, &flags)
    }

    /// The repository, which must exist where the command line names it.
    fn check_repository(&self) -> anyhow::Result<()> {
        match &self.models {
            Some(models) if !models.is_dir() => {
                anyhow::bail!("--models {}: there is no such folder; create it or correct the path", models.display())
            }
            _ => Ok(()),
        }
    }
}

/// Runs the program.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    let serving = matches!(command, Command::Serve(_));
    let outcome = match command {
        Command::Serve(args) => serve::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args),
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("error: {error:#}");
            // A server must not wait for whoever reads its log, not even when it leaves.
            if serving {
                telemetry::last_line(&line)
            } else {
                output::complain(&line)
            }
            ExitCode::FAILURE
        }
    };
    telemetry::flush_log();
    code
}
