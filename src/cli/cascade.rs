//! `resnetd tune --cascade`: from which probability on a smaller model may answer in a larger one's place.

use std::{io::Write as _, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{
    evaluate::{Bar, Desk, find, labelled},
    output::Output,
};
use crate::{
    config::Config,
    evaluate::{Answers, CascadeStudy, CascadeThreshold, LabelledImages, WantedAccuracy, evaluate},
    files,
    postprocess::{ClassNames, labels_difference},
    runtime::Runtime,
    service::cores,
};

#[derive(Debug, clap::Args)]
pub(super) struct StudyArgs {
    /// With --cascade: images whose class is known, as `resnetd evaluate` takes them
    #[arg(long, value_name = "DIR", requires = "cascade")]
    data: Option<PathBuf>,
    /// With --cascade: so many points of the larger model's top-1 accuracy may be lost
    #[arg(long, value_name = "POINTS", default_value = "0.2", requires = "cascade", conflicts_with = "accuracy")]
    max_drop: f64,
    /// With --cascade: the top-1 accuracy that the cascade has to have, in percent
    #[arg(long, value_name = "PERCENT", requires = "cascade")]
    accuracy: Option<f64>,
}

impl StudyArgs {
    fn wanted(&self) -> anyhow::Result<WantedAccuracy> {
        let (flag, percent) = match self.accuracy {
            Some(accuracy) => ("--accuracy", accuracy),
            None => ("--max-drop", self.max_drop),
        };
        if !(0.0..=100.0).contains(&percent) {
            bail!("{flag} is {percent}, allowed is 0 to 100");
        }
        let part = percent / 100.0;
        Ok(if self.accuracy.is_some() { WantedAccuracy::Least(part) } else { WantedAccuracy::Drop(part) })
    }
}

/// What was looked at, and what came of it.
struct Found<'a> {
    model: &'a str,
    first: &'a str,
    data: String,
    study: CascadeStudy,
    /// Images a second of both, decoding included.
    rates: [Option<f64>; 2],
    failed: usize,
}

pub(super) fn run(
    config: &Config,
    model: &str,
    first: Option<&str>,
    args: &StudyArgs,
    as_json: bool,
) -> anyhow::Result<()> {
    let wanted = args.wanted()?;
    let Some(data) = &args.data else { bail!("--cascade needs images whose class is known: --data DIR") };
    let runtime = Runtime::load()?;
    let last = Desk::as_served(model, config, runtime.clone())?;
    let named = last.manifest().cascade.first.clone();
    let Some(first) = first.or(named.as_deref()) else {
        bail!(
            "which model is asked first? name it, --cascade FIRST, or set [cascade] first in the model.toml of {model}"
        );
    };
    if first == model {
        bail!("{model} cannot be asked before itself: name a smaller model");
    }
    let small = Desk::as_served(first, config, runtime)?;
    let found = find(data).context("--data")?;
    let (mut small_network, mut last_network) = (small.open(small.version()?)?, last.open(last.version()?)?);
    let names = last.class_names(last_network.classes())?;
    let labels = |names: &ClassNames| names.labels().iter().map(|it| Arc::from(it.as_str())).collect::<Vec<Arc<str>>>();
    let others = labels(&small.class_names(small_network.classes())?);
    if let Some(difference) = labels_difference((model, &labels(&names)), (first, &others)) {
        bail!("{difference}: both models of a cascade must have the same labels");
    }
    let LabelledImages { images, .. } = labelled(&names, data, found.files)?;
    let bar = Bar::new(2 * images.len());
    let small_answers = evaluate(&mut small_network, &images, None, cores(), &bar)?;
    let last_answers = evaluate(&mut last_network, &images, None, cores(), &bar)?;
    bar.0.finish_and_clear();
    let study = CascadeStudy::of(&small_answers.verdicts, &last_answers.verdicts, wanted);
    if study.images == 0 {
        bail!("none of the {} images could be read; each is named above", images.len());
    }
    let rates = [&small_answers, &last_answers].map(|answers: &Answers| answers.images_per_second);
    let data = files::shown(data);
    let found = Found { model, first, data, rates, failed: images.len() - study.images, study };
    let mut output = Output::stdout();
    if as_json {
        writeln!(output, "{}", serde_json::to_string_pretty(&document(&found))?)?;
    } else {
        write_table(&mut output, &found)?;
    }
    output.finish()?;
    if found.study.chosen.is_none() {
        bail!(
            "no threshold gives {:.2} %: {first} is too often sure and wrong; ask for less (--max-drop, --accuracy), or put a better model \
             first",
            found.study.wanted * 100.0
        );
    }
    Ok(())
}

