//! ONNX Runtime: the environment, sessions, and the [`Executor`] that serves.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use half::f16;
use ort::{
    device::Device,
    environment::Environment,
    ep::{self, ExecutionProvider},
    memory::DeviceType,
    session::{Session, builder::SessionBuilder},
    value::{TensorElementType, TensorRef, ValueType},
};

use super::{
    Engine, Executor, GraphSource, LibraryError, Precision, Provider, ProviderError, RunError, Signature,
    SignatureError, engine, library, pairs_may_overflow,
    plugin::{self, Plugin},
    shared_object,
};
use crate::{
    runtime::signature::GraphTensor,
    tensor::{Batch, Logits},
};

/// The loaded ONNX Runtime. Cheap to clone; one for a process.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: Arc<Path>,
    plugins: Arc<Plugins>,
}

/// What became of each plugin; they are registered once in a process, when the first model may use them.
#[derive(Default)]
struct Plugins {
    openvino: OnceLock<Result<PathBuf, ProviderError>>,
    tensorrt: OnceLock<Result<PathBuf, ProviderError>>,
}

/// How a session uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Where and how it computes.
    pub engine: Engine,
    /// Threads that share one run, on the processor.
    pub intra_threads: usize,
    /// The largest batch that it will be given.
    pub max_batch_size: usize,
}

impl SessionOptions {
    /// The processor, in fp32: what is always there.
    pub fn reference(intra_threads: usize, max_batch_size: usize) -> Self {
        Self { engine: Engine::REFERENCE, intra_threads, max_batch_size }
    }

    /// The size that a batch is filled up to.
    fn padded_len(&self, len: usize) -> usize {
        if self.engine.provider.is_gpu() { engine::bucket(len, self.max_batch_size) } else { len }
    }
}

/// Why a graph cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// ONNX Runtime refuses the file.
    #[error("ONNX Runtime cannot load it: {0}")]
    Engine(String),
    /// It loads, and is no image classifier.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The provider that it is to run on is not there.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl From<ort::Error> for LoadError {
    fn from(error: ort::Error) -> Self {
        Self::Engine(first_line(&error.to_string()))
    }
}

impl From<ort::Error<SessionBuilder>> for LoadError {
    fn from(error: ort::Error<SessionBuilder>) -> Self {
        Self::Engine(first_line(&error.to_string()))
    }
}

pub(super) fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}

