//! Fleets of 10 to 10,000 replicas in simulated time: what rules of balancing and of scaling do to p99 and to what is answered in time.
//!
//! `make fleet-sim`, or `cargo bench --bench fleet_sim -- --replica capacity.json` with what `resnetd capacity --format json` says of a machine. A replica is
//! `capacity::SimulatedReplica`, which batches as the server does. Writes target/bench/fleet.html and fleet.md. `--check FILE` sets its predictions
//! beside runs of real replicas (`against_real.py`). Nothing is asked of any server here.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod balance;
mod balancing;
mod check;
mod fleet;
mod report;
mod scale;
mod scaling;
mod spec;
mod traffic;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use report::SimReport;
use spec::ReplicaSpec;

#[derive(Parser)]
struct Arguments {
    /// A replica as `resnetd capacity --format json` describes it [default: ResNet-50 in fp32 on two cores]
    #[arg(long, value_name = "FILE")]
    replica: Option<PathBuf>,
    /// Smaller fleets and shorter times
    #[arg(long)]
    quick: bool,
    /// Runs of real replicas, as against_real.py writes them: predicted beside measured, and nothing else
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench"))]
    output: PathBuf,
    /// cargo passes it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.check {
        print!("{}", check::predicted_and_measured(file)?);
        return Ok(());
    }
    let spec = arguments.replica.as_deref().map_or_else(ReplicaSpec::resnet50, ReplicaSpec::read)?;
    let model = spec.model()?;
    let about = format!(
        "A replica does {:.1} pictures a second at most ({} sessions, batches of up to {}), a lone picture takes {:.0} ms. Load is a share of that. \
         Refused is what could not have been in time.",
        model.most_images_per_second(),
        model.sessions,
        model.policy.max_batch_size,
        (model.times.mean(1) + model.preparation).as_secs_f64() * 1e3,
    );
    let mut report = SimReport::default();
    balancing::study(&model, arguments.quick, &mut report);
    scaling::study(&model, arguments.quick, &mut report);
    print!("{}", report.write(&arguments.output, &about)?);
    Ok(())
}
