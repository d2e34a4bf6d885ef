//! `resnetd keys`: keys are made, listed and revoked in their file; a server that runs takes the change within a second.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use super::{
    ConfigArgs,
    output::{Output, complain},
    table::aligned,
};
use crate::{
    auth::{KeyEntry, KeyFile, Right, add_key, all_models, revoke_key, usual_rights},
    config::Flags,
    files,
};

#[derive(Debug, clap::Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    action: Action,
    /// The file of keys [default: [auth] keys_file of the configuration]
    #[arg(long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key, print it once, and keep its hash
    Add {
        /// What log and metrics call it
        name: String,
        /// The models that it is for, with commas between; the rest of them it may not ask, look at or change [default: all]
        #[arg(long = "for", value_name = "MODEL,…", value_delimiter = ',')]
        models: Vec<String>,
        /// What it may, with commas between: classify, read, manage [default: classify,read]
        #[arg(long, value_name = "RIGHT,…", value_delimiter = ',', value_parser = right)]
        rights: Vec<Right>,
        /// The most requests a second; 0: no limit
        #[arg(long, value_name = "N", default_value_t = 0.0)]
        requests_per_second: f64,
        /// The most images a second; 0: no limit
        #[arg(long, value_name = "N", default_value_t = 0.0)]
        images_per_second: f64,
        /// The most requests at a time; 0: no limit
        #[arg(long, value_name = "N", default_value_t = 0)]
        max_in_flight: usize,
    },
    /// Every key by its name, with what it is for and what it may
    List,
    /// Take a key away: servers refuse it within a second, also on connections that are open
    Revoke {
        /// Its name
        name: String,
    },
}

fn right(text: &str) -> Result<Right, String> {
    let known = Right::ALL.into_iter().find(|right| right.name() == text);
    known.ok_or_else(|| format!("`{text}` is no right: there are classify, read and manage"))
}

pub(super) fn run(args: &KeysArgs) -> anyhow::Result<()> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => {
            let named = args.config.load(Flags::default())?.auth.keys_file;
            let named = Some(named).filter(|path| !path.as_os_str().is_empty());
            named.context("which file? Give it with --file, or in the configuration as [auth] keys_file")?
        }
    };
    let mut output = Output::stdout();
    match &args.action {
        Action::Add { name, models, rights, requests_per_second, images_per_second, max_in_flight } => {
            let or = |given: &[String]| if given.is_empty() { all_models() } else { given.to_vec() };
            let key = add_key(
                &path,
                KeyEntry {
                    name: name.clone(),
                    hash: String::new(),
                    models: or(models),
                    rights: if rights.is_empty() { usual_rights() } else { rights.clone() },
                    requests_per_second: *requests_per_second,
                    images_per_second: *images_per_second,
                    max_in_flight: *max_in_flight,
                },
            )?;
            output.line(&key)?;
            complain(&format!("this is key {name:?}, and it is kept nowhere: {} has its hash", files::shown(&path)));
        }
        Action::List => {
            for line in table(&KeyFile::read(&path)?) {
                output.line(&line)?;
            }
        }
        Action::Revoke { name } => {
            revoke_key(&path, name)?;
            output.line(&format!("{name}: revoked"))?;
        }
    }
    output.finish()
}

fn table(file: &KeyFile) -> Vec<String> {
    let limit = |most: f64| if most > 0.0 { most.to_string() } else { "-".to_owned() };
    let row = |key: &KeyEntry| {
        let rights = key.rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(",");
        [
            key.name.clone(),
            rights,
            key.models.join(","),
            limit(key.requests_per_second),
            limit(key.images_per_second),
            limit(key.max_in_flight as f64),
        ]
    };
    let head = ["NAME", "RIGHTS", "MODELS", "REQUESTS/S", "IMAGES/S", "IN FLIGHT"].map(str::to_owned);
    aligned(&std::iter::once(head).chain(file.keys.iter().map(row)).collect::<Vec<_>>(), &[3, 4, 5])
}
