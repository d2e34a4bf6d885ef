//! From settings to a plan: which engine, in how many sessions. It is what the settings say, what an earlier
//! measurement found, or what a measurement finds now.
//!
//! Brings together what [`tune`](crate::tune) must not know: a model's graph, its images and its settings.

use std::{
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::{
    LoadStep, LoadSteps, Manifest, ModelError,
    activation::{Endings, needed_after},
    demand::Demand,
    first_runs::{Manner, first_runs},
    kept_weights::{KeptWeights, WeightsKey},
    machine::Machine,
    plan::{Earlier, EnginePlan, TuningReport},
    prepared::Prepared,
    warm_up::WarmUpImages,
    wishes::{may_add_one, wishes_of},
};
use crate::{
    onnx,
    postprocess::Activation,
    runtime::{
        Engine, Executor, GraphSource, LoadError, OrtExecutor, Processor, Provider, RunError, SessionOptions,
        SharedWeights, Stated, build_info,
    },
    settings::Goal,
    tensor::{Batch, Logits},
    tune::{
        Candidate, Circumstances, CircumstancesWatch, Measurement, PreparationLoad,
        bench::{Effort, Search, Workbench},
        cache::{Cache, Entry, Found, Key},
        choose::{Choice, Rules, choose, for_one_alone},
        space::{self, Engines, NetworkFacts, Wishes},
    },
};

/// What was found (`None` if nothing could be measured), and what was passed over with the reason.
type Measured = (Option<Found>, Vec<(Candidate, String)>);

/// Told what is measured next, and how many candidates there are.
type Progress<'a> = &'a mut dyn FnMut(Candidate, usize);

/// A model on a machine: what a plan is made for.
pub(super) struct Tuning<'a> {
    pub(super) machine: &'a Machine,
    pub(super) graph: GraphSource<'a>,
    /// Of the file; for the cache.
    pub(super) digest: &'a str,
    /// Of what stays of it with other weights.
    pub(super) structure: &'a str,
    pub(super) network: NetworkFacts,
    /// How its outputs end.
    pub(super) endings: &'a Endings,
    pub(super) manifest: &'a Manifest,
    /// What it and the labels say of the graph's ends.
    pub(super) stated: Stated,
    /// What it takes, and what there is.
    pub(super) demand: Demand,
    /// Told what is done.
    pub(super) steps: &'a LoadSteps,
    /// Whether what was measured earlier counts.
    pub(super) earlier: Earlier,
    /// Its weights, if sessions of it share them; until the last of these is made.
    pub(super) shared: OnceLock<Option<SharedWeights>>,
}

/// From so much on weights are shared by sessions: of a small network they are less than the rest of a session.
const LEAST_SHARED_BYTES: u64 = 8 << 20;

