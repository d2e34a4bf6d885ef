//! From a graph and a manifest to a model that answers: sessions, shapes checked, labels counted, warmed up.

use std::{fs, path::Path, sync::Arc};

use tokio::sync::Semaphore;

use super::{
    BuiltIn, ModelFolder, ModelInfo, TensorInfo,
    manifest::{Manifest, ManifestError},
    served::ServedModel,
    settings::RuntimeSettings,
};
use crate::{
    batching::Batcher,
    postprocess::{Activation, LabelsError, parse_labels, read_labels},
    runtime::{
        self, Engine, Executor, GraphSource, OrtExecutor, Precision, Provider, RunError, Runtime, SessionOptions,
        Signature,
    },
    tensor::{Batch, Input, Layout, Logits, Normalizer, Pixels},
};

/// The labels that a model without a label file gets when it has just as many classes.
const IMAGENET_LABELS: &str = include_str!("../resnet/labels/imagenet1k.tsv");

/// Up to this size of the graph, runs are so short that sessions side by side beat threads that share a run.
/// ResNet-20 for CIFAR has 1.1 MB: two sessions of one thread gave 1.2 times what one of two threads gave.
const SMALL_GRAPH_BYTES: u64 = 8 << 20;

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its settings.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its graph.
    #[error("{graph}: {cause}")]
    Graph {
        /// The file.
        graph: String,
        /// Why it cannot be run.
        cause: runtime::LoadError,
    },
    /// Its labels.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Labels and classes do not match.
    #[error("the network has {classes} classes and {labels} labels are given: one label a line for each class")]
    LabelCount {
        /// What the network gives.
        classes: usize,
        /// What the file holds.
        labels: usize,
    },
    /// Images and graph do not match.
    #[error(
        "the graph takes images of {height}x{width} and model.toml prepares {prepared}: set [input] crop_size = {height}"
    )]
    Size {
        /// The graph's.
        height: usize,
        /// The graph's.
        width: usize,
        /// What preprocessing gives.
        prepared: String,
    },
    /// Nobody says how large the images are.
    #[error("the graph leaves the image size open and model.toml has crop_size = 0: set [input] crop_size")]
    OpenSize,
    /// `layout` in model.toml is not the graph's.
    #[error("model.toml says layout = {said:?} and the graph's input is {found:?}: remove [input] layout")]
    LayoutMismatch {
        /// The manifest's.
        said: Layout,
        /// The graph's.
        found: Layout,
    },
    /// The first run failed.
    #[error("the warm-up run failed: {0}")]
    WarmUp(#[from] RunError),
    /// The system gave no thread.
    #[error("cannot start the model's threads: {0}")]
    Threads(#[from] std::io::Error),
}

/// What a version of a model is made of.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) version: u64,
    pub(super) manifest: Manifest,
    pub(super) graph: GraphSource<'a>,
    pub(super) graph_bytes: u64,
    /// The text of the labels, or `None` where there are none.
    pub(super) labels: Option<Arc<[Arc<str>]>>,
}

/// Loads one version of a model from its folder.
///
/// # Errors
/// [`ModelError`] says what to mend.
pub fn load_folder(
    runtime: &Runtime,
    folder: &ModelFolder,
    version: u64,
    manifest: Manifest,
    cores: usize,
) -> Result<ServedModel, ModelError> {
    let graph = folder.graph(version);
    let graph_bytes = fs::metadata(&graph).map_or(0, |file| file.len());
    let labels = match &manifest.output.labels {
        Some(file) => Some(read_labels(&folder.path.join(file))?),
        None => default_labels(&folder.path)?,
    };
    let source =
        Source { name: &folder.name, version, manifest, graph: GraphSource::File(&graph), graph_bytes, labels };
    load(runtime, source, cores)
}

fn default_labels(folder: &Path) -> Result<Option<Arc<[Arc<str>]>>, LabelsError> {
    let path = folder.join("labels.txt");
    if path.is_file() { read_labels(&path).map(Some) } else { Ok(None) }
}

/// Loads the model that the binary carries.
///
/// # Errors
/// [`ModelError`], for instance if the machine has too little memory.
pub fn load_built_in(
    runtime: &Runtime,
    built_in: &BuiltIn,
    manifest: Manifest,
    cores: usize,
) -> Result<ServedModel, ModelError> {
    let source = Source {
        name: built_in.name,
        version: built_in.version,
        manifest,
        graph: GraphSource::Memory(built_in.graph),
        graph_bytes: built_in.graph.len() as u64,
        labels: Some(parse_labels(built_in.labels)?),
    };
    load(runtime, source, cores)
}

