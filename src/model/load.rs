//! From a graph and a manifest to a model that answers: a plan, sessions, shapes checked, labels counted, warmed up.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{
    BuiltIn, GraphImage, LoadStep, LoadSteps, Machine, Manifest, ModelError, ModelFolder, ModelInfo, TensorInfo,
    activation::{Endings, decide},
    demand::Demand,
    first_runs::{FirstRuns, Manner, counted, features, first_runs},
    graph_files::GraphFiles,
    labels::{label_text, labels_for},
    last_layer::{self, LayerOfOutput},
    memory, overflow,
    plan::{Earlier, EnginePlan, TuningReport},
    prepared::Prepared,
    served::{LoadedModel, ServedModel},
    trained_elsewhere::preset_warning,
    tuning::Tuning,
    warm_up::WarmUpImages,
};
use crate::{
    batching::{Batcher, Executors, Policy},
    inspect::{GraphOutput, Inspection, inspect},
    onnx::{self, CycleError},
    postprocess::parse_labels,
    runtime::{
        self, Element, GraphSource, InnerValue, LoadError, Provider, Stated, check_size, pairs_may_overflow, with_share,
    },
    settings::Batching,
    tensor::{InputShape, Logits},
    tune::{Candidate, Circumstances, PaceJudge, cache::digest, space::NetworkFacts},
};

/// What a version of a model is made of.
struct Source<'a> {
    name: &'a str,
    version: u64,
    manifest: Manifest,
    graph: GraphSource<'a>,
    /// The text of the labels, or `None` where there are none.
    labels: Option<Arc<[Arc<str>]>>,
    earlier: Earlier,
}

/// Loads one version of a model from its folder.
///
/// * `earlier`: what becomes of what was measured before
/// * `steps`: told what is done
///
/// # Errors
/// [`ModelError`] says what to mend.
pub fn load_folder(
    machine: &Machine,
    folder: &ModelFolder,
    version: u64,
    manifest: Manifest,
    earlier: Earlier,
    steps: &LoadSteps,
) -> Result<LoadedModel, ModelError> {
    steps.begin(LoadStep::Reading);
    let graph = folder.graph(version);
    let labels = label_text(&folder.path, manifest.output.labels.as_deref())?;
    let labels = labels.as_deref().map(parse_labels).transpose()?;
    let (name, graph) = (&*folder.name, GraphSource::File(&graph));
    load(machine, Source { name, version, manifest, graph, labels, earlier }, steps)
}

/// The labels of a model in its folder as they are now, for a network that is served already.
///
/// * `classes`: how many it has
///
/// # Errors
/// [`ModelError`] says what to mend.
pub fn load_labels(folder: &ModelFolder, manifest: &Manifest, classes: usize) -> Result<Arc<[Arc<str>]>, ModelError> {
    let labels = label_text(&folder.path, manifest.output.labels.as_deref())?;
    labels_for(&folder.name, labels.as_deref().map(parse_labels).transpose()?, classes)
}

/// Loads the model that the binary carries.
///
/// * `earlier`: what becomes of what was measured before
/// * `steps`: told what is done
///
/// # Errors
/// [`ModelError`], for instance if the machine has too little memory.
pub fn load_built_in(
    machine: &Machine,
    built_in: &BuiltIn,
    manifest: Manifest,
    earlier: Earlier,
    steps: &LoadSteps,
) -> Result<LoadedModel, ModelError> {
    steps.begin(LoadStep::Reading);
    let (name, version, graph) = (built_in.name, built_in.version, GraphSource::Memory(built_in.graph));
    let labels = Some(parse_labels(built_in.labels)?);
    load(machine, Source { name, version, manifest, graph, labels, earlier }, steps)
}

/// Measures every way to run a model on this machine, and keeps what was found for the server.
///
/// * `labels`: how many classes have names
/// * `steps`: told what is done
/// * `progress`: told what is measured next, and how many candidates there are
///
/// # Errors
/// [`ModelError`] says what to mend.
pub fn tune(
    machine: &Machine,
    graph: GraphSource<'_>,
    manifest: &Manifest,
    labels: Option<usize>,
    steps: &LoadSteps,
    progress: &mut dyn FnMut(Candidate, usize),
) -> Result<TuningReport, ModelError> {
    steps.begin(LoadStep::Reading);
    let facts = GraphFacts::of(graph, steps)?;
    facts.tuning(machine, graph, manifest, labels, Earlier::IsPassedOver, steps).report(progress)
}

