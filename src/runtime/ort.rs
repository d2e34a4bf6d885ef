//! ONNX Runtime: the environment, its providers, and the sessions that are made on them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use ort::{
    device::Device,
    environment::Environment,
    ep::{self, ExecutionProvider},
    memory::DeviceType,
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

use super::{
    Engine, GraphSource, LibraryError, Precision, Processor, Provider, ProviderError, SignatureError, library,
    pairs_may_overflow,
    plugin::{self, Plugin},
    profile::tensorrt_profile,
    session_threads::ThreadStarter,
    shared_object,
};
use crate::onnx::{self, DataType, Fp16Error, GraphBuilder, shapeless, untyped, value_info};

/// The loaded ONNX Runtime. Cheap to clone; one for a process.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: Arc<Path>,
    plugins: Arc<Plugins>,
}

/// Whether each provider's library could be loaded. Each is tried once in a process, when the first model may use it.
#[derive(Default)]
struct Plugins {
    openvino: OnceLock<Result<PathBuf, ProviderError>>,
    tensorrt: OnceLock<Result<PathBuf, ProviderError>>,
    /// Part of ONNX Runtime, not a plugin; tried once like the others.
    cuda: OnceLock<Result<PathBuf, ProviderError>>,
    /// Set when the missing pinned memory was logged, so that a hundred sessions log it once.
    unpinned: OnceLock<()>,
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
    /// Its file cannot be read for the conversion.
    #[error(transparent)]
    File(#[from] onnx::ReadError),
    /// The provider needs an fp16 graph to compute in fp16, and the network cannot be converted.
    #[error("it cannot be converted to fp16: {0}; set precision = \"fp32\"")]
    Conversion(#[from] Fp16Error),
}

impl From<ort::Error> for LoadError {
    fn from(error: ort::Error) -> Self {
        Self::Engine(in_words(&error.to_string()))
    }
}

impl From<ort::Error<SessionBuilder>> for LoadError {
    fn from(error: ort::Error<SessionBuilder>) -> Self {
        Self::Engine(in_words(&error.to_string()))
    }
}

/// The cause in an error message, without the places in ONNX Runtime's source that it passed on its way.
pub(super) fn in_words(message: &str) -> String {
    // The system's loader: a library is missing, or of another version.
    let message = message.rsplit_once(" with error: ").map_or(message, |(_, words)| words);
    // NVIDIA's libraries: `CUDA failure 2: out of memory ; GPU=0 ; hostname=…`.
    let failure = ["CUDA failure ", "CUDNN failure ", "CUBLAS failure "].iter().find_map(|sign| message.rfind(sign));
    let message = failure.map_or(message, |start| message[start..].split(" ; ").next().unwrap_or_default());
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
            Provider::Cuda => {
                self.plugins.cuda.get_or_init(|| self.cuda()).as_ref().map(drop).map_err(ProviderError::clone)
            }
            Provider::Tensorrt => {
                plugin::gpu_visible(provider).and_then(|()| self.registered(&plugin::TENSORRT).map(drop))
            }
        }
    }

