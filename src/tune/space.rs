//! What there is to choose from: providers, arithmetic, sessions, threads and batches. Pure.
//!
//! What the settings fix stays fixed. What they leave open is spread out into everything that this machine has.

use super::{Candidate, SessionShape};
use crate::runtime::{Engine, Precision, Processor, Provider, ProviderError};
use crate::settings::Goal;

/// What the settings say. `None` and 0: left open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wishes {
    /// Where it must run.
    pub provider: Option<Provider>,
    /// The arithmetic it must be computed in.
    pub precision: Option<Precision>,
    /// Sessions.
    pub instances: usize,
    /// Threads of each session.
    pub intra_threads: usize,
    /// The largest batch.
    pub max_batch_size: usize,
    /// What it should be best at.
    pub goal: Goal,
    /// Whether every provider is tried; otherwise the first that is there is enough.
    pub all_engines: bool,
}

/// What the network says of itself.
#[derive(Clone, Copy, Debug)]
pub struct NetworkFacts {
    /// The size of its file, in bytes.
    pub bytes: u64,
    /// Whether its weights are integers: then there is no arithmetic to choose.
    pub quantized: bool,
    /// The batch, where the graph fixes it.
    pub fixed_batch: Option<usize>,
}

/// The engines that may be tried, and those that cannot.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    /// The reference first, if it is among them; of the others, the most promising last. Never empty.
    pub usable: Vec<Engine>,
    /// What is installed and does not work: worth a warning.
    pub broken: Vec<ProviderError>,
}

/// Up to this size of the graph, runs are so short that sessions side by side beat threads that share a run.
/// ResNet-20 for CIFAR has 1.1 MB: two sessions of one thread gave 1.2 times what one of two threads gave.
const SMALL_GRAPH_BYTES: u64 = 8 << 20;

/// The largest batch where nobody says: on a processor larger ones gain little and cost latency.
const CPU_BATCH: usize = 8;
const GPU_BATCH: usize = 32;

/// Finds the engines.
///
/// * `available`: whether sessions can be made on a provider; asked only for those that may be used
///
/// # Errors
/// [`ProviderError`], if what was asked for is not to be had.
pub fn engines(
    wishes: &Wishes,
    processor: &Processor,
    network: NetworkFacts,
    mut available: impl FnMut(Provider) -> Result<(), ProviderError>,
) -> Result<Engines, ProviderError> {
    let precisions = |provider| precisions(provider, wishes.precision, processor, network.quantized);
    if let Some(provider) = wishes.provider {
        if let Some(precision) = wishes.precision {
            Engine { provider, precision }.check()?;
        }
        available(provider)?;
        let usable = precisions(provider).into_iter().map(|precision| Engine { provider, precision }).collect();
        return Ok(Engines { usable, broken: Vec::new() });
    }
    let mut engines = Engines::default();
    let mut absent = None;
    for provider in Provider::ALL {
        let wanted = precisions(provider);
        let enough = !wishes.all_engines && !engines.usable.is_empty();
        if wanted.is_empty() || enough {
            continue;
        }
        match available(provider) {
            Ok(()) => engines.usable.extend(wanted.into_iter().map(|precision| Engine { provider, precision })),
            // A provider that is not installed, or has no GPU, is no fault: nobody asked for it.
            Err(error) if error.is_absence() => {
                absent.get_or_insert(error);
            }
            Err(error) => engines.broken.push(error),
        }
    }
    match (engines.usable.is_empty(), absent.or_else(|| engines.broken.first().cloned())) {
        (true, Some(error)) => Err(error),
        _ => Ok(engines),
    }
}

/// The arithmetics worth trying on a provider.
fn precisions(provider: Provider, wanted: Option<Precision>, processor: &Processor, quantized: bool) -> Vec<Precision> {
    match wanted {
        Some(precision) if Engine { provider, precision }.check().is_ok() => vec![precision],
        Some(_) => Vec::new(),
        None if provider == Provider::Openvino && !quantized => {
            let native =
                [Precision::Fp16, Precision::Bf16].into_iter().filter(|&precision| processor.is_native(precision));
            std::iter::once(Precision::Fp32).chain(native).collect()
        }
        // Every GPU that these providers support computes in fp16.
        None if provider.is_gpu() && !quantized => vec![Precision::Fp32, Precision::Fp16],
        None => vec![Precision::Fp32],
    }
}

