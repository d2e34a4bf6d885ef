//! The [`Executor`] that serves: one session of ONNX Runtime.

use std::sync::Arc;

use ort::{
    session::Session,
    value::{TensorElementType, ValueType},
};

use super::{
    Executor, GraphSource, LoadError, Provider, RunError, Runtime, SessionOptions, Signature, Stated,
    binding::{Bindings, HostMemory},
    element::Converted,
    engine,
    graph_tensor::GraphTensor,
    ort::in_words,
    output::read_rows,
    sizes::Sizes,
};
use crate::tensor::{Batch, Logits};

/// One session with what the serving path must know of its graph.
pub struct OrtExecutor {
    /// For a GPU: input and output in memory that stays. Before the session, so that it is freed first.
    bindings: Option<Bindings>,
    session: Session,
    signature: Arc<Signature>,
    options: SessionOptions,
    /// A session for each size of batch, where the engine wants it so.
    sizes: Option<Sizes>,
    scratch: Scratch,
    /// Of the first run: what a row of every later one has to have.
    classes: Option<usize>,
}

/// Memory that is used again by each run.
#[derive(Default)]
struct Scratch {
    /// For a graph that takes other numbers: the batch, converted.
    converted: Converted,
    /// For a batch that is run as a larger one: filled up with zeros.
    padded: Vec<f32>,
    /// For a graph with 16-bit output.
    widened: Vec<f32>,
}

impl Runtime {
    /// Compiles a graph, of which nothing is known from elsewhere, into a session.
    ///
    /// # Errors
    /// As [`Runtime::executor_for`].
    pub fn executor(&self, graph: GraphSource<'_>, options: SessionOptions) -> Result<OrtExecutor, LoadError> {
        self.executor_for(graph, options, &Stated::default())
    }

    /// Compiles a graph into a session.
    ///
    /// # Errors
    /// [`LoadError::Engine`] for a file that is no ONNX graph, [`LoadError::Signature`] for one that classifies no
    /// images, [`LoadError::Provider`] where the engine is not to be had.
    pub fn executor_for(
        &self,
        graph: GraphSource<'_>,
        options: SessionOptions,
        stated: &Stated,
    ) -> Result<OrtExecutor, LoadError> {
        let session = self.session(graph, options)?;
        let mut executor = OrtExecutor::new(session, options, stated)?;
        if options.engine.provider == Provider::Openvino
            && let Some(sizes) = Sizes::of(self, graph, executor.signature(), options)
        {
            executor.fix_sizes(sizes);
        }
        match HostMemory::of(options.engine.provider) {
            Some(memory) => self.bound(executor, memory),
            None => Ok(executor),
        }
    }

    /// Lets an executor keep its input and output in memory of its own.
    fn bound(&self, mut executor: OrtExecutor, memory: HostMemory) -> Result<OrtExecutor, LoadError> {
        let bindings = match Bindings::new(executor.session(), memory) {
            Ok(bindings) => bindings,
            Err(cause) if memory == HostMemory::Pinned => {
                self.warn_unpinned(&cause);
                Bindings::new(executor.session(), HostMemory::Pageable)?
            }
            Err(cause) => return Err(cause.into()),
        };
        executor.bind(bindings);
        Ok(executor)
    }
}

impl OrtExecutor {
    pub(super) fn new(session: Session, options: SessionOptions, stated: &Stated) -> Result<Self, LoadError> {
        let describe = |outlet: &ort::value::Outlet| match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => GraphTensor {
                name: outlet.name().to_owned(),
                shape: shape.to_vec(),
                element: match ty {
                    TensorElementType::Float32 => "float32".to_owned(),
                    TensorElementType::Float16 => "float16".to_owned(),
                    TensorElementType::Uint8 => "uint8".to_owned(),
                    TensorElementType::Int8 => "int8".to_owned(),
                    other => other.to_string(),
                },
            },
            other => GraphTensor { name: outlet.name().to_owned(), shape: Vec::new(), element: other.to_string() },
        };
        let inputs: Vec<_> = session.inputs().iter().map(describe).collect();
        let outputs: Vec<_> = session.outputs().iter().map(describe).collect();
        let signature = Arc::new(Signature::of(&inputs, &outputs, stated)?);
        Ok(Self {
            bindings: None,
            session,
            signature,
            options,
            sizes: None,
            scratch: Scratch::default(),
            classes: None,
        })
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// From now on, batches are copied into memory that the engine knows, and filled up to a size that was warmed.
    pub(super) fn bind(&mut self, bindings: Bindings) {
        self.bindings = Some(bindings);
    }

