//! `resnetd check-config`: what would be in force, and whether it holds.

use std::io::Write;

use super::{ConfigArgs, output::Output};
use crate::{
    config::Flags,
    model::{Manifest, repository::scan},
};

#[derive(Debug, clap::Args)]
pub(super) struct CheckConfigArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &CheckConfigArgs) -> anyhow::Result<()> {
    let config = args.config.load(Flags::default())?;
    args.config.check_repository()?;
    if config.models.dir.is_dir() {
        for folder in scan(&config.models.dir)? {
            Manifest::read(&folder.path, &config.batching, &config.runtime)?;
        }
    }
    let mut output = Output::stdout();
    output.write_all(toml::to_string(&config)?.as_bytes())?;
    output.finish()
}
