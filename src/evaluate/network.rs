//! The network that is examined: opened as it is served on the processor, shown views of images, its probabilities averaged.

use std::collections::HashMap;

use super::views::Views;
use crate::{
    model::{Manifest, ModelError, Prepared, needed_after},
    onnx::{Ending, ModelProto, ReadError, Walk, free_size, into_bytes},
    postprocess::Activation,
    preprocess::Spec,
    runtime::{Executor as _, GraphSource, LoadError, OrtExecutor, RunError, Runtime, SessionOptions, check_size},
    tensor::{Batch, InputShape, Logits, Normalizer, Pixels},
};

/// Views of one run at 224x224, and in proportion for smaller ones: more do not make a run of the processor faster.
const BATCH: usize = 8;
const LARGEST_BATCH: usize = 64;
const BATCH_PIXELS: usize = BATCH * 224 * 224;

/// A network, and how it wants its images.
pub struct ExaminedNetwork {
    executor: OrtExecutor,
    preparation: Preparation,
    normalizer: Normalizer,
    activation: Activation,
    classes: usize,
    most_views: usize,
    logits: Logits,
}

/// What turns a file into views. It is shared by the threads that decode.
#[derive(Clone, Debug)]
pub(super) struct Preparation {
    views: Views,
    spec: Spec,
    /// Height and width of what the network takes.
    size: (usize, usize),
}

/// Why a network cannot be examined.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It does not go with its settings.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It does not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It takes images of one size only.
    #[error(
        "--scales runs the network over whole pictures, and this one takes no other size than its own: {0}; export it with a \
         global average pool, or use --crops 10"
    )]
    OneSize(RunError),
}

impl Preparation {
    /// The views of the image in `bytes`.
    ///
    /// # Errors
    /// Why it cannot be looked at.
    pub(super) fn views(&self, bytes: &[u8]) -> Result<Vec<Pixels>, String> {
        let views = self.views.of(bytes, &self.spec, self.size)?;
        for view in &views {
            check_size("images", view.height() as usize, view.width() as usize).map_err(|error| error.to_string())?;
        }
        Ok(views)
    }
}

impl ExaminedNetwork {
    /// Loads a graph, and runs it once.
    ///
    /// * `labels`: how many classes have names, which tells an output among several
    /// * `threads`: share one run
    ///
    /// # Errors
    /// [`ExamineError`].
    pub fn open(
        runtime: &Runtime,
        graph: GraphSource<'_>,
        manifest: &Manifest,
        labels: Option<usize>,
        views: Views,
        threads: usize,
    ) -> Result<Self, ExamineError> {
        let options = SessionOptions::reference(threads, LARGEST_BATCH);
        let mut manifest = manifest.clone();
        let stated = manifest.stated(labels);
        let mut model = graph.read()?;
        let endings = endings(&model);
        let executor = match views {
            Views::Scales(_) => {
                free_size(&mut model);
                // Nothing is cropped, so that a model that says so needs to say nothing else.
                manifest.input.crop_size = manifest.input.crop_size.filter(|&side| side > 0);
                runtime.executor_for(GraphSource::Memory(&into_bytes(model)), options, &stated)?
            }
            _ => {
                drop(model);
                runtime.executor_for(graph, options, &stated)?
            }
        };
        let Prepared { spec, normalizer, size, .. } = Prepared::new(&manifest, executor.signature())?;
        let ending = endings.get(&executor.signature().output.name).copied();
        let activation = manifest.output.activation.or_else(|| needed_after(ending?));
        let most_views = BATCH_PIXELS / (size.0 * size.1).max(1);
        let most_views = most_views.clamp(BATCH, LARGEST_BATCH).max(views.len().min(LARGEST_BATCH));
        let mut network = Self {
            most_views: executor.signature().fixed_batch.unwrap_or(most_views),
            executor,
            normalizer,
            activation: Activation::None,
            classes: 0,
            logits: Logits::default(),
            preparation: Preparation { views, spec, size },
        };
        network.first_run(activation)?;
        Ok(network)
    }