impl Found<'_> {
    /// What the cascade takes of the larger model's time, where both look at their images one after the other.
    fn price(&self, cascade: &CascadeThreshold) -> Option<f64> {
        let [Some(first), Some(last)] = self.rates else { return None };
        Some(last / first + cascade.escalated)
    }
}

fn write_table(output: &mut Output, found: &Found<'_>) -> anyhow::Result<()> {
    let Found { model, first, data, study, rates, failed } = found;
    output
        .line(&format!("{model}, and {first} before it, on {} images of {data}, {failed} unreadable", study.images))?;
    writeln!(output)?;
    output.line(&format!("  {:28}{:>9}{:>11}{:>11}  {:>6}", "", "TOP-1", "IMAGES/S", "ESCALATED", "TIME"))?;
    let row = |name: &str, accuracy: f64, rate: Option<f64>, escalated: Option<f64>, price: Option<f64>| {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        format!(
            "  {name:28}{:>7.2} %{:>11}{:>11}  {:>6}",
            accuracy * 100.0,
            or_dash(rate.map(|rate| format!("{rate:.1}"))),
            or_dash(escalated.map(|part| format!("{:.2} %", part * 100.0))),
            or_dash(price.map(|price| format!("{price:.2}"))),
        )
    };
    let [small, large] = *rates;
    let relative = large.zip(small).map(|(large, small)| large / small);
    output.line(&row(first, study.first_accuracy, small, None, relative))?;
    output.line(&row(model, study.last_accuracy, large, None, Some(1.0)))?;
    if let Some(chosen) = &study.chosen {
        let of = |cascade: &CascadeThreshold| (cascade.accuracy, None, Some(cascade.escalated), found.price(cascade));
        let (accuracy, rate, escalated, price) = of(chosen);
        output.line(&row("the cascade", accuracy, rate, escalated, price))?;
        if let Some(checked) = &study.checked {
            let (accuracy, rate, escalated, price) = of(checked);
            output.line(&row("chosen on one half, on the other", accuracy, rate, escalated, price))?;
        }
        writeln!(output)?;
        output.line(&format!("in the model.toml of {model}:"))?;
        writeln!(output)?;
        output.line("[cascade]")?;
        output.line(&format!("first = {first:?}"))?;
        output.line(&format!("threshold = {:?}", chosen.threshold))?;
    }
    Ok(())
}

fn document(found: &Found<'_>) -> serde_json::Value {
    let Found { model, first, data, study, rates, failed } = found;
    let of = |cascade: &CascadeThreshold| {
        json!({
            "threshold": decimal(cascade.threshold),
            "accuracy": cascade.accuracy,
            "escalated": cascade.escalated,
            "relative_time": found.price(cascade),
        })
    };
    json!({
        "model": model,
        "first": first,
        "data": data,
        "images": study.images,
        "failed": failed,
        "wanted_accuracy": study.wanted,
        "model_accuracy": study.last_accuracy,
        "first_accuracy": study.first_accuracy,
        "model_images_per_second": rates[1],
        "first_images_per_second": rates[0],
        "chosen": study.chosen.as_ref().map(of),
        "checked": study.checked.as_ref().map(of),
    })
}

/// As it is written, and not as its bits are in 64.
fn decimal(number: f32) -> Option<f64> {
    number.to_string().parse().ok()
}
