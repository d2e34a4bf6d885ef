//! ONNX Runtime: the environment, sessions, and the [`Executor`] that serves.

use std::{path::Path, sync::Arc};

use half::f16;
use ort::{
    environment::Environment,
    session::{Session, builder::SessionBuilder},
    value::{TensorElementType, TensorRef, ValueType},
};

use super::{Executor, GraphSource, LibraryError, RunError, Signature, SignatureError, library};
use crate::{
    runtime::signature::GraphTensor,
    tensor::{Batch, Logits},
};

/// The loaded ONNX Runtime. Cheap to clone; one for a process.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
}

/// How a session uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads that share one run.
    pub intra_threads: usize,
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
        let environment = ort::init_from(&path)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("resnetd")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { environment })
    }

    /// Compiles a graph into a session.
    ///
    /// # Errors
    /// [`LoadError::Engine`] for a file that is no ONNX graph, [`LoadError::Signature`] for one that classifies no images.
    pub fn executor(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<OrtExecutor, LoadError> {
        OrtExecutor::new(self.session(graph, options)?)
    }

    /// A session on the processor.
    pub(super) fn session(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<Session, LoadError> {
        let mut builder = Session::builder(&self.environment)?
            .with_intra_threads(options.intra_threads)?
            // A spinning thread takes a core from decoding and from the other sessions.
            .with_intra_op_spinning(false)?;
        Ok(match graph {
            GraphSource::File(path) => builder.commit_from_file(path)?,
            GraphSource::Memory(bytes) => builder.commit_from_memory(bytes)?,
        })
    }
}

/// One session with what the serving path must know of its graph.
pub struct OrtExecutor {
    session: Session,
    signature: Arc<Signature>,
    /// For a graph with 16-bit input: the batch, converted.
    half: Vec<f16>,
    /// For a graph with a fixed batch: the batch, filled up with zeros.
    padded: Vec<f32>,
    /// For a graph with 16-bit output.
    widened: Vec<f32>,
}

impl OrtExecutor {
    fn new(session: Session) -> Result<Self, LoadError> {
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
        Ok(Self { session, signature, half: Vec::new(), padded: Vec::new(), widened: Vec::new() })
    }

    /// What the graph's author wrote under `key`.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.session.metadata().ok()?.custom(key)
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
        if let Some(fixed) = signature.fixed_batch.filter(|&fixed| fixed != batch.len()) {
            self.padded.clear();
            self.padded.extend_from_slice(data);
            self.padded.resize(fixed * batch.image_len(), 0.0);
            (shape[0], data) = (fixed, &self.padded);
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
