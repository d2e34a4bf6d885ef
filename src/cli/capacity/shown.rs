//! What `resnetd capacity` has found, as text for people and as JSON for programs.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::basis::Basis;
use crate::{
    capacity::{FleetPlan, FleetQuestion, ReplicaEstimate, ReplicaLimit, ReplicaShare, Scatter},
    cli::output::Output,
};

const LABEL_WIDTH: usize = 32;

pub(super) struct Findings<'a> {
    pub(super) basis: &'a Basis,
    pub(super) wanted_p99_ms: Option<f64>,
    pub(super) headroom: f64,
    pub(super) share: ReplicaShare,
    pub(super) question: Option<FleetQuestion>,
    pub(super) plan: Option<FleetPlan>,
    /// The price of a core hour, and what a million images cost then.
    pub(super) cost: Option<(f64, f64)>,
}

impl Findings<'_> {
    pub(super) fn write_text(&self, output: &mut Output) -> io::Result<()> {
        let Basis { model, engine, origin, cores, replica, .. } = self.basis;
        output.line(&format!("{model}: {engine}"))?;
        output.line(origin)?;
        writeln!(output)?;
        let mut row = |label: &str, value: f64, digits: usize, rest: &str| {
            output.line(&format!("{label:LABEL_WIDTH$}{value:>12.digits$}  {rest}"))
        };
        let ReplicaShare { limit, estimate } = self.share;
        row("images a second at most", replica.most_images_per_second(), 1, "one replica, always something to do")?;
        let kept = match (self.wanted_p99_ms, limit) {
            (Some(wanted), ReplicaLimit::P99) => format!("within a p99 of {wanted} ms"),
            _ => format!("{:.0} % stays free", self.headroom * 100.0),
        };
        let each = format!("{kept}: p50 {}, p99 {} ms", ms(estimate.p50_ms), ms(estimate.p99_ms));
        row("images a second to give it", estimate.images_per_second, 1, &each)?;
        row("resnetd_load_ratio then", estimate.load_ratio, 2, "scale on it: above, more replicas are needed")?;
        if let (Some(question), Some(plan)) = (self.question, self.plan) {
            let lost = match question.spare {
                0 => String::new(),
                spare => format!(
                    "; with {spare} lost {} and {} ms",
                    ms(plan.without_spare.p50_ms),
                    ms(plan.without_spare.p99_ms)
                ),
            };
            let times = format!(
                "{} cores; p50 {}, p99 {} ms{lost}",
                plan.replicas * cores,
                ms(plan.with_all.p50_ms),
                ms(plan.with_all.p99_ms)
            );
            row(&format!("replicas for {} images a second", question.rate), plan.replicas as f64, 0, &times)?;
        }
        if let Some((price, cost)) = self.cost {
            row("cost of a million images", cost, 2, &format!("at {price} for a core hour, in its currency"))?;
        }
        Ok(())
    }

    pub(super) fn write_json(&self, output: &mut Output) -> io::Result<()> {
        let Basis { model, engine, origin, cores, runs, scatter, replica } = self.basis;
        let policy = &replica.policy;
        let run = |(images, ms): &(usize, f64)| json!({ "images": images, "ms": rounded(*ms) });
        let deviation = match scatter {
            Scatter::LogNormal(deviation) => *deviation,
            Scatter::Even | Scatter::Exponential => 0.0,
        };
        let document = json!({
            "model": model,
            "engine": engine,
            "origin": origin,
            "replica": {
                "cores": cores,
                "sessions": replica.sessions,
                "max_batch_size": policy.max_batch_size,
                "max_queue_delay_us": policy.max_queue_delay.as_micros() as u64,
                "queue_capacity": policy.queue_capacity,
                "preparation_ms": rounded(replica.preparation.as_secs_f64() * 1e3),
                "runs": runs.iter().map(run).collect::<Vec<_>>(),
                "run_log_deviation": rounded(deviation),
            },
            "wanted_p99_ms": self.wanted_p99_ms,
            "headroom": self.headroom,
            "most_images_per_second": rounded(replica.most_images_per_second()),
            "limited_by": match self.share.limit {
                ReplicaLimit::P99 => "p99",
                ReplicaLimit::Headroom => "headroom",
            },
            "each": estimate(&self.share.estimate),
            "fleet": self.question.zip(self.plan).map(|(question, plan)| json!({
                "images_per_second": question.rate,
                "spare": question.spare,
                "replicas": plan.replicas,
                "cores": plan.replicas * cores,
                "with_all": estimate(&plan.with_all),
                "without_spare": estimate(&plan.without_spare),
            })),
            "cost": self.cost.map(|(price, cost)| json!({ "core_hour": price, "million_images": rounded(cost) })),
        });
        writeln!(output, "{}", serde_json::to_string_pretty(&document)?)
    }
}

fn estimate(estimate: &ReplicaEstimate) -> Value {
    json!({
        "images_per_second": rounded(estimate.images_per_second),
        "load_ratio": rounded(estimate.load_ratio),
        "mean_batch": rounded(estimate.mean_batch),
        "mean_ms": rounded(estimate.mean_ms),
        "p50_ms": rounded(estimate.p50_ms),
        "p99_ms": rounded(estimate.p99_ms),
    })
}

/// Milliseconds as short as they make sense.
fn ms(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
