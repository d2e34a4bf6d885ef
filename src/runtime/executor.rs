//! The [`Executor`] that serves: one session of ONNX Runtime.

use std::{collections::BTreeMap, sync::Arc};

use ort::{
    session::Session,
    value::{TensorElementType, ValueType},
};

use super::{
    Executor, GraphSource, LoadError, Provider, RunError, Runtime, SessionOptions, Signature, Stated,
    binding::{Bindings, HostMemory},
    engine,
    fetch::{Fetch, FetchedRows},
    graph_tensor::GraphTensor,
    ort::in_words,
    scratch::Scratch,
    sizes::Sizes,
};
use crate::tensor::{Batch, FeatureMaps, Logits};

/// One session with what the serving path must know of its graph.
pub struct OrtExecutor {
    /// For a GPU: input and output in memory that stays. Before the session, so that it is freed first.
    bindings: Option<Bindings>,
    session: Session,
    signature: Arc<Signature>,
    fetch: Fetch,
    /// Values inside the graph that its sessions give out.
    exposed: Vec<String>,
    options: SessionOptions,
    /// A session for each size of batch, where the engine wants it so.
    sizes: Option<Sizes>,
    /// The same on a GPU, for every size but those that `session` runs.
    bound_sizes: BTreeMap<usize, (Bindings, Session)>,
    scratch: Scratch,
    /// Of the first run: what a row of every later one has to have.
    classes: Option<usize>,
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
        let mut exposed = stated.exposed();
        let made = self.session_exposing(graph, options, &exposed);
        let (session, refused) = match made {
            Err(cause) if !exposed.is_empty() => {
                exposed.clear();
                (self.session(graph, options)?, Some(format!("the engine does not give them out: {cause}")))
            }
            made => (made?, None),
        };
        let mut executor = OrtExecutor::new(session, options, stated, exposed, refused)?;
        if options.engine.provider == Provider::Openvino
            && let Some(sizes) = Sizes::of(self, graph, executor.signature(), options, &executor.exposed)
        {
            executor.fix_sizes(sizes);
        }
        match HostMemory::of(options.engine.provider) {
            Some(memory) => {
                let sizes = executor.sizes_of_their_own();
                self.bound(executor, graph, memory, &sizes)
            }
            None => Ok(executor),
        }
    }

    /// Lets an executor keep its input and output in memory of its own, and gives each of `sizes` a session.
    fn bound(
        &self,
        mut executor: OrtExecutor,
        graph: GraphSource<'_>,
        memory: HostMemory,
        sizes: &[usize],
    ) -> Result<OrtExecutor, LoadError> {
        executor.bind(self.bindings(executor.session(), memory)?);
        for &size in sizes {
            let session = self.session_exposing(graph, executor.options, &executor.exposed)?;
            executor.bound_sizes.insert(size, (self.bindings(&session, memory)?, session));
        }
        Ok(executor)
    }

    /// Memory of its own for the input and the output of a session.
    fn bindings(&self, session: &Session, memory: HostMemory) -> Result<Bindings, LoadError> {
        match Bindings::new(session, memory) {
            Err(cause) if memory == HostMemory::Pinned => {
                self.warn_unpinned(&cause);
                Ok(Bindings::new(session, HostMemory::Pageable)?)
            }
            made => Ok(made?),
        }
    }
}