    /// From now on, batches of each size are run by a session of their own.
    pub(super) fn fix_sizes(&mut self, sizes: Sizes) {
        self.sizes = Some(sizes);
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

    /// The size that a batch of `len` images is filled up to: one that was run before the first request.
    fn padded_len(&self, len: usize) -> usize {
        let SessionOptions { engine, max_batch_size, .. } = self.options;
        self.signature.fixed_batch.unwrap_or_else(|| match self.bindings {
            // A GPU's sizes, also in a test that binds memory to a session of the processor.
            Some(_) => engine::bucket(len, max_batch_size),
            None => engine.provider.padded_len(len, max_batch_size),
        })
    }

    fn try_run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), LoadError> {
        let run_as = self.padded_len(batch.len());
        if let Some(bindings) = &mut self.bindings {
            return Ok(bindings.run(&mut self.session, &self.signature, batch, run_as, logits)?);
        }
        let session = match &mut self.sizes {
            Some(sizes) => sizes.session(run_as)?,
            None => &mut self.session,
        };
        Ok(self.scratch.run(session, &self.signature, batch, run_as, logits)?)
    }
}

impl Scratch {
    /// Lets the engine read the batch where it lies, as far as it has the right size and type.
    fn run(
        &mut self,
        session: &mut Session,
        signature: &Signature,
        batch: &Batch,
        run_as: usize,
        logits: &mut Logits,
    ) -> ort::Result<()> {
        let mut shape = batch.shape();
        let mut data = batch.data();
        if run_as != batch.len() {
            self.padded.clear();
            self.padded.extend_from_slice(data);
            self.padded.resize(run_as * batch.image_len(), 0.0);
            (shape[0], data) = (run_as, &self.padded);
        }
        let inputs = self.converted.tensor(signature.element, shape, data)?;
        let outputs = session.run([inputs.into()])?;
        read_rows(&outputs[signature.output.name.as_str()], batch.len(), run_as, &mut self.widened, logits)
    }
}

impl Executor for OrtExecutor {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        self.signature.check(batch)?;
        self.try_run(batch, logits).map_err(|error| RunError::Engine(in_words(&error.to_string())))?;
        let got = logits.rows().next().map_or(0, <[f32]>::len);
        match *self.classes.get_or_insert(got) {
            classes if classes == got => Ok(()),
            classes => Err(RunError::Engine(format!("it gave {got} classes for an image, and {classes} at first"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::Mutex,
    };

    use super::*;
    use crate::{runtime::for_tests, tensor::Layout};

    const BUILT_IN: GraphSource<'_> = GraphSource::Memory(include_bytes!("../../models/resnet20-cifar10/1/model.onnx"));

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn images(count: usize) -> Batch {
        let mut batch = Batch::new(Layout::Nchw, 32, 32, count);
        for image in 0..count {
            let values = batch.push().iter_mut().enumerate();
            values.for_each(|(place, value)| *value = ((place * 7 + image * 131) % 255) as f32 / 128.0 - 1.0);
        }
        batch
    }

    #[test]
    fn without_pinned_memory_ordinary_memory_serves_and_the_log_says_so_once() {
        let runtime = for_tests().saying_all_anew();
        let options = SessionOptions::reference(1, 4);
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let mut executors = tracing::subscriber::with_default(subscriber, || {
            [0, 1].map(|_| runtime.bound(runtime.executor(BUILT_IN, options).unwrap(), HostMemory::Pinned).unwrap())
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("WARN").count(), 1, "{log}");
        assert!(log.contains("no pinned memory"), "{log}");

        let (mut bound, mut plain) = (Logits::default(), Logits::default());
        executors[1].run(&images(4), &mut bound).unwrap();
        runtime.executor(BUILT_IN, options).unwrap().run(&images(4), &mut plain).unwrap();
        assert!(bound.rows().eq(plain.rows()));
    }
}
