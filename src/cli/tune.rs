//! `resnetd tune`: every way to run a model on this machine, measured; the server uses what is found.

use std::io::Write;

use clap::ValueEnum;
use serde_json::json;

use super::{
    ConfigArgs,
    cascade::{self, StudyArgs},
    output::Output,
    subject::TuneSubject,
};
use crate::{
    model::{Machine, TuningReport},
    runtime::Runtime,
    service::cores,
    settings::Goal,
    telemetry,
    tune::{Candidate, Measurement},
};

#[derive(Debug, clap::Args)]
pub(super) struct TuneArgs {
    /// The model, by its name in the repository
    #[arg(value_name = "MODEL")]
    model: String,
    /// What it should be best at: throughput, latency or p99=MS [default: the model's own, else throughput]
    #[arg(long, value_name = "GOAL")]
    goal: Option<Goal>,
    /// Find the threshold of a cascade instead: from which probability on the smaller model FIRST may answer in this one's place
    /// [default FIRST: what [cascade] of model.toml names]
    #[arg(long, value_name = "FIRST", num_args = 0..=1, requires = "data", conflicts_with = "goal")]
    cascade: Option<Option<String>>,
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// How the result looks
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn run(args: &TuneArgs) -> anyhow::Result<()> {
    let config = args.config.load_quiet("warn")?;
    args.config.check_repository()?;
    telemetry::start_log(&config.log)?;
    if let Some(first) = &args.cascade {
        return cascade::run(&config, &args.model, first.as_deref(), &args.study, args.format == Format::Json);
    }
    let mut subject = TuneSubject::find(&config, Some(&args.model))?;
    let settings = &mut subject.manifest.runtime;
    let served_goal = settings.tune_goal;
    settings.tune_goal = args.goal.unwrap_or(served_goal);
    settings.tune = true;
    let goal = settings.tune_goal;

    let report = subject.measure(&Machine::new(Runtime::load()?, cores))?;

    let mut output = Output::stdout();
    match args.format {
        Format::Table => write_table(&mut output, &args.model, goal, &report)?,
        Format::Json => {
            let document = document(&args.model, goal, &report);
            writeln!(output, "{}", serde_json::to_string_pretty(&document)?)?;
        }
    }
    output.finish()?;
    if goal != served_goal {
        super::output::complain(&format!(
            "the server tunes this model for {served_goal}; to serve it so, put `tune_goal = \"{goal}\"` under [runtime] \
             in its model.toml"
        ));
    }
    Ok(())
}

fn write_table(output: &mut Output, model: &str, goal: Goal, report: &TuningReport) -> anyhow::Result<()> {
    output.line(&format!("{model} on {}, {} cores, for {goal}", report.processor, cores()))?;
    writeln!(output)?;
    writeln!(
        output,
        "  {:10}{:11}{:>8}{:>9}{:>7}{:>11}{:>10}{:>10}{:>10}{:>8}  DRIFT",
        "PROVIDER", "PRECISION", "SESSIONS", "THREADS", "BATCH", "IMAGES/S", "P50 MS", "P99 MS", "ALONE MS", "MB"
    )?;
    for row in &report.found.measurements {
        let mark = if *row == report.found.chosen { '*' } else { ' ' };
        let Candidate { engine, shape } = row.candidate;
        let Measurement { batch_size, images_per_second, p50_ms, p99_ms, alone_ms, memory_bytes, .. } = row;
        let drift = row.drift.map_or_else(|| "-".to_owned(), |drift| format!("{:.5}", drift.probability));
        writeln!(
            output,
            "{mark} {:10}{:11}{:>8}{:>9}{batch_size:>7}{images_per_second:>11.1}{p50_ms:>10.2}{p99_ms:>10.2}\
             {alone_ms:>10.2}{:>8}  {drift}",
            engine.provider,
            report.precision(engine),
            shape.instances,
            shape.intra_threads,
            memory_bytes >> 20,
        )?;
    }
    writeln!(output)?;
    for (candidate, reason) in &report.passed_over {
        let Candidate { engine, shape } = candidate;
        let precision = report.precision(*engine);
        output.line(&format!("not measured: {} {precision} in {shape}: {reason}", engine.provider))?;
    }
    let Candidate { engine, shape } = report.found.chosen.candidate;
    let batch_size = report.found.chosen.batch_size;
    let (provider, precision) = (engine.provider, report.precision(engine));
    writeln!(
        output,
        "chosen: {provider} {precision} in {shape}, batches of up to {batch_size}: {}",
        report.found.reason
    )?;
    Ok(())
}

fn document(model: &str, goal: Goal, report: &TuningReport) -> serde_json::Value {
    let passed_over: Vec<_> = report
        .passed_over
        .iter()
        .map(|(candidate, reason)| json!({ "candidate": candidate, "reason": reason }))
        .collect();
    json!({
        "model": model,
        "goal": goal,
        "processor": report.processor,
        "cores": cores(),
        "int8": report.quantized,
        "chosen": report.found.chosen,
        "reason": report.found.reason,
        "measurements": report.found.measurements,
        "not_measured": passed_over,
    })
}