impl OrtExecutor {
    /// * `exposed`: outputs that the graph itself has not, so none of them has the classes
    /// * `refused`: why there are none
    fn new(
        session: Session,
        options: SessionOptions,
        stated: &Stated,
        exposed: Vec<String>,
        refused: Option<String>,
    ) -> Result<Self, LoadError> {
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
        let own: Vec<_> = outputs.iter().filter(|output| !exposed.contains(&output.name)).cloned().collect();
        let signature = Arc::new(Signature::of(&inputs, &own, stated)?);
        let fetch = Fetch::new(&signature, &outputs, stated, refused.as_deref())?;
        Ok(Self {
            bindings: None,
            session,
            signature,
            fetch,
            exposed,
            options,
            sizes: None,
            bound_sizes: BTreeMap::new(),
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

    /// The batch sizes that get a session of their own. On CUDA all but the first: with every change of the size it plans each
    /// convolution anew, which takes 0.2 to 0.5 s for a ResNet-50: with 16 clients 82 images/s instead of 1,030, in fp16 27
    /// instead of 2,240 (an H100, ONNX Runtime 1.31).
    fn sizes_of_their_own(&self) -> Vec<usize> {
        let SessionOptions { engine, max_batch_size, .. } = self.options;
        match (engine.provider, self.signature.fixed_batch) {
            (Provider::Cuda, None) => engine.provider.warmed_sizes(max_batch_size).split_off(1),
            _ => Vec::new(),
        }
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

    /// Why there are no maps, as the end of a sentence; `None` where [`Executor::run_with_maps`] gives them.
    pub fn lacks_maps(&self) -> Option<&str> {
        self.fetch.maps.as_ref().err().map(String::as_str)
    }

    /// Why there are no features, as the end of a sentence; `None` where [`Executor::run_with_features`] gives them.
    pub fn lacks_features(&self) -> Option<&str> {
        self.fetch.features.as_ref().err().map(String::as_str)
    }

    fn try_run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), LoadError> {
        let run_as = self.padded_len(batch.len());
        if let Some((bindings, session)) = self.bound_sizes.get_mut(&run_as) {
            return Ok(bindings.run(session, &self.signature, batch, run_as, logits)?);
        }
        if let Some(bindings) = &mut self.bindings {
            return Ok(bindings.run(&mut self.session, &self.signature, batch, run_as, logits)?);
        }
        self.run_unbound(batch, run_as, FetchedRows { logits, features: None, maps: None })
    }

    /// In memory that the engine gets for this run alone: what is bound has room for the classes and nothing else.
    fn run_unbound(&mut self, batch: &Batch, run_as: usize, rows: FetchedRows<'_>) -> Result<(), LoadError> {
        let session = match (&mut self.sizes, self.bound_sizes.get_mut(&run_as)) {
            (Some(sizes), _) => sizes.session(run_as)?,
            (None, Some((_, session))) => session,
            (None, None) => &mut self.session,
        };
        Ok(self.scratch.run(session, &self.signature, &self.fetch, batch, run_as, rows)?)
    }

    /// What came out, if it has as many classes as ever.
    fn checked(&mut self, outcome: Result<(), LoadError>, logits: &Logits) -> Result<(), RunError> {
        outcome.map_err(|error| match error {
            // A run loads nothing, so only the engine's own words are true of it.
            LoadError::Engine(cause) => RunError::Engine(cause),
            other => RunError::Engine(in_words(&other.to_string())),
        })?;
        let got = logits.rows().next().map_or(0, <[f32]>::len);
        match *self.classes.get_or_insert(got) {
            classes if classes == got => Ok(()),
            classes => Err(RunError::Engine(format!("it gave {got} classes for an image, and {classes} at first"))),
        }
    }
}

impl Executor for OrtExecutor {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        self.signature.check(batch)?;
        let outcome = self.try_run(batch, logits);
        self.checked(outcome, logits)
    }

    fn run_with_features(&mut self, batch: &Batch, logits: &mut Logits, features: &mut Logits) -> Result<(), RunError> {
        self.signature.check(batch)?;
        if let Some(reason) = self.lacks_features() {
            return Err(RunError::Engine(reason.to_owned()));
        }
        let rows = FetchedRows { logits: &mut *logits, features: Some(features), maps: None };
        let outcome = self.run_unbound(batch, self.padded_len(batch.len()), rows);
        self.checked(outcome, logits)
    }

    fn run_with_maps(
        &mut self,
        batch: &Batch,
        logits: &mut Logits,
        features: Option<&mut Logits>,
        maps: &mut FeatureMaps,
    ) -> Result<(), RunError> {
        self.signature.check(batch)?;
        let lacks_features = features.as_ref().and_then(|_| self.lacks_features());
        if let Some(reason) = self.lacks_maps().or(lacks_features) {
            return Err(RunError::Engine(reason.to_owned()));
        }
        let rows = FetchedRows { logits: &mut *logits, features, maps: Some(maps) };
        let outcome = self.run_unbound(batch, self.padded_len(batch.len()), rows);
        self.checked(outcome, logits)
    }

    fn runs_on_its_caller(&self) -> bool {
        self.options.engine.provider == Provider::Cpu
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::Mutex,
    };

    use super::*;
    use crate::{
        runtime::{InnerValue, for_tests},
        tensor::Layout,
    };

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
            [0, 1].map(|_| {
                let executor = runtime.executor(BUILT_IN, options).unwrap();
                runtime.bound(executor, BUILT_IN, HostMemory::Pinned, &[]).unwrap()
            })
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("WARN").count(), 1, "{log}");
        assert!(log.contains("no pinned memory"), "{log}");

        let (mut bound, mut plain) = (Logits::default(), Logits::default());
        executors[1].run(&images(4), &mut bound).unwrap();
        runtime.executor(BUILT_IN, options).unwrap().run(&images(4), &mut plain).unwrap();
        assert!(bound.rows().eq(plain.rows()));
    }