/// The way to run it where nothing was measured.
pub fn default_shape(wishes: &Wishes, provider: Provider, cores: usize, network: NetworkFacts) -> SessionShape {
    // A GPU has one queue.
    let side_by_side = !provider.is_gpu() && network.bytes < SMALL_GRAPH_BYTES;
    let instances = match (wishes.instances, wishes.intra_threads) {
        (0, 0) if side_by_side => cores,
        (0, threads) if threads > 0 && !provider.is_gpu() => cores.div_ceil(threads),
        (0, _) => 1,
        (instances, _) => instances,
    };
    SessionShape { instances, intra_threads: threads(wishes, cores, instances) }
}

fn threads(wishes: &Wishes, cores: usize, instances: usize) -> usize {
    if wishes.intra_threads > 0 { wishes.intra_threads } else { (cores / instances).max(1) }
}

/// The ways to spread a network over the cores; the default comes first. Two of them leave a quarter of the cores to the
/// preparation of images.
pub fn shapes(wishes: &Wishes, provider: Provider, cores: usize, network: NetworkFacts) -> Vec<SessionShape> {
    let mut shapes = vec![default_shape(wishes, provider, cores, network)];
    if wishes.instances > 0 {
        return shapes;
    }
    let most = cores - cores.div_ceil(4);
    // Pairs: how many sessions, and how many cores they share.
    let spreads: &[(usize, usize)] = match provider.is_gpu() {
        true => &[(1, cores), (2, cores)],
        false => {
            &[(1, cores), (2, cores), (cores / 4, cores), (cores / 2, cores), (cores, cores), (1, most), (most, most)]
        }
    };
    for &(instances, cores) in spreads {
        let shape = SessionShape { instances, intra_threads: threads(wishes, cores, instances.max(1)) };
        if instances > 0 && (provider.is_gpu() || instances <= cores) && !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes
}

/// The largest batch where nothing was measured.
pub fn default_batch(wishes: &Wishes, provider: Provider, network: NetworkFacts) -> usize {
    let wanted = match wishes.max_batch_size {
        0 if provider.is_gpu() => GPU_BATCH,
        0 => CPU_BATCH,
        wanted => wanted,
    };
    network.fixed_batch.map_or(wanted, |fixed| fixed.min(wanted))
}

/// The batch sizes to measure, ascending.
///
/// * `all`: every power of two, up to 32 where the size was left open; otherwise only the default
pub fn batches(wishes: &Wishes, provider: Provider, network: NetworkFacts, all: bool) -> Vec<usize> {
    let default = default_batch(wishes, provider, network);
    if !all {
        return vec![default];
    }
    let largest = network.fixed_batch.unwrap_or(if wishes.max_batch_size == 0 { GPU_BATCH } else { default });
    let mut sizes: Vec<_> =
        std::iter::successors(Some(1), |size| Some(size * 2)).take_while(|&size| size < largest).collect();
    sizes.push(largest);
    sizes
}

/// `engine` in every shape, the default first.
pub fn candidates(wishes: &Wishes, engine: Engine, cores: usize, network: NetworkFacts) -> Vec<Candidate> {
    let shapes = shapes(wishes, engine.provider, cores, network);
    shapes.into_iter().map(|shape| Candidate { engine, shape }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Wishes = Wishes {
        provider: None,
        precision: None,
        instances: 0,
        intra_threads: 0,
        max_batch_size: 0,
        goal: Goal::Throughput,
        all_engines: true,
    };
    const RESNET50: NetworkFacts = NetworkFacts { bytes: 100 << 20, quantized: false, fixed_batch: None };
    const RESNET20: NetworkFacts = NetworkFacts { bytes: 1 << 20, ..RESNET50 };

    fn missing(provider: Provider) -> ProviderError {
        ProviderError::Missing { provider, file: "lib.so", looked_in: Vec::new() }
    }

    fn names(
        wishes: Wishes,
        native: &[Precision],
        network: NetworkFacts,
        there: &[Provider],
    ) -> Result<String, String> {
        let features = native.iter().map(|precision| format!("avx512_{precision}")).collect();
        let processor = Processor { features, ..Processor::default() };
        let available = |provider| if there.contains(&provider) { Ok(()) } else { Err(missing(provider)) };
        let engines = engines(&wishes, &processor, network, available).map_err(|error| error.to_string())?;
        Ok(engines.usable.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn auto_tries_what_is_installed_in_the_arithmetic_that_the_processor_has() {
        use Provider as P;
        let try_ = |native: &[Precision], there: &[Provider]| names(OPEN, native, RESNET50, there).unwrap();
        assert_eq!(try_(&[], &[P::Cpu]), "cpu fp32");
        assert_eq!(try_(&[], &[P::Cpu, P::Openvino]), "cpu fp32, openvino fp32");
        assert_eq!(try_(&[Precision::Bf16], &[P::Cpu, P::Openvino]), "cpu fp32, openvino fp32, openvino bf16");
        assert_eq!(
            try_(&[], &[P::Cpu, P::Cuda, P::Tensorrt]),
            "cpu fp32, cuda fp32, cuda fp16, tensorrt fp32, tensorrt fp16"
        );
    }

    #[test]
    fn without_tuning_no_plugin_is_loaded_that_is_not_asked_for() {
        let untuned = Wishes { all_engines: false, ..OPEN };
        let both = [Provider::Cpu, Provider::Openvino];
        assert_eq!(names(untuned, &[Precision::Bf16], RESNET50, &both).unwrap(), "cpu fp32");
        let fp16 = Wishes { precision: Some(Precision::Fp16), ..untuned };
        assert_eq!(names(fp16, &[], RESNET50, &both).unwrap(), "openvino fp16");
    }

    #[test]
    fn what_was_asked_for_is_tried_alone_and_missed_with_its_remedy() {
        let asked = Wishes { provider: Some(Provider::Openvino), precision: Some(Precision::Bf16), ..OPEN };
        // Asked for, bf16 is taken although the processor only emulates it.
        assert_eq!(names(asked, &[], RESNET50, &[Provider::Cpu, Provider::Openvino]).unwrap(), "openvino bf16");
        let refusal = names(asked, &[], RESNET50, &[Provider::Cpu]).unwrap_err();
        assert!(refusal.contains("make runtime-openvino"), "{refusal}");
        let impossible = Wishes { provider: Some(Provider::Cpu), ..asked };
        let refusal = names(impossible, &[], RESNET50, &[Provider::Cpu]).unwrap_err();
        assert!(refusal.contains("no bf16 arithmetic") && refusal.contains("openvino"), "{refusal}");
    }

    #[test]
    fn an_arithmetic_that_was_asked_for_is_never_replaced_by_another() {
        let bf16 = Wishes { precision: Some(Precision::Bf16), ..OPEN };
        assert_eq!(names(bf16, &[], RESNET50, &[Provider::Cpu, Provider::Openvino]).unwrap(), "openvino bf16");
        let refusal = names(bf16, &[], RESNET50, &[Provider::Cpu]).unwrap_err();
        assert!(refusal.contains("`openvino`"), "{refusal}");
        let fp32 = Wishes { precision: Some(Precision::Fp32), ..OPEN };
        let both = [Provider::Cpu, Provider::Openvino];
        assert_eq!(names(fp32, &[Precision::Bf16], RESNET50, &both).unwrap(), "cpu fp32, openvino fp32");
    }

    #[test]
    fn an_int8_graph_is_not_hinted() {
        let int8 = NetworkFacts { quantized: true, ..RESNET50 };
        let there = [Provider::Cpu, Provider::Openvino, Provider::Cuda];
        assert_eq!(names(OPEN, &[Precision::Bf16], int8, &there).unwrap(), "cpu fp32, openvino fp32, cuda fp32");
    }

    #[test]
    fn a_gpu_that_is_asked_for_is_tried_in_both_its_arithmetics_and_in_fp32_where_nothing_is_measured() {
        let gpu = Wishes { provider: Some(Provider::Cuda), ..OPEN };
        assert_eq!(names(gpu, &[], RESNET50, &[Provider::Cuda]).unwrap(), "cuda fp32, cuda fp16");
        let fp16 = Wishes { precision: Some(Precision::Fp16), ..gpu };
        assert_eq!(names(fp16, &[], RESNET50, &[Provider::Cuda]).unwrap(), "cuda fp16");
        let bf16 = Wishes { precision: Some(Precision::Bf16), ..gpu };
        let refusal = names(bf16, &[], RESNET50, &[Provider::Cuda]).unwrap_err();
        assert!(refusal.contains("no bf16 arithmetic") && refusal.contains("fp16"), "{refusal}");
    }

    #[test]
    fn a_broken_plugin_is_reported_and_the_processor_serves() {
        let processor = Processor::default();
        let broken = |provider| match provider {
            Provider::Cpu => Ok(()),
            Provider::Openvino => {
                Err(ProviderError::Unusable { provider, path: "x.so".into(), cause: "it is cut off".to_owned() })
            }
            _ => Err(missing(provider)),
        };
        let engines = engines(&OPEN, &processor, RESNET50, broken).unwrap();
        assert_eq!(engines.usable, [Engine::REFERENCE]);
        assert!(engines.broken[0].to_string().contains("cut off"));
    }

    #[test]
    fn small_networks_are_spread_over_sessions_and_large_ones_over_threads() {
        let shape = |network, cores| default_shape(&OPEN, Provider::Cpu, cores, network);
        assert_eq!(shape(RESNET20, 4), SessionShape { instances: 4, intra_threads: 1 });
        assert_eq!(shape(RESNET50, 4), SessionShape { instances: 1, intra_threads: 4 });
        let gpu = default_shape(&OPEN, Provider::Cuda, 4, RESNET20);
        assert_eq!(gpu, SessionShape { instances: 1, intra_threads: 4 });
    }

    #[test]
    fn some_of_the_shapes_leave_cores_to_the_preparation_of_images() {
        let spare = |cores| {
            let used = |shape: &SessionShape| shape.instances * shape.intra_threads;
            let shapes = shapes(&OPEN, Provider::Openvino, cores, RESNET50);
            shapes.into_iter().filter(|shape| used(shape) < cores).collect::<Vec<_>>()
        };
        assert_eq!(spare(2), [SessionShape { instances: 1, intra_threads: 1 }]);
        let threads = SessionShape { instances: 1, intra_threads: 12 };
        assert_eq!(spare(16), [threads, SessionShape { instances: 12, intra_threads: 1 }]);
    }

    #[test]
    fn sessions_and_threads_that_were_set_stay() {
        let set = Wishes { instances: 3, intra_threads: 2, ..OPEN };
        assert_eq!(shapes(&set, Provider::Cpu, 8, RESNET50), [SessionShape { instances: 3, intra_threads: 2 }]);
        let threads = Wishes { intra_threads: 2, ..OPEN };
        assert!(shapes(&threads, Provider::Cpu, 8, RESNET50).iter().all(|shape| shape.intra_threads == 2));
        let one_core = shapes(&OPEN, Provider::Openvino, 1, RESNET20);
        assert_eq!(one_core, [SessionShape { instances: 1, intra_threads: 1 }]);
    }

    #[test]
    fn a_batch_that_was_set_or_that_the_graph_fixes_is_not_exceeded() {
        let set = Wishes { max_batch_size: 6, ..OPEN };
        assert_eq!(batches(&set, Provider::Cpu, RESNET50, true), [1, 2, 4, 6]);
        assert_eq!(batches(&OPEN, Provider::Cpu, RESNET50, false), [8]);
        assert_eq!(batches(&OPEN, Provider::Cpu, RESNET50, true), [1, 2, 4, 8, 16, 32]);
        let fixed = NetworkFacts { fixed_batch: Some(1), ..RESNET50 };
        assert_eq!(batches(&OPEN, Provider::Cuda, fixed, true), [1]);
        assert_eq!(default_batch(&OPEN, Provider::Cuda, fixed), 1);
        assert_eq!(default_batch(&OPEN, Provider::Cuda, RESNET50), 32);
    }
}