impl Tuning<'_> {
    /// Brings the weights into the order that sessions on the processor want, once for all of them, or finds them kept from an earlier
    /// start. Done before the first session is made if not sooner. Each session has its own where they are elsewhere, or few, or in 8
    /// bits, which each packs for itself; and, with a warning, where they cannot be written.
    pub(super) fn prepare(&self, engine: Engine) -> GraphSource<'_> {
        let pays = engine == Engine::REFERENCE && !self.network.quantized && self.network.bytes >= LEAST_SHARED_BYTES;
        let shared = if pays { self.shared.get_or_init(|| self.shared_weights()).as_ref() } else { None };
        shared.map_or(self.graph, SharedWeights::graph)
    }

    fn shared_weights(&self) -> Option<SharedWeights> {
        let kept = KeptWeights::of(&self.manifest.runtime);
        let processor = Processor::of_this_machine();
        let key = WeightsKey {
            resnetd: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.digest.to_owned(),
            outputs: self.stated.exposed(),
            onnx_runtime: build_info().to_owned(),
            processor: processor.name,
            features: processor.features,
        };
        if let Some(shared) = kept.get(&key) {
            return Some(shared);
        }
        match self.machine.runtime.share_weights(self.graph, &self.stated) {
            Ok(shared) => {
                kept.put(&key, &shared);
                Some(shared)
            }
            Err(cause) => {
                let graph = self.graph;
                tracing::warn!(
                    "the weights of {graph} are not prepared for all of its sessions, each does it for itself: {cause}"
                );
                None
            }
        }
    }

    /// Makes the sessions of a candidate.
    pub(super) fn open(&self, candidate: Candidate, max_batch_size: usize) -> Result<Vec<OrtExecutor>, LoadError> {
        let Candidate { engine, shape } = candidate;
        let options = SessionOptions { engine, intra_threads: shape.intra_threads, max_batch_size };
        let at_once = self.steps.at_once(engine.provider);
        self.machine.runtime.executors_for(self.prepare(engine), options, &self.stated, shape.instances, at_once)
    }

    /// The largest batch up to `wanted` that memory allows for a candidate; just `wanted` where it was asked for.
    ///
    /// # Errors
    /// [`ModelError::Memory`].
    pub(super) fn fitting(&self, candidate: Candidate, wanted: usize) -> Result<usize, ModelError> {
        let (provider, sessions) = (candidate.engine.provider, candidate.shape.instances);
        if self.manifest.batching.max_batch_size == 0 {
            return self.demand.largest_batch(provider, sessions, wanted);
        }
        self.demand.check(provider, sessions, wanted).map(|()| wanted)
    }

    /// A session on the processor for the quantized network without the rounding of its activations. `None` for a
    /// network that is not quantized, or whose form does not allow taking the rounding out.
    fn without_rounding(&self) -> Option<OrtExecutor> {
        if !self.network.quantized {
            return None;
        }
        let file = onnx::into_bytes(onnx::without_rounding(self.graph.read().ok()?)?);
        let options = SessionOptions::reference(self.machine.cores(), 1);
        let stated = Stated { features: Vec::new(), maps: Vec::new(), ..self.stated.clone() };
        self.machine.runtime.executor_for(GraphSource::Memory(&file), options, &stated).ok()
    }

    /// Finds the plan. Where the settings leave something open, an earlier measurement is looked up, or a short one is
    /// made.
    pub(super) fn plan(&self) -> Result<EnginePlan, ModelError> {
        let settings = &self.manifest.runtime;
        let wishes = wishes_of(self.manifest);
        let processor = Processor::of_this_machine();
        let engines = self.engines(&wishes, &processor)?;
        let choices: usize = engines.usable.iter().map(|&engine| self.candidates(&wishes, engine).len()).sum();
        if !settings.tune || choices == 1 {
            let reason = if settings.tune { "nothing is left to choose" } else { "as set; [runtime] tune is off" };
            return Ok(self.untuned(&wishes, engines.usable[0], reason));
        }
        // The look into the cache as well: what an equal model before this one has measured is there by then.
        self.steps.begin(LoadStep::WaitingToMeasure);
        let _alone = self.machine.measure_alone();
        let cache = self.cache();
        let key = self.key(&wishes, &processor, &engines);
        let earlier = if self.earlier == Earlier::Counts { self.kept(&cache, &key) } else { None };
        if let Some(Entry { key: of, found, taken }) = earlier {
            let taken = taken.map(|taken| format!(" ({taken})")).unwrap_or_default();
            let when = if of == key { "at an earlier start" } else { "with other weights" };
            let reason = format!("measured {when}{taken}: {}", found.reason);
            return Ok(self.planned(&wishes, &found, reason));
        }
        let watch = CircumstancesWatch::start();
        let (found, passed_over) = self.measure(&wishes, &engines, Effort::QUICK, Depth::Promising, &mut |_, _| {})?;
        for (candidate, reason) in passed_over {
            tracing::info!("{} in {} not taken: {reason}", candidate.engine, candidate.shape);
        }
        let Some(found) = found else {
            return Ok(self.untuned(&wishes, engines.usable[0], "nothing else could be measured or held its answers"));
        };
        let plan = self.planned(&wishes, &found, found.reason.clone());
        self.keep(&cache, Entry { key, found, taken: Some(watch.end()) });
        Ok(plan)
    }

    /// What was found for this question before: for this very file, else for the same network with other weights. Those say nothing of how long a run
    /// takes, but they may decide whether an engine's answers hold, so that is taken over only where the reference itself was chosen.
    fn kept(&self, cache: &Cache, key: &Key) -> Option<Entry> {
        cache.get(key).or_else(|| {
            let mut entry = cache.get(&self.with_other_weights(key))?;
            entry.found.chosen.drift = None;
            Some(entry)
        })
    }

    fn keep(&self, cache: &Cache, entry: Entry) {
        cache.put(&entry);
        if entry.found.chosen.candidate.engine == Engine::REFERENCE {
            cache.put(&Entry { key: self.with_other_weights(&entry.key), ..entry });
        }
    }

    fn with_other_weights(&self, key: &Key) -> Key {
        Key { model: format!("any weights of {}", self.structure), ..key.clone() }
    }

    /// Measures everything thoroughly, and keeps it for the server's next start.
    ///
    /// * `progress`: told what is measured next, and how many candidates there are
    pub(super) fn report(&self, progress: Progress<'_>) -> Result<TuningReport, ModelError> {
        let wishes = wishes_of(self.manifest);
        let processor = Processor::of_this_machine();
        let engines = self.engines(&wishes, &processor)?;
        let watch = CircumstancesWatch::start();
        let (found, passed_over) = self.measure(&wishes, &engines, Effort::THOROUGH, Depth::Everything, progress)?;
        let taken = Some(watch.end());
        let found = found.ok_or_else(|| ModelError::Unmeasured {
            reasons: passed_over.iter().map(|(it, why)| format!("{}: {why}", it.engine)).collect::<Vec<_>>().join("; "),
        })?;
        self.keep(&self.cache(), Entry { key: self.key(&wishes, &processor, &engines), found: found.clone(), taken });
        Ok(TuningReport { found, passed_over, processor: processor.name, quantized: self.network.quantized })
    }

    /// What the server would take over at its next start; `None` where it would measure.
    pub(super) fn earlier(&self) -> Result<Option<(TuningReport, Option<Circumstances>)>, ModelError> {
        let wishes = wishes_of(self.manifest);
        let processor = Processor::of_this_machine();
        let engines = self.engines(&wishes, &processor)?;
        let entry = self.kept(&self.cache(), &self.key(&wishes, &processor, &engines));
        let (processor, quantized) = (processor.name, self.network.quantized);
        Ok(entry.map(|Entry { found, taken, .. }| {
            (TuningReport { found, passed_over: Vec::new(), processor, quantized }, taken)
        }))
    }

    fn measure(
        &self,
        wishes: &Wishes,
        engines: &Engines,
        effort: Effort,
        depth: Depth,
        progress: Progress<'_>,
    ) -> Result<Measured, ModelError> {
        let settings = &self.manifest.runtime;
        // If provider and precision were both asked for, their answers are taken as they are.
        let compare_answers = wishes.provider.is_none() || wishes.precision.is_none();
        let first = if compare_answers { Engine::REFERENCE } else { engines.usable[0] };
        let yardstick = self.candidates(wishes, first)[0];
        let largest = |network| space::default_batch(wishes, first.provider, network);
        let most = self.fitting(yardstick, largest(self.network))?;
        self.steps.begin(LoadStep::Measuring);
        let mut sessions = self.open(yardstick, most).map_err(|cause| self.graph_error(cause))?;
        let signature = sessions[0].signature().clone();
        let prepared = Prepared::new(self.manifest, &signature)?;
        let mut images = WarmUpImages::new(&prepared.spec, prepared.normalizer, prepared.size);
        // What would be refused after all measurements is refused before.
        let sizes: &[usize] = if most > 1 { &[1, 2] } else { &[1] };
        let manner = Manner { at_once: false, again: yardstick.engine.provider.keeps_of_a_run(), shown: None };
        let seen = first_runs(&mut sessions[..1], &mut images, sizes, signature.fixed_batch, manner)?;
        let fixed_batch = if seen.one_at_a_time.is_some() { Some(1) } else { signature.fixed_batch };
        let network = NetworkFacts { fixed_batch, ..self.network };
        let most = most.min(largest(network));
        let mut rules = Rules {
            goal: wishes.goal,
            max_probability_drift: settings.max_probability_drift,
            default_drift: None,
            untrained: sessions[0].is_untrained(),
            least_batch: most,
            may_add_one: may_add_one(wishes),
        };

        let preparation_ms = Some(images.upload_ms());
        let ending = self.endings.of_output(&signature.output.name);
        let activation = self.manifest.output.activation.or_else(|| ending.and_then(needed_after));
        let bench = ModelBench { tuning: self, yardstick: Some(sessions), images, activation };
        let time_limit = Duration::from_millis(match depth {
            Depth::Promising => settings.tune_time_limit_ms,
            Depth::Everything => u64::from(u32::MAX),
        });
        let deadline = Instant::now() + time_limit;
        let measured = |cause: String| ModelError::WarmUp(RunError::Engine(cause));
        let mut search = Search::new(bench, yardstick, most, compare_answers, effort, deadline).map_err(measured)?;
        rules.default_drift = search.default_drift;
        let all_batches = depth == Depth::Everything || matches!(wishes.goal, Goal::P99(_));
        let count = engines.usable.iter().map(|&engine| self.candidates(wishes, engine).len()).sum();
        let mut look_at = |search: &mut Search<ModelBench<'_>>, candidate: Candidate| {
            progress(candidate, count);
            let mut batches = space::batches(wishes, candidate.engine.provider, network, all_batches);
            // Batches that nobody asked for are as large as memory allows; what does not fit at all is said when it is opened.
            if let Some(Ok(most)) = batches.last().map(|&largest| self.fitting(candidate, largest)) {
                batches.iter_mut().for_each(|size| *size = most.min(*size));
                batches.dedup();
            }
            search.measure(candidate, &batches, |drift| rules.admit(drift));
        };
        // The default first, then the most promising engines: time may run out before the others.
        let (default, others) = engines.usable.split_at(1);
        for &engine in default.iter().chain(others.iter().rev()) {
            look_at(&mut search, self.candidates(wishes, engine)[0]);
        }
        let promising: Vec<_> = match (depth, choose(&search.rows, &rules)) {
            (Depth::Promising, Some(best)) => vec![best.measurement.candidate.engine],
            (Depth::Promising, None) => Vec::new(),
            (Depth::Everything, _) => engines.usable.clone(),
        };
        for engine in promising {
            self.candidates(wishes, engine).into_iter().skip(1).for_each(|candidate| look_at(&mut search, candidate));
        }
        let (rows, passed_over) = search.finish();
        let found = choose(&rows, &rules).map(|Choice { measurement, reason }| Found {
            chosen: measurement,
            reason,
            measurements: rows,
            preparation_ms,
        });
        Ok((found, passed_over))
    }

    fn engines(&self, wishes: &Wishes, processor: &Processor) -> Result<Engines, ModelError> {
        let available = |provider: Provider| self.machine.runtime.provider(provider);
        let engines = space::engines(wishes, processor, self.network, available)
            .map_err(|cause| self.graph_error(LoadError::Provider(cause)))?;
        for broken in &engines.broken {
            tracing::warn!("served without it: {broken}");
        }
        Ok(engines)
    }

    fn candidates(&self, wishes: &Wishes, engine: Engine) -> Vec<Candidate> {
        space::candidates(wishes, engine, self.machine.cores(), self.network)
    }

    fn planned(&self, wishes: &Wishes, found: &Found, reason: String) -> EnginePlan {
        let chosen = &found.chosen;
        let alone = if may_add_one(wishes) { for_one_alone(&found.measurements, chosen) } else { None };
        let fits = |_: &&Measurement| {
            let Candidate { engine, shape } = chosen.candidate;
            self.demand.check(engine.provider, shape.instances + 1, chosen.batch_size).is_ok()
        };
        EnginePlan::of(chosen, alone.filter(fits), reason)
    }

    fn untuned(&self, wishes: &Wishes, engine: Engine, reason: &str) -> EnginePlan {
        EnginePlan {
            candidate: self.candidates(wishes, engine)[0],
            alone: None,
            max_batch_size: space::default_batch(wishes, engine.provider, self.network),
            probability_drift: None,
            images_per_second: None,
            reason: reason.to_owned(),
        }
    }

    fn cache(&self) -> Cache {
        Cache::at(Path::new(&self.manifest.runtime.tune_cache))
    }

    fn key(&self, wishes: &Wishes, processor: &Processor, engines: &Engines) -> Key {
        Key {
            resnetd: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.digest.to_owned(),
            images_and_answers: self.manifest.images_and_answers(),
            libraries: self.machine.runtime.fingerprint(),
            processor: processor.name.clone(),
            features: processor.features.clone(),
            cores: self.machine.cores(),
            engines: engines.usable.clone(),
            set: [wishes.instances, wishes.intra_threads, wishes.max_batch_size],
            goal: wishes.goal,
            max_probability_drift: self.manifest.runtime.max_probability_drift,
            time_limit_ms: self.manifest.runtime.tune_time_limit_ms,
        }
    }

    pub(super) fn graph_error(&self, cause: LoadError) -> ModelError {
        ModelError::Graph { graph: self.graph.to_string(), cause }
    }
}