    /// Learns from an image of zeros how many classes there are and, where it is not known, what makes probabilities of the
    /// answers.
    fn first_run(&mut self, known: Option<Activation>) -> Result<(), ExamineError> {
        match &self.preparation.views {
            Views::Scales(scales) => {
                let sides = scales.iter().copied().min().zip(scales.iter().copied().max());
                let (least, most) =
                    sides.map_or(self.preparation.size, |(least, most)| (least as usize, most as usize));
                // Squares, and a picture that is higher than wide: what runs on these runs on all.
                for size in [(least, least), (least + least / 3, least), (most, most)] {
                    self.run_zeros(size).map_err(ExamineError::OneSize)?;
                }
            }
            _ => self.run_zeros(self.preparation.size)?,
        }
        let row = self.logits.rows().next().unwrap_or_default();
        self.classes = row.len();
        self.activation = known.unwrap_or_else(|| Activation::of_row(row));
        Ok(())
    }

    /// The number of its classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// What images go through before it.
    pub(super) fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// How many images are best shown at once.
    pub(super) fn images_at_once(&self) -> usize {
        (self.most_views / self.preparation.views.len().max(1)).max(1)
    }

    /// For each image the probability of each class, averaged over its views.
    ///
    /// # Errors
    /// [`RunError`].
    pub(super) fn probabilities(&mut self, images: &[Vec<Pixels>]) -> Result<Vec<Vec<f32>>, RunError> {
        let mut sums = vec![vec![0.0; self.classes]; images.len()];
        let views: Vec<_> =
            images.iter().enumerate().flat_map(|(at, views)| views.iter().map(move |view| (at, view))).collect();
        let is_like =
            |(_, a): &(usize, &Pixels), (_, b): &(usize, &Pixels)| (a.width(), a.height()) == (b.width(), b.height());
        let most = self.most_views;
        for alike in views.chunk_by(is_like).flat_map(|alike| alike.chunks(most)) {
            let pixels: Vec<_> = alike.iter().map(|&(_, view)| view).collect();
            self.run(&pixels)?;
            let mut probabilities = Vec::new();
            for (&(image, _), row) in alike.iter().zip(self.logits.rows()) {
                probabilities.clear();
                probabilities.extend_from_slice(row);
                self.activation.apply(&mut probabilities);
                for (sum, &value) in sums[image].iter_mut().zip(&probabilities) {
                    *sum += f64::from(value);
                }
            }
        }
        let mean = |(sums, views): (Vec<f64>, &Vec<Pixels>)| {
            sums.into_iter().map(|sum| (sum / views.len().max(1) as f64) as f32).collect()
        };
        Ok(sums.into_iter().zip(images).map(mean).collect())
    }

    /// Runs pictures of one size; their answers are in `logits`.
    fn run(&mut self, pictures: &[&Pixels]) -> Result<(), RunError> {
        let Some(first) = pictures.first() else { return Ok(()) };
        let (height, width) = (first.height() as usize, first.width() as usize);
        let mut batch = Batch::of(InputShape::of(&self.normalizer, height, width), pictures.len());
        pictures.iter().for_each(|picture| self.normalizer.write(picture, batch.push()));
        self.executor.run(&batch, &mut self.logits)
    }

    fn run_zeros(&mut self, (height, width): (usize, usize)) -> Result<(), RunError> {
        let mut batch = Batch::of(InputShape::of(&self.normalizer, height, width), 1);
        batch.push();
        self.executor.run(&batch, &mut self.logits)
    }
}

/// How each output of a graph ends.
fn endings(model: &ModelProto) -> HashMap<String, Ending> {
    let Some(graph) = &model.graph else { return HashMap::new() };
    let walk = Walk::new(graph);
    graph.output.iter().map(|output| (output.name.clone(), Ending::of(&walk, &output.name))).collect()
}