    /// A text that changes when ONNX Runtime, a plugin or a GPU changes: a measurement holds for one installation only.
    pub fn fingerprint(&self) -> String {
        let plugins = [&self.plugins.openvino, &self.plugins.tensorrt];
        let registered = plugins.into_iter().filter_map(|plugin| plugin.get()?.as_ref().ok());
        let plugins = registered.map(|path| plugin::fingerprint(path)).collect::<Vec<_>>().join(" ");
        format!("{} {plugins} {}", build_info(), plugin::gpus(Path::new(plugin::DRIVER_FOLDER)))
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
            cause: in_words(&error.to_string()),
        })?;
        if self.devices(plugin.ep, device_type(provider)).next().is_none() {
            let cause = plugin::offers_nothing(provider, &path, &Processor::of_this_machine());
            return Err(ProviderError::NoDevice { provider, cause });
        }
        tracing::debug!(%provider, path = %path.display(), "plugin registered");
        Ok(path)
    }

    /// CUDA is part of the GPU build of ONNX Runtime. The libraries that it needs are looked for first, because their
    /// absence makes the clearest message. Then it has to load a tiny network: otherwise a broken CUDA would look like
    /// a fault of the first model.
    fn cuda(&self) -> Result<PathBuf, ProviderError> {
        let provider = Provider::Cuda;
        plugin::gpu_visible(provider)?;
        if !ep::CUDA::is_available().unwrap_or(false) {
            return Err(ProviderError::NotBuiltIn { provider, runtime: self.library.to_path_buf() });
        }
        let path = plugin::find_cuda(&self.library)?;
        match self.try_cuda() {
            Ok(()) => Ok(path),
            Err(cause) => Err(ProviderError::Unusable { provider, path, cause: in_words(&cause) }),
        }
    }

    fn try_cuda(&self) -> Result<(), String> {
        let builder = Session::builder(&self.environment).map_err(|error| error.to_string())?;
        let with_cuda = builder.with_execution_providers([cuda_options(Precision::Fp32).build().error_on_failure()]);
        let mut builder = with_cuda.map_err(|error| error.to_string())?;
        builder.commit_from_memory(&smallest_network()).map(drop).map_err(|error| error.to_string())
    }

    fn devices(&self, ep: &str, kind: DeviceType) -> impl Iterator<Item = Device<'_>> {
        self.environment
            .devices()
            .filter(move |device| device.ep().is_ok_and(|name| name == ep) && device.hardware_device().ty() == kind)
    }

    /// The same runtime, as if it had logged nothing yet.
    #[cfg(test)]
    pub(super) fn saying_all_anew(self) -> Self {
        Self { plugins: Arc::default(), ..self }
    }

    /// Says that there is no pinned memory: once, since there can be many sessions.
    pub(super) fn warn_unpinned(&self, cause: &ort::Error) {
        let cause = in_words(&cause.to_string());
        self.plugins.unpinned.get_or_init(|| {
            tracing::warn!("no pinned memory ({cause}): copies to the GPU go through ordinary memory, slower");
        });
    }

    /// A session that gives all outputs of its graph.
    pub(super) fn session(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<Session, LoadError> {
        self.session_exposing(graph, options, &[])
    }

    /// The same; values inside the graph, `exposed`, are further outputs of it.
    pub(super) fn session_exposing(
        &self,
        graph: GraphSource<'_>,
        options: SessionOptions,
        exposed: &[String],
    ) -> Result<Session, LoadError> {
        Self::commit(self.builder(graph, options)?, graph, options, exposed)
    }

    /// Makes the session that was prepared.
    pub(super) fn commit(
        mut builder: SessionBuilder,
        graph: GraphSource<'_>,
        options: SessionOptions,
        exposed: &[String],
    ) -> Result<Session, LoadError> {
        if options.engine.needs_fp16_graph() {
            return Ok(builder.commit_from_memory(&fp16_file(graph, exposed)?)?);
        }
        Ok(match graph {
            // Its outputs were added before it was written.
            GraphSource::Prepared(path) => builder.commit_from_file(path)?,
            GraphSource::File(path) if exposed.is_empty() => builder.commit_from_file(path)?,
            GraphSource::Memory(bytes) if exposed.is_empty() => builder.commit_from_memory(bytes)?,
            GraphSource::File(path) => {
                let file =
                    onnx::with_outputs(onnx::read_bytes(path)?.into(), exposed.iter().map(|value| untyped(value)));
                // Weights in other files stay there; a graph in memory has no folder, so it is told.
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let mut builder = match folder.to_str() {
                    Some(folder) => builder.with_config_entry(WEIGHTS_FOLDER, folder)?,
                    None => builder,
                };
                builder.commit_from_memory(&file)?
            }
            GraphSource::Memory(bytes) => {
                let file = onnx::with_outputs(bytes.to_vec(), exposed.iter().map(|value| untyped(value)));
                builder.commit_from_memory(&file)?
            }
        })
    }

    pub(super) fn builder(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<SessionBuilder, LoadError> {
        let SessionOptions { engine, intra_threads, max_batch_size } = options;
        engine.check().map_err(ProviderError::from)?;
        self.provider(engine.provider)?;
        let builder = Session::builder(&self.environment)?
            .with_intra_threads(intra_threads)?
            // A spinning thread takes a core from decoding and from the other sessions.
            .with_intra_op_spinning(false)?
            // It would quantize the layers of an int8 graph that were left in fp32 because 8 bits ruin the answers, and
            // with one scale for all of their weights.
            .with_config_entry("optimization.disable_specified_optimizers", "WeightBiasQuantization")?;
        let builder = match ThreadStarter::of_this_thread() {
            Some(starter) => builder.with_thread_manager(starter)?,
            None => builder,
        };
        let builder = match graph {
            GraphSource::Prepared(_) => builder.with_optimization_level(GraphOptimizationLevel::Disable)?,
            GraphSource::File(_) | GraphSource::Memory(_) => builder,
        };
        let plugin = match engine.provider {
            // Once a plugin is registered, it takes every session that names no device. So the processor is named as
            // well.
            Provider::Cpu => {
                // Exact sums for 8-bit weights, which costs speed; graphs with 7-bit weights are left as they are.
                let builder = if pairs_may_overflow() { builder.with_config_entry(EXACT_SUMS, "1")? } else { builder };
                let own = self.devices("CPUExecutionProvider", DeviceType::CPU);
                // It would keep one block for all values of a run, of each size of batch, beside the blocks of the size's first run: half as
                // much again as a run needs, for nothing (docs/load.md).
                return Ok(builder.with_memory_pattern(false)?.with_devices(own, None)?);
            }
            Provider::Cuda => {
                return Ok(
                    builder.with_execution_providers([cuda_options(engine.precision).build().error_on_failure()])?
                );
            }
            Provider::Openvino => &plugin::OPENVINO,
            Provider::Tensorrt => &plugin::TENSORRT,
        };
        let settings = match engine.provider {
            Provider::Openvino => vec![("load_config", openvino_config(engine, intra_threads))],
            _ => graph.read()?.graph.map_or_else(Vec::new, |graph| tensorrt_profile(&graph, max_batch_size)),
        };
        let settings: Vec<_> =
            settings.into_iter().map(|(key, value)| (format!("{}.{key}", plugin.ep), value)).collect();
        // One device: a graph is not spread over several.
        let device = self.devices(plugin.ep, device_type(engine.provider)).take(1);
        Ok(builder.with_devices(device, Some(&settings))?)
    }
}

/// The network as an ONNX file in fp16. The fp32 graph is in memory once, and only until the conversion is done.
///
/// * `exposed`: values inside it that become outputs, in fp32 as all that comes out
fn fp16_file(graph: GraphSource<'_>, exposed: &[String]) -> Result<Vec<u8>, LoadError> {
    let mut model = graph.read()?;
    onnx::expose(&mut model, exposed.iter().map(|value| shapeless(value, DataType::Float)));
    Ok(onnx::into_bytes(onnx::to_fp16(model)?))
}

fn cuda_options(precision: Precision) -> ep::CUDA {
    ep::CUDA::default()
        // The exhaustive search takes seconds for each new shape and gains nothing for a ResNet.
        .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
        // 1.08 times as fast in fp32, 1.1 to 1.8 times in fp16 (ResNet-50, an H100).
        .with_prefer_nhwc(true)
        // There are several sessions of each network: none takes more memory than it needs.
        .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
        // fp32 means fp32: TF32 keeps 10 bits of the fraction. But it is the word for all tensor cores: without it, plans for
        // fp16 are refused one by one, with a line of log each, before they are made with tensor cores after all.
        .with_tf32(precision == Precision::Fp16)
}

/// A network of one node.
fn smallest_network() -> Vec<u8> {
    let mut graph = GraphBuilder::new("smallest");
    let x = graph.input(value_info("x", DataType::Float, &[1]));
    let y = graph.relu("y", &x);
    graph.output(&y, value_info("y", DataType::Float, &[1]));
    onnx::into_bytes(graph.finish(8, 17, &[]))
}

fn device_type(provider: Provider) -> DeviceType {
    if provider.is_gpu() { DeviceType::GPU } else { DeviceType::CPU }
}

/// ONNX Runtime's name for the folder of the weights of a graph that came without its file.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

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
        // Pinned, the threads of every session sit on the same first cores: two sessions of one thread then take turns,
        // 70 images/s instead of 128 (ResNet-50, int8, two cores), and decoding cannot step aside.
        "ENABLE_CPU_PINNING": "NO",
    }})
    .to_string()
}