/// How much of what there is gets measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Every engine once, the best one in every shape; within the time limit.
    Promising,
    /// Every engine in every shape and batch.
    Everything,
}

/// A model's sessions and images for [`Search`].
struct ModelBench<'a> {
    tuning: &'a Tuning<'a>,
    /// The sessions of the first candidate, already open because the graph's signature was needed.
    yardstick: Option<Vec<OrtExecutor>>,
    images: WarmUpImages,
    activation: Option<Activation>,
}

impl Workbench for ModelBench<'_> {
    type Executor = OrtExecutor;

    fn open(&mut self, candidate: Candidate, max_batch_size: usize) -> Result<Vec<OrtExecutor>, String> {
        match self.yardstick.take() {
            Some(sessions) => Ok(sessions),
            None => {
                let (provider, sessions) = (candidate.engine.provider, candidate.shape.instances);
                let fits = self.tuning.demand.check(provider, sessions, max_batch_size);
                fits.map_err(|error| error.to_string())?;
                self.tuning.open(candidate, max_batch_size).map_err(|error| error.to_string())
            }
        }
    }

    fn answers(&mut self, executor: &mut OrtExecutor) -> Result<Vec<Box<[f32]>>, RunError> {
        let mut logits = Logits::default();
        let mut answers = Vec::with_capacity(self.images.len());
        for index in 0..self.images.len() {
            executor.run(self.images.batch(index, 1)?, &mut logits)?;
            for row in logits.rows() {
                let mut row: Box<[f32]> = row.into();
                self.activation.unwrap_or_else(|| Activation::of_row(&row)).apply(&mut row);
                answers.push(row);
            }
        }
        Ok(answers)
    }

    fn reference(&mut self) -> Option<Vec<Box<[f32]>>> {
        let mut unrounded = self.tuning.without_rounding()?;
        self.answers(&mut unrounded).ok()
    }

    fn batch(&mut self, size: usize) -> Result<&Batch, RunError> {
        self.images.batch(0, size)
    }

    fn preparation(&self) -> PreparationLoad {
        PreparationLoad { prepare: self.images.upload(), threads: self.tuning.machine.cores() }
    }
}
