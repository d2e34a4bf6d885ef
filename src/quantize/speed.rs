//! How fast the two networks are here, on each provider, and what the processor is.

use std::time::{Duration, Instant};

use prost::Message;

use super::report::Speed;
use crate::{
    onnx::ModelProto,
    runtime::{
        Engine, Executor, GraphSource, LoadError, OrtExecutor, Precision, Processor, Provider, RunError, Runtime,
        SessionOptions, Stated, pairs_may_overflow,
    },
    tensor::{Batch, Logits},
};

/// Rounds of every network in turn, so that a change of the machine's pace hits all; the best round counts.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(400);

/// Measures both networks with the same batch, in one session on each provider of this machine. A provider that is
/// there and fails gets the reason in place of figures.
pub(super) fn measure(
    runtime: &Runtime,
    fp32: &ModelProto,
    int8: &ModelProto,
    batch: &Batch,
    threads: usize,
    stated: &Stated,
) -> Vec<Speed> {
    let graphs = [fp32, int8].map(Message::encode_to_vec);
    let open = |provider| {
        let engine = Engine { provider, precision: Precision::Fp32 };
        let options = SessionOptions { engine, intra_threads: threads, max_batch_size: batch.len() };
        let [fp32, int8] =
            graphs.each_ref().map(|graph| runtime.executor_for(GraphSource::Memory(graph), options, stated));
        Ok::<[OrtExecutor; 2], LoadError>([fp32?, int8?])
    };
    let lanes = Provider::ALL.into_iter().filter_map(|provider| match runtime.provider(provider) {
        Err(error) if error.is_absence() => None,
        Err(error) => Some(Lane::new(provider, Err(error.to_string()))),
        Ok(()) => Some(Lane::new(provider, open(provider).map_err(|error| error.to_string()))),
    });
    race(lanes.collect(), batch, threads)
}

/// A provider with the two networks on it.
struct Lane<E> {
    provider: Provider,
    /// The networks, or what went wrong.
    networks: Result<[E; 2], String>,
    /// Images a second.
    best: [f64; 2],
}

impl<E: Executor> Lane<E> {
    fn new(provider: Provider, networks: Result<[E; 2], String>) -> Self {
        Self { provider, networks, best: [0.0; 2] }
    }

    fn round(&mut self, batch: &Batch) {
        let Ok(networks) = &mut self.networks else { return };
        let rates = networks.iter_mut().map(|network| rate(network, batch)).collect::<Result<Vec<_>, _>>();
        match rates {
            Ok(rates) => self.best.iter_mut().zip(rates).for_each(|(best, rate)| *best = best.max(rate)),
            Err(error) => self.networks = Err(error.to_string()),
        }
    }
}

fn race<E: Executor>(mut lanes: Vec<Lane<E>>, batch: &Batch, threads: usize) -> Vec<Speed> {
    for _ in 0..ROUNDS {
        lanes.iter_mut().for_each(|lane| lane.round(batch));
    }
    let speed = |lane: Lane<E>| {
        let [fp32, int8] = lane.best.map(|rate| lane.networks.is_ok().then(|| (rate * 10.0).round() / 10.0));
        let (provider, failure) = (lane.provider, lane.networks.err());
        Speed { provider, threads, batch_size: batch.len(), fp32, int8, failure }
    };
    lanes.into_iter().map(speed).collect()
}

/// Images a second in one round; the run before it, which may compile, is not timed.
fn rate(network: &mut impl Executor, batch: &Batch) -> Result<f64, RunError> {
    let mut logits = Logits::default();
    network.run(batch, &mut logits)?;
    let start = Instant::now();
    let mut images = 0;
    while start.elapsed() < ROUND {
        network.run(batch, &mut logits)?;
        images += batch.len();
    }
    Ok(images as f64 / start.elapsed().as_secs_f64())
}

/// The processor's name, and which 8-bit instructions it has.
pub(super) fn processor() -> String {
    let vnni = if pairs_may_overflow() { "no VNNI" } else { "VNNI" };
    format!("{}, {vnni}", Processor::of_this_machine().name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{runtime::scripted::ScriptedExecutor, tensor::Layout};

    #[test]
    fn a_provider_that_fails_says_so_in_its_row_and_stops_no_other() {
        let mut batch = Batch::new(Layout::Nchw, 1, 1, 1);
        batch.push();
        let network = || ScriptedExecutor::answering(&[1.0, 0.0]);
        let failing = network();
        failing.fail("no memory");
        let lanes = vec![
            Lane::new(Provider::Cpu, Ok([network(), network()])),
            Lane::new(Provider::Openvino, Ok([network(), failing])),
            Lane::new(Provider::Cuda, Err("half a file".to_owned())),
        ];

        let speeds = race(lanes, &batch, 2);

        assert_eq!(
            speeds.iter().map(|speed| speed.provider).collect::<Vec<_>>(),
            [Provider::Cpu, Provider::Openvino, Provider::Cuda]
        );
        assert!(speeds[0].fp32 > Some(0.0) && speeds[0].int8 > Some(0.0) && speeds[0].failure.is_none());
        for (speed, reason) in speeds[1..].iter().zip(["no memory", "half a file"]) {
            assert_eq!((speed.fp32, speed.int8), (None, None));
            assert!(speed.failure.as_ref().unwrap().contains(reason), "{speed:?}");
        }
    }
}