/// What the loaded ONNX Runtime says of its build.
pub fn build_info() -> &'static str {
    ort::info()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::{Executor as _, for_tests},
        tensor::{Batch, Layout, Logits},
    };

    const BUILT_IN: GraphSource<'_> = GraphSource::Memory(include_bytes!("../../models/resnet20-cifar10/1/model.onnx"));

    fn images(count: usize) -> Batch {
        let mut batch = Batch::new(Layout::Nchw, 32, 32, count);
        for image in 0..count {
            let values = batch.push().iter_mut().enumerate();
            values.for_each(|(place, value)| *value = ((place * 7 + image * 131) % 255) as f32 / 128.0 - 1.0);
        }
        batch
    }

    #[test]
    fn what_is_wrong_is_told_without_the_way_it_came() {
        let message = "/src/provider_bridge_ort.cc:2043 onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : \
                       Failed to load library /opt/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot \
                       open shared object file: No such file or directory\nmore";
        assert_eq!(in_words(message), "libcublasLt.so.13: cannot open shared object file: No such file or directory");
        let message = "/src/cuda_call.cc:154 onnxruntime::CudaCall(ERRTYPE, int) [with ERRTYPE = cudaError] CUDA failure 100: no \
                       CUDA-capable device is detected ; GPU=-1 ; hostname=vm ; file=/src/cuda.cc ; line=355 ; ";
        assert_eq!(in_words(message), "CUDA failure 100: no CUDA-capable device is detected");
        assert_eq!(in_words("No graph was found\nin it"), "No graph was found");
    }

    #[test]
    fn a_network_that_is_converted_on_the_way_to_a_gpu_answers_on_the_processor_nearly_as_before() {
        let file = fp16_file(BUILT_IN, &[]).unwrap();
        let GraphSource::Memory(original) = BUILT_IN else { unreachable!() };
        assert!(file.len() * 100 < original.len() * 52, "{} of {} bytes", file.len(), original.len());
        let options = SessionOptions::reference(1, 4);
        let (mut converted, mut plain) = (Logits::default(), Logits::default());
        let mut executor = for_tests().executor(GraphSource::Memory(&file), options).unwrap();
        executor.run(&images(3), &mut converted).unwrap();
        let mut reference = for_tests().executor(BUILT_IN, options).unwrap();
        reference.run(&images(3), &mut plain).unwrap();
        assert_eq!(executor.signature(), reference.signature());
        for (got, want) in converted.rows().zip(plain.rows()) {
            let largest = want.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 5e-3 * largest), "{got:?} {want:?}");
        }
        assert_eq!(converted.rows().len(), 3);
    }

    #[test]
    fn a_value_that_a_converted_network_gives_out_claims_no_shape_of_its_own() {
        let file = fp16_file(BUILT_IN, &["flatten".to_owned()]).unwrap();
        let session = for_tests().session(GraphSource::Memory(&file), SessionOptions::reference(1, 4)).unwrap();
        let features = session.outputs().iter().find(|output| output.name() == "flatten").unwrap();
        let shape = features.dtype().tensor_shape().unwrap().to_vec();
        // Where a wrong one is claimed, the engine warns at each load and keeps the wrong one.
        assert_eq!(shape, [-1, 64]);
    }
}