/// What [`tune`], or a server's start, has found and kept, and when: what the next start takes over. `None` where that would measure.
///
/// # Errors
/// [`ModelError`] says what to mend.
pub fn tuned_earlier(
    machine: &Machine,
    graph: GraphSource<'_>,
    manifest: &Manifest,
    labels: Option<usize>,
) -> Result<Option<(TuningReport, Option<Circumstances>)>, ModelError> {
    let steps = LoadSteps::new(&graph.to_string(), 0);
    let facts = GraphFacts::of(graph, &steps)?;
    facts.tuning(machine, graph, manifest, labels, Earlier::Counts, &steps).earlier()
}

/// What is known of a graph's file before it is loaded.
struct GraphFacts {
    network: NetworkFacts,
    inspection: Result<Inspection, CycleError>,
    last_layers: Vec<LayerOfOutput>,
    endings: Endings,
    digest: String,
    /// The same of what other weights would leave as it is.
    structure: String,
    /// On this processor, sums of its 8-bit products may not fit 16 bits and be cut off.
    may_overflow: bool,
}

impl GraphFacts {
    fn of(graph: GraphSource<'_>, steps: &LoadSteps) -> Result<Self, ModelError> {
        let GraphFiles { model, digest: of_file, bytes } = GraphFiles::of(graph)?;
        steps.begin(LoadStep::Inspecting);
        // An engine would look for weights wherever the file says; only a file that was looked through gets to one.
        let model = model.map_err(|cause| ModelError::Graph { graph: graph.to_string(), cause: cause.into() })?;
        let nodes = model.graph.as_ref();
        let quantized = nodes.is_some_and(|graph| graph.quantized_node().is_some());
        let network = NetworkFacts { bytes, quantized, fixed_batch: None };
        let structure = digest(&onnx::structure(&model));
        let may_overflow = quantized && pairs_may_overflow() && overflow::may_happen(graph);
        let endings = Endings::of(&model);
        // Inspected before the sessions are made, so that the graph as data is gone when they take their memory.
        let inspection = inspect(&model);
        let last_layers = inspection.as_ref().map(|inspection| last_layer::read(&model, inspection, graph.folder()));
        let last_layers = last_layers.unwrap_or_default();
        drop(model);
        let facts = Self { network, inspection, last_layers, endings, digest: of_file, structure, may_overflow };
        if let Some(image) = facts.inspection.as_ref().ok().and_then(|inspection| inspection.input.as_ref()) {
            let too_large =
                |cause| ModelError::Graph { graph: graph.to_string(), cause: runtime::LoadError::from(cause) };
            check_size(&image.name, image.height, image.width).map_err(too_large)?;
        }
        Ok(facts)
    }

    fn tuning<'a>(
        &'a self,
        machine: &'a Machine,
        graph: GraphSource<'a>,
        manifest: &'a Manifest,
        labels: Option<usize>,
        earlier: Earlier,
        steps: &'a LoadSteps,
    ) -> Tuning<'a> {
        let inspection = self.inspection.as_ref().ok();
        let demand = Demand::new(self.network.bytes, inspection, manifest, memory::free_now())
            .beside_earlier(steps.is_beside_earlier());
        Tuning {
            machine,
            graph,
            digest: &self.digest,
            structure: &self.structure,
            network: self.network,
            endings: &self.endings,
            manifest,
            stated: Stated {
                features: inner_values(inspection, |output| output.features.clone()),
                maps: inner_values(inspection, |output| {
                    Ok(output.last_layer.as_ref().map_err(String::clone)?.map.clone())
                }),
                ..manifest.stated(labels)
            },
            demand,
            steps,
            earlier,
            shared: OnceLock::new(),
        }
    }
}

