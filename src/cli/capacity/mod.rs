//! `resnetd capacity`: what this machine bears, how many like it a rate needs, and what a million images cost.

mod basis;
mod served;
mod shown;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::{
    ConfigArgs,
    auth::ApiKeyArgs,
    output::{Output, complain},
    subject::TuneSubject,
    tls::ClientTlsArgs,
};
use crate::{
    capacity::{FleetPlan, FleetQuestion, ReplicaShare, cost_of_a_million},
    model::Machine,
    runtime::Runtime,
    service::cores,
    telemetry,
};
use basis::Basis;
use shown::Findings;

/// More images a second are a mistake of units.
const HIGHEST_RATE: f64 = 1e9;
/// An hour.
const LONGEST_MS: f64 = 3.6e6;
const HIGHEST_PRICE: f64 = 1e6;

#[derive(Debug, clap::Args)]
pub(super) struct CapacityArgs {
    /// The model, by its name in the repository [default: the only one]
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Reckon with the times that a running server has seen under load, in place of those that measuring (`resnetd tune`) has found
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How many replicas are needed for so many images a second: those of the busiest minutes
    #[arg(long, value_name = "R", value_parser = |text: &str| number(text, HIGHEST_RATE))]
    rate: Option<f64>,
    /// 99 of 100 answers are to take no longer than so many milliseconds, from the picture's arrival to its answer
    #[arg(long, value_name = "MS", value_parser = |text: &str| number(text, LONGEST_MS))]
    p99_ms: Option<f64>,
    /// What one core costs for an hour, in any currency
    #[arg(long, value_name = "PRICE", value_parser = |text: &str| number(text, HIGHEST_PRICE))]
    core_hour: Option<f64>,
    /// The part of a replica's throughput that stays free for what nobody foresees, 0 to 0.9
    #[arg(long, value_name = "PART", default_value = "0.2", value_parser = headroom)]
    headroom: f64,
    /// So many replicas may be lost, and the others still keep the time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1000))]
    spare: u32,
    /// How the result looks
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    key: ApiKeyArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) fn run(args: &CapacityArgs) -> anyhow::Result<()> {
    let basis = match &args.url {
        Some(url) => served::basis(url, args.model.as_deref(), &args.tls, &args.key)?,
        None if args.tls.is_used() => bail!("--ca, --cert and --key are for a server: name it with --url https://…"),
        None => measured(args)?,
    };
    let p99 = args.p99_ms.map(|ms| Duration::from_secs_f64(ms / 1e3));
    let share = ReplicaShare::of(&basis.replica, p99, args.headroom)?;
    let question = args.rate.map(|rate| FleetQuestion { rate, spare: args.spare as usize });
    let plan = question.map(|question| FleetPlan::of(&basis.replica, &share, question)).transpose()?;
    let (cores, rate) = match (plan, args.rate) {
        (Some(plan), Some(rate)) => (plan.replicas * basis.cores, rate),
        _ => (basis.cores, share.estimate.images_per_second),
    };
    let cost = args.core_hour.map(|price| (price, cost_of_a_million(cores, price, rate)));
    let findings =
        Findings { basis: &basis, wanted_p99_ms: args.p99_ms, headroom: args.headroom, share, question, plan, cost };
    let mut output = Output::stdout();
    match args.format {
        Format::Text => findings.write_text(&mut output)?,
        Format::Json => findings.write_json(&mut output)?,
    }
    output.finish()
}

/// From what was measured on this machine, now if not before.
fn measured(args: &CapacityArgs) -> anyhow::Result<Basis> {
    let config = args.config.load_quiet("warn")?;
    args.config.check_repository()?;
    telemetry::start_log(&config.log)?;
    let mut subject = TuneSubject::find(&config, args.model.as_deref())?;
    let is_tuned = std::mem::replace(&mut subject.manifest.runtime.tune, true);
    let machine = Machine::new(Runtime::load()?, cores);
    let (report, taken) = match subject.earlier(&machine)? {
        Some(earlier) => earlier,
        None => {
            complain("this model was not measured on this machine yet: it is now, and the server takes it over");
            (subject.measure(&machine)?, None)
        }
    };
    if !is_tuned {
        complain("the server does not run this model as it is reckoned with here: [runtime] tune is off");
    }
    Basis::measured(&subject, &report, taken.as_ref()).with_context(|| format!("the measurements of {}", subject.name))
}

fn number(text: &str, most: f64) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not above 0 and up to {most}");
    text.parse().ok().filter(|value| *value > 0.0 && *value <= most).ok_or_else(wrong)
}

fn headroom(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no part that may stay free: 0 to 0.9");
    text.parse().ok().filter(|part| (0.0..=0.9).contains(part)).ok_or_else(wrong)
}