impl Runtime {
    /// Finds and loads the library.
    ///
    /// # Errors
    /// [`LibraryError`], with the remedy.
    pub fn load() -> Result<Self, LibraryError> {
        let path = library::find()?;
        let unusable = |cause: String| LibraryError::Unusable { path: path.clone(), cause };
        shared_object::check(&path).map_err(unusable)?;
        let environment = ort::init_from(&path)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("resnetd")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { environment, library: path.into(), plugins: Arc::default() })
    }

    /// Whether sessions can be made on `provider`. The first question about a plugin loads and registers it.
    ///
    /// # Errors
    /// [`ProviderError`] says what is missing and how to get it.
    pub fn provider(&self, provider: Provider) -> Result<(), ProviderError> {
        match provider {
            Provider::Cpu => Ok(()),
            Provider::Openvino => self.registered(&plugin::OPENVINO).map(drop),
            Provider::Cuda => self.cuda(),
            Provider::Tensorrt => {
                plugin::gpu_visible(provider).and_then(|()| self.registered(&plugin::TENSORRT).map(drop))
            }
        }
    }

    /// What tells this installation from another: a measurement holds for one of them only.
    pub fn fingerprint(&self) -> String {
        let plugins = [&self.plugins.openvino, &self.plugins.tensorrt];
        let registered = plugins.into_iter().filter_map(|plugin| plugin.get()?.as_ref().ok());
        let plugins = registered.map(|path| plugin::fingerprint(path)).collect::<Vec<_>>().join(" ");
        format!("{} {plugins}", build_info())
    }

    fn registered(&self, plugin: &Plugin) -> Result<&Path, ProviderError> {
        let state = match plugin.provider {
            Provider::Tensorrt => &self.plugins.tensorrt,
            _ => &self.plugins.openvino,
        };
        state.get_or_init(|| self.register(plugin)).as_deref().map_err(ProviderError::clone)
    }

    fn register(&self, plugin: &Plugin) -> Result<PathBuf, ProviderError> {
        let provider = plugin.provider;
        let path = plugin.find()?;
        self.environment.register_ep_library(provider.name(), &path).map_err(|error| ProviderError::Unusable {
            provider,
            path: path.clone(),
            cause: first_line(&error.to_string()),
        })?;
        if self.devices(plugin.ep, device_type(provider)).next().is_none() {
            let cause = format!("{} offers no {:?}", path.display(), device_type(provider));
            return Err(ProviderError::NoDevice { provider, cause });
        }
        tracing::debug!(%provider, path = %path.display(), "plugin registered");
        Ok(path)
    }

    /// CUDA is part of the GPU build of ONNX Runtime; what it needs is checked before, for the message's sake.
    fn cuda(&self) -> Result<(), ProviderError> {
        let provider = Provider::Cuda;
        plugin::gpu_visible(provider)?;
        if !ep::CUDA::is_available().unwrap_or(false) {
            return Err(ProviderError::NotBuiltIn { provider, runtime: self.library.to_path_buf() });
        }
        plugin::find_cuda(&self.library)
    }

    fn devices(&self, ep: &str, kind: DeviceType) -> impl Iterator<Item = Device<'_>> {
        self.environment
            .devices()
            .filter(move |device| device.ep().is_ok_and(|name| name == ep) && device.hardware_device().ty() == kind)
    }

    /// Compiles a graph into a session.
    ///
    /// # Errors
    /// [`LoadError::Engine`] for a file that is no ONNX graph, [`LoadError::Signature`] for one that classifies no
    /// images, [`LoadError::Provider`] where the engine is not to be had.
    pub fn executor(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<OrtExecutor, LoadError> {
        OrtExecutor::new(self.session(graph, options)?, options)
    }

    /// A session that gives all outputs of its graph.
    pub(super) fn session(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<Session, LoadError> {
        let mut builder = self.builder(options)?;
        Ok(match graph {
            GraphSource::File(path) => builder.commit_from_file(path)?,
            GraphSource::Memory(bytes) => builder.commit_from_memory(bytes)?,
        })
    }

    fn builder(&self, options: SessionOptions) -> Result<SessionBuilder, LoadError> {
        let SessionOptions { engine, intra_threads, .. } = options;
        engine.check()?;
        self.provider(engine.provider)?;
        let builder = Session::builder(&self.environment)?
            .with_intra_threads(intra_threads)?
            // A spinning thread takes a core from decoding and from the other sessions.
            .with_intra_op_spinning(false)?
            // It would quantize the layers of an int8 graph that were left in fp32 because 8 bits ruin the answers, and
            // with one scale for all of their weights.
            .with_config_entry("optimization.disable_specified_optimizers", "WeightBiasQuantization")?;
        let plugin = match engine.provider {
            // A plugin, once registered, takes every session that names no device; so the processor is named too.
            Provider::Cpu => {
                // Exact sums for 8-bit weights, at 0.7 of the speed; graphs with 7-bit weights are left as they are.
                let builder = if pairs_may_overflow() { builder.with_config_entry(EXACT_SUMS, "1")? } else { builder };
                let own = self.devices("CPUExecutionProvider", DeviceType::CPU);
                return Ok(builder.with_devices(own, None)?);
            }
            Provider::Cuda => {
                let cuda = ep::CUDA::default()
                    // The exhaustive search takes seconds for each new shape and gains little for a ResNet.
                    .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                    // fp32 means fp32: TF32 keeps 10 bits of the fraction.
                    .with_tf32(false);
                return Ok(builder.with_execution_providers([cuda.build().error_on_failure()])?);
            }
            Provider::Openvino => &plugin::OPENVINO,
            Provider::Tensorrt => &plugin::TENSORRT,
        };
        let settings = match engine.provider {
            Provider::Openvino => vec![(format!("{}.load_config", plugin.ep), openvino_config(engine, intra_threads))],
            _ => Vec::new(),
        };
        // One device: a graph is not spread over several.
        let device = self.devices(plugin.ep, device_type(engine.provider)).take(1);
        Ok(builder.with_devices(device, Some(&settings))?)
    }
}

fn device_type(provider: Provider) -> DeviceType {
    if provider.is_gpu() { DeviceType::GPU } else { DeviceType::CPU }
}

/// ONNX Runtime's name for computing `u8` times `i8` as `u8` times `u8`, which does not overflow.
const EXACT_SUMS: &str = "session.x64quantprecision";

/// OpenVINO's own properties. Left alone, it would take bf16 wherever the processor has it, and all cores.
fn openvino_config(engine: Engine, intra_threads: usize) -> String {
    let precision = match engine.precision {
        Precision::Fp32 => "f32",
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "f16",
    };
    serde_json::json!({ "CPU": {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": intra_threads.to_string(),
        "NUM_STREAMS": "1",
    }})
    .to_string()
}

/// One session with what the serving path must know of its graph.
pub struct OrtExecutor {
    session: Session,
    signature: Arc<Signature>,
    options: SessionOptions,
    /// For a graph with 16-bit input: the batch, converted.
    half: Vec<f16>,
    /// For a graph with a fixed batch, and for a GPU: the batch, filled up with zeros.
    padded: Vec<f32>,
    /// For a graph with 16-bit output.
    widened: Vec<f32>,
}

impl OrtExecutor {
    fn new(session: Session, options: SessionOptions) -> Result<Self, LoadError> {
        let describe = |outlet: &ort::value::Outlet| match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => GraphTensor {
                name: outlet.name().to_owned(),
                shape: shape.to_vec(),
                element: match ty {
                    TensorElementType::Float32 => "float32".to_owned(),
                    TensorElementType::Float16 => "float16".to_owned(),
                    other => other.to_string(),
                },
            },
            other => GraphTensor { name: outlet.name().to_owned(), shape: Vec::new(), element: other.to_string() },
        };
        let inputs: Vec<_> = session.inputs().iter().map(describe).collect();
        let outputs: Vec<_> = session.outputs().iter().map(describe).collect();
        let signature = Arc::new(Signature::of(&inputs, &outputs)?);
        Ok(Self { session, signature, options, half: Vec::new(), padded: Vec::new(), widened: Vec::new() })
    }

    /// What the graph's author wrote under `key`.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.session.metadata().ok()?.custom(key)
    }

    /// Whether the graph says of itself that its weights are random.
    pub fn is_untrained(&self) -> bool {
        self.metadata("untrained").is_some_and(|value| value == "true")
    }

    /// What the graph takes and gives.
    pub fn signature(&self) -> &Arc<Signature> {
        &self.signature
    }
}