/// Where what belongs to each output lies inside, as far as the graph shows it.
fn inner_values(
    inspection: Option<&Inspection>,
    find: impl Fn(&GraphOutput) -> Result<String, String>,
) -> Vec<InnerValue> {
    let Some(inspection) = inspection else { return Vec::new() };
    let is_output = |value: &String| inspection.outputs.iter().any(|output| output.name == *value);
    let of = |output: &GraphOutput| {
        let value = find(output);
        let is_output = value.as_ref().is_ok_and(is_output);
        InnerValue { output: output.name.clone(), value, is_output }
    };
    inspection.outputs.iter().map(of).collect()
}

fn load(machine: &Machine, source: Source<'_>, steps: &LoadSteps) -> Result<LoadedModel, ModelError> {
    let Source { name, version, manifest, graph, labels, earlier } = source;
    let facts = steps.aside(|| GraphFacts::of(graph, steps))??;
    let labels_told = labels.as_ref().map(|labels| labels.len());
    let tuning = facts.tuning(machine, graph, &manifest, labels_told, earlier, steps);
    let plan = steps.aside(|| tuning.plan())??;
    let Candidate { engine, shape } = plan.candidate;
    let max_batch_size = tuning.fitting(plan.candidate, plan.max_batch_size)?;
    if max_batch_size < plan.max_batch_size {
        let wanted = plan.max_batch_size;
        tracing::warn!(model = name, version, "memory allows batches of {max_batch_size} images, not of {wanted}");
    }
    steps.begin(LoadStep::MakingSessions);
    let alike = plan.alone.filter(|alone| alone.engine == engine);
    steps.aside(|| _ = tuning.prepare(engine))?;
    let open = || tuning.open(plan.candidate, max_batch_size);
    let open_alone = |candidate: Candidate| tuning.open(candidate, 1);
    let share = manifest.runtime.share;
    // Other providers start threads by themselves, as far back as the thread that makes the session, and they are to serve.
    let is_made_aside =
        [Some(plan.candidate), plan.alone].into_iter().flatten().all(|it| it.engine.provider == Provider::Cpu);
    let make = || Ok::<_, LoadError>((open()?, plan.alone.map(open_alone).transpose()?));
    let made = with_share(share, || if is_made_aside { steps.sessions_aside(make) } else { Ok(make()) })??;
    let (mut executors, alone) = made.map_err(|cause| tuning.graph_error(cause))?;
    let mut alone = alone.unwrap_or_default();
    if facts.may_overflow
        && let Some(warning) = overflow::warning(engine.provider)
    {
        tracing::warn!(model = name, version, "{warning}");
    }
    let signature = executors[0].signature().clone();
    let Prepared { spec, normalizer, color, size, taken } = Prepared::new(&manifest, &signature)?;
    taken.iter().for_each(|taken| tracing::warn!(model = name, version, "{taken}"));
    let EnginePlan { probability_drift, reason, images_per_second, .. } = plan;
    let max_batch_size = signature.fixed_batch.map_or(max_batch_size, |fixed| fixed.min(max_batch_size));

    steps.begin(LoadStep::WarmingUp);
    let mut images = WarmUpImages::new(&spec, normalizer.clone(), size);
    let sizes = engine.provider.warmed_sizes(max_batch_size);
    let ending = facts.endings.of_output(&signature.output.name);
    let (FirstRuns { row, one_at_a_time }, features, class_maps) = steps.aside(|| {
        let again = engine.provider.keeps_of_a_run();
        let mut manner = Manner { at_once: steps.at_once(engine.provider), again, shown: None };
        let one = first_runs(&mut alone, &mut images, &[1], signature.fixed_batch, manner)?;
        manner.shown = (alike.is_some() && !again).then_some(&*one.row);
        let runs = first_runs(&mut executors, &mut images, &sizes, signature.fixed_batch, manner)?;
        // The session for one image alone has more threads, and is sooner done with what one image shows.
        let quickest = alone.first_mut().filter(|_| alike.is_some());
        let executor = quickest.unwrap_or(&mut executors[0]);
        let (output, mut seen) = (&signature.output.name, Logits::default());
        let class_maps = last_layer::checked(&facts.last_layers, output, executor, &mut images, ending, &mut seen);
        // The run that checks the maps has given the features too, if there was one.
        let features = if seen.rows().next().is_none() { features(executor, &mut images) } else { counted(&seen) };
        let features = features.map_err(Arc::from);
        Ok::<_, ModelError>((runs, features, class_maps.map(Arc::new).map_err(Arc::from)))
    })??;
    drop(images);
    if let Some(reason) = &one_at_a_time {
        tracing::warn!(
            model = name,
            version,
            "served one image at a time, slower than it could be: {reason}; export the graph with a free batch in every layer"
        );
    }
    let of_alone = plan.alone.map_or(0, |candidate| tuning.demand.bytes(candidate.engine.provider, 1, 1));
    let bytes = tuning.demand.bytes(engine.provider, shape.instances, max_batch_size).saturating_add(of_alone);
    let policy = policy(&manifest.batching, if one_at_a_time.is_some() { 1 } else { max_batch_size });
    let labels = labels_for(name, labels, row.len())?;
    let (activation, doubt) = decide(manifest.output.activation, ending, facts.network.quantized, &row);
    if let Some(doubt) = doubt {
        tracing::warn!(model = name, version, "{doubt}");
    }

    let inspection = facts
        .inspection
        // Only a warning: ONNX Runtime may well run what cannot be inspected.
        .inspect_err(|cause| tracing::warn!(model = name, version, "its graph cannot be inspected: {cause}"))
        .ok();
    if let Some(warning) = inspection.as_ref().and_then(|it| preset_warning(&manifest.input, it, Some(row.len()))) {
        tracing::warn!(model = name, version, "{warning}");
    }
    let precision = match (facts.network.quantized, signature.element == Element::Half) {
        (true, _) => "int8",
        (false, true) => "fp16",
        (false, false) => engine.precision.name(),
    };
    let info = ModelInfo {
        architecture: inspection.as_ref().map_or("unknown", Inspection::architecture).into(),
        inspection,
        untrained: executors[0].is_untrained(),
        input: TensorInfo { name: signature.input.name.clone(), shape: signature.input.shape.clone() },
        numbers: signature.element.into(),
        output: TensorInfo { name: signature.output.name.clone(), shape: signature.output.shape.clone() },
        features,
        class_maps,
        layout: signature.layout,
        color,
        preparation: manifest.input.steps(&GraphImage::from(&*signature)).into(),
        labels,
        max_batch_size: policy.max_batch_size,
        instances: shape.instances,
        intra_threads: shape.intra_threads,
        alone_threads: plan.alone.map(|candidate| candidate.shape.intra_threads),
        memory_bytes: bytes,
        provider: engine.provider.to_string(),
        precision: precision.to_owned(),
        probability_drift,
        choice: reason,
    };
    let shape = InputShape::of(&normalizer, size.0, size.1);
    let executors = Executors { side_by_side: executors, alone: alone.pop() };
    let (batcher, workers) = with_share(share, || Batcher::start(name, policy, normalizer, shape, executors))??;
    let capacity = policy.queue_capacity;
    let model = ServedModel {
        name: name.into(),
        version,
        info: Arc::new(info),
        spec,
        activation,
        batcher,
        permits: Arc::new(Semaphore::new(capacity)),
        capacity,
    };
    Ok(LoadedModel { model, workers, pace: images_per_second.map(PaceJudge::new), bytes })
}

/// The settings as the batching stage takes them, with the largest batch that was found.
fn policy(settings: &Batching, max_batch_size: usize) -> Policy {
    Policy {
        max_batch_size,
        max_queue_delay: Duration::from_micros(settings.max_queue_delay_us),
        queue_capacity: settings.queue_capacity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{DataType, GraphBuilder, value_info};

    fn quantized(op_type: &str, name: &str) -> bool {
        let mut graph = GraphBuilder::new(name);
        let x = graph.input(value_info("x", DataType::Float, &[3]));
        let x = graph.node(op_type, name, &[&x], Vec::new());
        graph.output(&x, value_info("y", DataType::Float, &[3]));
        let file = onnx::into_bytes(graph.finish(8, 17, &[]));
        GraphFacts::of(GraphSource::Memory(&file), &LoadSteps::new("test", 1)).unwrap().network.quantized
    }

    #[test]
    fn a_network_is_int8_by_what_it_computes_not_by_what_it_is_called() {
        for op_type in ["DequantizeLinear", "QLinearConv", "ConvInteger"] {
            assert!(quantized(op_type, "conv1"), "{op_type}");
        }
        assert!(!quantized("Relu", "DequantizeLinear"));
    }
}
