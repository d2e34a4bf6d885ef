//! The command line: the third door. Only here is the configuration read, and only here does `anyhow` carry errors.
//!
//! Results go to stdout, logs and progress to stderr. Exit 0: done; 1: failed, with one line that says what and how to
//! mend it; 2: wrong usage.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "a comment on an option is its help text, with brackets as usage lines have them"
)]

mod auth;
mod bench;
mod build;
mod capacity;
mod cascade;
mod check_config;
mod classify;
mod config_args;
mod evaluate;
mod explain;
mod healthcheck;
mod hub_model;
mod images;
mod inspect;
mod interrupt;
mod io_threads;
mod kept;
mod keys;
mod models;
mod offline;
mod openapi;
mod output;
mod place;
mod pull;
mod push;
mod quantize;
mod repositories;
mod serve;
mod subject;
mod table;
mod tls;
mod top;
mod tune;
mod utf8;

use std::io::{self, Write as _};

use clap::{Parser, Subcommand};

use crate::heap;
use config_args::ConfigArgs;

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
    /// Draw which places of pictures speak for a class, without a server
    Explain(explain::ExplainArgs),
    /// Say which ResNet an ONNX file is, whoever exported it, draw it, or say what differs between two
    Inspect(inspect::InspectArgs),
    /// Turn another framework's weights into a served model
    Build(build::BuildArgs),
    /// Fetch ImageNet weights from the Hugging Face hub and build them into a served model
    Pull(pull::PullArgs),
    /// Put a version into an object store, in an order in which no watcher sees half of it
    Push(push::PushArgs),
    /// Make an 8-bit version of a served model, if its answers hold
    Quantize(quantize::QuantizeArgs),
    /// Errors of a model on a labelled folder, per class, calibration; two versions compared
    Evaluate(evaluate::EvaluateArgs),
    /// Measure every way to run a model on this machine; the server uses the best
    Tune(tune::TuneArgs),
    /// What this machine bears, how many like it a rate needs, and what a million images cost
    Capacity(capacity::CapacityArgs),
    /// Put load on a running server: closed or open loop, HTTP or gRPC, percentiles, a report with plots
    Bench(bench::BenchArgs),
    /// The live numbers of running servers in a terminal
    Top(top::TopArgs),
    /// List, load, unload and label the models of a running server
    Models(models::ModelsArgs),
    /// Make, list and revoke the API keys of a server
    Keys(keys::KeysArgs),
    /// Check the configuration and every model.toml, and print what is in force
    CheckConfig(check_config::CheckConfigArgs),
    /// Print the description of the HTTP API, an OpenAPI document, as the server gives it
    Openapi,
    /// Ask a running server whether it is ready; exit 0 if so (for container health checks)
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// Runs the program and ends the process.
///
/// It ends without the exit handlers of the libraries that it has loaded: those of ONNX Runtime and of its plugins crash when
/// one of their threads still works, and a load that nobody can stop may be under way. What is ours is closed by then: what
/// commands return from has written its files, and the log is flushed.
pub fn run() -> ! {
    let command = Cli::parse().command;
    let serving = matches!(command, Command::Serve(_));
    let outcome = match command {
        Command::Serve(args) => {
            heap::give_back_early();
            serve::run(&args)
        }
        Command::Classify(args) => classify::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Openapi => openapi::run(),
        Command::Healthcheck(args) => healthcheck::run(&args),
    };
    let code = match outcome {
        Ok(()) => 0,
        Err(error) => {
            if serving {
                output::error(&error);
            } else {
                output::complain(&format!("error: {error:#}"));
            }
            1
        }
    };
    // The rest of a line, of a command that failed in the middle of it: results are flushed, and checked, where they end.
    let _ = io::stdout().flush();
    interrupt::end(code)
}