impl Executor for OrtExecutor {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        let signature = &*self.signature;
        signature.check(batch)?;
        let engine = |error: ort::Error| RunError::Engine(first_line(&error.to_string()));
        let mut shape = batch.shape();
        let mut data = batch.data();
        let run_as = signature.fixed_batch.unwrap_or_else(|| self.options.padded_len(batch.len()));
        if run_as != batch.len() {
            self.padded.clear();
            self.padded.extend_from_slice(data);
            self.padded.resize(run_as * batch.image_len(), 0.0);
            (shape[0], data) = (run_as, &self.padded);
        }
        let inputs = if signature.half_input {
            self.half.clear();
            self.half.extend(data.iter().map(|&value| f16::from_f32(value)));
            TensorRef::from_array_view((shape, &*self.half)).map_err(engine)?.into_dyn()
        } else {
            TensorRef::from_array_view((shape, data)).map_err(engine)?.into_dyn()
        };
        let outputs = self.session.run([inputs.into()]).map_err(engine)?;
        let output = &outputs[signature.output.name.as_str()];
        let values = if signature.half_output {
            let (_, values) = output.try_extract_tensor::<f16>().map_err(engine)?;
            self.widened.clear();
            self.widened.extend(values.iter().map(|value| value.to_f32()));
            &*self.widened
        } else {
            output.try_extract_tensor::<f32>().map_err(engine)?.1
        };
        let classes = values.len() / shape[0];
        logits.fill(classes, &values[..classes * batch.len()]);
        Ok(())
    }
}

/// The version of ONNX Runtime in a file, for messages; `None` where it cannot be told.
pub fn build_info() -> &'static str {
    ort::info()
}

impl<'a> From<&'a Path> for GraphSource<'a> {
    fn from(path: &'a Path) -> Self {
        Self::File(path)
    }
}