    #[test]
    fn a_session_of_its_own_for_each_size_changes_no_answer_and_no_size() {
        let runtime = for_tests();
        let options = SessionOptions::reference(1, 4);
        let mut plain = runtime.executor(BUILT_IN, options).unwrap();
        let executor = runtime.executor(BUILT_IN, options).unwrap();
        let mut bound = runtime.bound(executor, BUILT_IN, HostMemory::Pageable, &[2, 4]).unwrap();
        let (mut got, mut expected) = (Logits::default(), Logits::default());
        for len in [4, 1, 2, 4, 2, 1] {
            bound.run(&images(len), &mut got).unwrap();
            plain.run(&images(len), &mut expected).unwrap();
            assert!(got.rows().eq(expected.rows()), "{len} images");
        }
        let met = |bindings: &Bindings| bindings.sizes().collect::<Vec<_>>();
        assert_eq!(bound.bindings.as_ref().map(met), Some(vec![1]));
        assert_eq!(bound.bound_sizes.values().map(|(bindings, _)| met(bindings)).collect::<Vec<_>>(), [[2], [4]]);
    }

    /// The built-in network and where its features are, as `inspect` finds them.
    fn with_features() -> Stated {
        let value = Ok("flatten".to_owned());
        Stated {
            features: vec![InnerValue { output: "logits".to_owned(), value, is_output: false }],
            ..Stated::default()
        }
    }

    fn bits(rows: &Logits) -> Vec<u32> {
        rows.rows().flatten().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn features_change_no_bit_of_the_logits_whether_or_not_somebody_asks() {
        let runtime = for_tests();
        let options = SessionOptions::reference(1, 4);
        let mut plain = runtime.executor(BUILT_IN, options).unwrap();
        let made = || runtime.executor_for(BUILT_IN, options, &with_features()).unwrap();
        let mut giving = made();
        let mut bound = runtime.bound(made(), BUILT_IN, HostMemory::Pageable, &[2, 4]).unwrap();
        let mut sized = made();
        sized.fix_sizes(Sizes::of(&runtime, BUILT_IN, sized.signature(), options, &sized.exposed).unwrap());
        let (mut expected, mut logits, mut features) = (Logits::default(), Logits::default(), Logits::default());
        for len in [4, 1, 3, 2] {
            let batch = images(len);
            plain.run(&batch, &mut expected).unwrap();
            for executor in [&mut giving, &mut bound, &mut sized] {
                executor.run(&batch, &mut logits).unwrap();
                assert_eq!(bits(&logits), bits(&expected), "{len} images");
                executor.run_with_features(&batch, &mut logits, &mut features).unwrap();
                assert_eq!(bits(&logits), bits(&expected), "{len} images");
                assert_eq!(features.rows().map(<[f32]>::len).collect::<Vec<_>>(), vec![64; len]);
            }
        }
    }

    #[test]
    fn a_value_that_the_graph_does_not_have_costs_the_features_and_nothing_else() {
        let mut stated = with_features();
        stated.features[0].value = Ok("elsewhere".to_owned());
        let mut executor = for_tests().executor_for(BUILT_IN, SessionOptions::reference(1, 1), &stated).unwrap();
        assert!(
            executor.lacks_features().is_some_and(|reason| reason.starts_with("the engine does not give them out"))
        );
        let (mut logits, mut features) = (Logits::default(), Logits::default());
        executor.run(&images(1), &mut logits).unwrap();
        assert_eq!(logits.rows().len(), 1);
        assert!(executor.run_with_features(&images(1), &mut logits, &mut features).is_err());
    }
}