fn load(runtime: &Runtime, source: Source<'_>, cores: usize) -> Result<ServedModel, ModelError> {
    let Source { name, version, manifest, graph, graph_bytes, labels } = source;
    let graph_name = match graph {
        GraphSource::File(path) => path.display().to_string(),
        GraphSource::Memory(_) => format!("the built-in {name}"),
    };
    let engine = Engine {
        provider: manifest.runtime.provider.fixed().unwrap_or(Provider::Cpu),
        precision: manifest.runtime.precision.fixed().unwrap_or(Precision::Fp32),
    };
    let (instances, intra_threads) = threads(&manifest.runtime, graph_bytes, cores);
    let mut executors = (0..instances)
        .map(|_| {
            runtime.executor(
                graph,
                SessionOptions { engine, intra_threads, max_batch_size: manifest.batching.max_batch_size },
            )
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| ModelError::Graph { graph: graph_name, cause })?;
    let signature = executors[0].signature().clone();

    if let Some(said) = manifest.input.layout.filter(|said| *said != signature.layout) {
        return Err(ModelError::LayoutMismatch { said, found: signature.layout });
    }
    let spec = manifest.input.spec(signature.size);
    let size = image_size(&signature, spec.crop_size)?;
    let normalizer = manifest.input.normalizer(signature.layout);
    let mut policy = manifest.batching.policy();
    policy.max_batch_size =
        signature.fixed_batch.map_or(policy.max_batch_size, |fixed| fixed.min(policy.max_batch_size));

    let first = warm_up(&mut executors, &normalizer, size, &engine.provider.warmed_sizes(policy.max_batch_size))?;
    let labels = labels_for(name, labels, first.len())?;
    let activation = manifest.output.activation.unwrap_or_else(|| {
        // A graph that ends in softmax gives a row that sums to 1; logits do not, but by a rare accident.
        let sum: f32 = first.iter().sum();
        let inside = first.iter().all(|value| (0.0..=1.0).contains(value)) && (sum - 1.0).abs() < 1e-3;
        if inside { Activation::None } else { Activation::Softmax }
    });

    let info = ModelInfo {
        architecture: executors[0].metadata("architecture").unwrap_or_else(|| "unknown".to_owned()).into(),
        untrained: executors[0].metadata("untrained").is_some_and(|value| value == "true"),
        input: TensorInfo { name: signature.input.name.clone(), shape: signature.input.shape.clone() },
        output: TensorInfo { name: signature.output.name.clone(), shape: signature.output.shape.clone() },
        layout: signature.layout,
        color: manifest.input.color,
        labels,
        max_batch_size: policy.max_batch_size,
        instances,
        intra_threads,
        provider: engine.provider.to_string(),
        precision: if signature.half_input { "fp16".to_owned() } else { engine.precision.to_string() },
    };
    let batcher = Batcher::start(name, policy, normalizer, size, executors)?;
    let capacity = policy.queue_capacity;
    Ok(ServedModel {
        name: name.into(),
        version,
        info: Arc::new(info),
        spec,
        size,
        activation,
        batcher,
        permits: Arc::new(Semaphore::new(capacity)),
        capacity,
    })
}

/// How many sessions of how many threads.
fn threads(settings: &RuntimeSettings, graph_bytes: u64, cores: usize) -> (usize, usize) {
    let small = graph_bytes < SMALL_GRAPH_BYTES;
    let instances = match (settings.instances, settings.intra_threads) {
        (0, 0) if small => cores,
        (0, 0) => 1,
        (0, threads) => cores.div_ceil(threads),
        (instances, _) => instances,
    };
    let intra_threads = if settings.intra_threads > 0 { settings.intra_threads } else { (cores / instances).max(1) };
    (instances, intra_threads)
}

fn image_size(signature: &Signature, crop: Option<u32>) -> Result<(usize, usize), ModelError> {
    match (signature.size, crop) {
        (Some((height, width)), Some(crop)) if (height, width) != (crop as usize, crop as usize) => {
            Err(ModelError::Size { height, width, prepared: format!("{crop}x{crop}") })
        }
        (Some(size), _) => Ok(size),
        (None, Some(crop)) => Ok((crop as usize, crop as usize)),
        (None, None) => Err(ModelError::OpenSize),
    }
}

fn labels_for(name: &str, labels: Option<Arc<[Arc<str>]>>, classes: usize) -> Result<Arc<[Arc<str>]>, ModelError> {
    match labels {
        Some(labels) if labels.len() == classes => Ok(labels),
        Some(labels) => Err(ModelError::LabelCount { classes, labels: labels.len() }),
        None => {
            let imagenet = parse_labels(IMAGENET_LABELS)?;
            if imagenet.len() == classes {
                tracing::info!(model = name, "no labels.txt: 1,000 classes are taken for ImageNet's");
                return Ok(imagenet);
            }
            tracing::info!(model = name, classes, "no labels.txt: classes are called by their index");
            Ok((0..classes).map(|index| Arc::from(index.to_string())).collect())
        }
    }
}

/// Runs every session with one image and with a full batch, so that no request pays for first allocations.
/// Gives the first row of the first run.
fn warm_up(
    executors: &mut [OrtExecutor],
    normalizer: &Normalizer,
    (height, width): (usize, usize),
    sizes: &[usize],
) -> Result<Vec<f32>, ModelError> {
    let gradient = (0..height * width * 3).map(|index| (index * 31 % 256) as u8).collect();
    let input = Pixels::new(width as u32, height as u32, gradient).map(Input::Pixels);
    let mut batch = Batch::new(normalizer.layout(), height, width, 0);
    let mut logits = Logits::default();
    let mut first = Vec::new();
    for executor in executors {
        for &size in sizes {
            batch.clear();
            for _ in 0..size {
                let slot = batch.push();
                if let Some(Input::Pixels(pixels)) = &input {
                    normalizer.write(pixels, slot);
                }
            }
            executor.run(&batch, &mut logits)?;
        }
        first = logits.rows().next().unwrap_or_default().to_vec();
    }
    Ok(first)
}
