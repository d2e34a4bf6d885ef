//! `resnetd models`: what a running server serves, and what operators ask of it, at its management address.

use std::{io::Write as _, time::Duration};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use hyper::header::{AUTHORIZATION, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use super::{ConfigArgs, auth::ApiKeyArgs, output::Output, table::aligned, tls::ClientTlsArgs};
use crate::config::Flags;

/// A server that is there takes a connection at once; what it is asked may take as long as a load.
const CONNECT: Duration = Duration::from_secs(5);

/// The list of ten thousand models.
const LARGEST_ANSWER: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct ModelsArgs {
    #[command(subcommand)]
    action: Action,
    /// Where the server's management address is [default: what the configuration says, `[server] management`]
    #[arg(long, global = true, value_name = "ADDR")]
    url: Option<String>,
    /// What is printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    key: ApiKeyArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every version of every model, and where it stands
    List,
    /// Serve what is in a model's folder now; returns once it answers
    Load {
        /// The model's name
        name: String,
    },
    /// Serve a model no more ([models] control = "explicit"), or until it is asked for (load = "on_demand")
    Unload {
        /// The model's name
        name: String,
    },
    /// Point a label at a version, until the server ends or its model.toml changes
    Label {
        /// The model's name
        name: String,
        /// The label
        label: String,
        /// The version; without it the label is taken away
        version: Option<u64>,
    },
    /// Point one label where another one points
    Promote {
        /// The model's name
        name: String,
        /// The label whose version it is
        #[arg(long, default_value = "canary", value_name = "LABEL")]
        from: String,
        /// The label that is to point there
        #[arg(long, default_value = "stable", value_name = "LABEL")]
        to: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// As the server says it
    Json,
}

/// `GET /v1/models`, as much of it as is shown.
#[derive(Deserialize)]
struct List {
    model_versions: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    version: u64,
    state: String,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    reason: String,
}

pub(super) fn run(args: &ModelsArgs) -> anyhow::Result<()> {
    let server = Server::at(args)?;
    let answer = match &args.action {
        Action::List => server.ask("GET", "/v1/models", None)?,
        Action::Load { name } => server.ask("POST", &path(name, "load"), Some(&json!({})))?,
        Action::Unload { name } => server.ask("POST", &path(name, "unload"), Some(&json!({})))?,
        Action::Label { name, label, version } => {
            server.ask("POST", &path(name, "label"), Some(&json!({ "label": label, "version": version })))?
        }
        Action::Promote { name, from, to } => {
            server.ask("POST", &path(name, "label"), Some(&json!({ "label": to, "same_as": from })))?
        }
    };
    let mut output = Output::stdout();
    match (args.format, &args.action) {
        (Format::Json, _) => output.write_all(answer.as_bytes()).and_then(|()| output.write_all(b"\n"))?,
        (Format::Table, Action::List) => {
            let list: List = serde_json::from_str(&answer).context("the server's answer is no list of models")?;
            for line in table(&list.model_versions) {
                output.line(&line)?;
            }
        }
        (Format::Table, action) => output.line(&said(action, &answer))?,
    }
    output.finish()
}

fn path(name: &str, verb: &str) -> String {
    format!("/v1/models/{}:{verb}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// What was done, in a line.
fn said(action: &Action, answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    match action {
        Action::List => String::new(),
        Action::Load { name } => {
            let versions = answer["model_version_status"].as_array().map(Vec::as_slice).unwrap_or_default();
            let versions: Vec<_> = versions.iter().filter_map(|version| version["version"].as_str()).collect();
            format!("{name}: serves version {}", versions.join(", "))
        }
        Action::Unload { name } => format!("{name}: unloaded"),
        Action::Label { name, label, .. } | Action::Promote { name, to: label, .. } => match answer["version"].as_u64()
        {
            Some(version) => format!("{name}: {label} is version {version}"),
            None => format!("{name}: {label} is no label any more"),
        },
    }
}

/// Columns as wide as what is in them.
fn table(models: &[Listed]) -> Vec<String> {
    let head = ["NAME", "VERSION", "STATE", "LABELS", "REASON"].map(str::to_owned);
    let row = |model: &Listed| {
        let labels = model.labels.join(",");
        [model.name.clone(), model.version.to_string(), model.state.clone(), labels, model.reason.clone()]
    };
    let rows: Vec<_> = std::iter::once(head).chain(models.iter().map(row)).collect();
    aligned(&rows, &[1])
}

/// A running server.
struct Server {
    url: String,
    agent: Agent,
    /// The key, where there is one.
    authorization: Option<HeaderValue>,
}

impl Server {
    fn at(args: &ModelsArgs) -> anyhow::Result<Self> {
        let (address, has_tls) = match &args.url {
            Some(url) => (url.clone(), args.tls.is_used()),
            None => {
                let config = args.config.load(Flags::default())?;
                (config.server.management, config.tls.is_on())
            }
        };
        ensure!(
            !address.is_empty(),
            "where is the server? Give its management address with --url, or in the configuration as [server] management"
        );
        let scheme = if has_tls { "https" } else { "http" };
        let url = if address.contains("://") { address } else { format!("{scheme}://{address}") };
        // Not through a proxy: it is our own server.
        let authorization = args.key.authorization()?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .tls_config(args.tls.for_ureq()?)
            .build();
        Ok(Self { url: url.trim_end_matches('/').to_owned(), agent: agent.into(), authorization })
    }

    /// The answer's body.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.url);
        let answer = match (method, body) {
            ("POST", body) => {
                let body = body.map(Value::to_string).unwrap_or_default();
                let request = self.agent.post(&url).header("content-type", "application/json");
                self.authorization.iter().fold(request, |request, key| request.header(AUTHORIZATION, key)).send(body)
            }
            _ => {
                let request = self.agent.get(&url);
                self.authorization.iter().fold(request, |request, key| request.header(AUTHORIZATION, key)).call()
            }
        };
        let mut answer = answer.with_context(|| format!("no answer from the server at {}", self.url))?;
        let text = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_string();
        let text = text.with_context(|| format!("no whole answer from the server at {}", self.url))?;
        if answer.status().is_success() {
            return Ok(text);
        }
        let refusal: Value = serde_json::from_str(&text).unwrap_or_default();
        match refusal["error"].as_str() {
            Some(reason) => bail!("{reason}"),
            None => bail!("the server at {} answers {}: is it resnetd?", self.url, answer.status()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_what_is_in_it() {
        let listed = |name: &str, version, state: &str, labels: &[&str], reason: &str| Listed {
            name: name.to_owned(),
            version,
            state: state.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            reason: reason.to_owned(),
        };
        let models = [
            listed("pets", 3, "AVAILABLE", &["canary", "stable"], ""),
            listed("resnet50-int8", 12, "FAILED", &[], "its graph is cut off"),
        ];
        let expected = [
            "NAME           VERSION  STATE      LABELS         REASON",
            "pets                 3  AVAILABLE  canary,stable",
            "resnet50-int8       12  FAILED                    its graph is cut off",
        ];
        assert_eq!(table(&models), expected);
    }

    #[test]
    fn a_name_is_one_segment_of_the_path() {
        assert_eq!(path("a/b:c d", "load"), "/v1/models/a%2Fb%3Ac%20d:load");
    }
}
