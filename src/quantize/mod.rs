//! The workshop's int8 bench: an 8-bit version of a network, from sample images, and proof that its answers hold.
//!
//! ```text
//! model.onnx ─ prepare ─▶ fp32 graph ─ plan ─▶ what becomes 8-bit
//! images ─ observe ─▶ histograms ─ scales ─▶ ranges ─ rewrite ─▶ 8-bit graph ─ gate ─▶ report ─ publish ─▶ next version
//! ```
//! Knows ONNX graphs, the runtime and preprocessing. Must not know ResNet's names, doors or the configuration.

mod classes;
mod error;
mod gate;
mod histogram;
mod images;
mod noise;
mod observe;
mod plan;
mod prepare;
mod publish;
mod report;
mod rewrite;
mod scales;
mod speed;

use std::collections::{BTreeSet, HashMap};

use prost::Message;

use crate::{
    model::{GraphImage, Manifest, needed_after},
    onnx::{Ending, ModelProto, Walk},
    postprocess::Activation,
    runtime::{GraphSource, OrtExecutor, Runtime, SessionOptions, Signature, Stated, pairs_may_overflow},
    tensor::{Batch, InputShape},
};

pub use classes::{UnknownClasses, by_folder};
pub use error::QuantizeError;
pub use gate::{Comparison, MAX_TOP1_DROP};
pub use images::{ImagePreparation, ImagesError, Progress, Sample};
pub use noise::LayerNoise;
pub use plan::QuantizationPlan;
pub use prepare::{PrepareError, prepare};
pub use publish::{Destination, PublishError, publish};
pub use report::{JudgedOn, QuantizationReport, REPORT_FILE, ReportError, Speed, TriedBits};
pub use rewrite::{RewriteRecipe, rewrite};
pub use scales::{ActivationScale, Method, PERCENTILE};

/// Fewer calibration images than this say nothing of what a network sees.
pub const MIN_CALIBRATION_IMAGES: usize = 16;
/// Images of one run while inner values are exposed: all of them are held at once, 110 MB an image for ResNet-50.
const OBSERVED_BATCH: usize = 1;
/// Images of one run while answers are compared and speed is measured.
const BATCH: usize = 8;
/// Images that layers are compared on.
const NOISE_IMAGES: usize = 32;
/// When the answers do not hold: how many of the noisiest layers stay fp32 in the first try, the second, and so on.
const KEEP_TRIES: [usize; 4] = [1, 2, 4, 8];
/// How many layers the report names.
const WORST_LAYERS: usize = 5;

/// What to make.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// How ranges are found.
    pub method: Method,
    /// Of a weight: 7 or 8; `None` tries both where sums of 8-bit products may overflow, and keeps the better.
    pub weight_bits: Option<u32>,
    /// Which layers stay fp32.
    pub keep: Keep,
    /// The most that top-1 may fall, in points.
    pub max_drop: f64,
    /// Threads that share one run.
    pub threads: usize,
}

/// Which layers stay fp32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None, if the answers hold; otherwise those with the most noise, up to eight.
    Auto,
    /// So many of those with the most noise.
    Worst(usize),
    /// These, by name.
    Named(Vec<String>),
}

/// The fp32 model.
pub struct Fp32Model<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: u64,
    /// The graph.
    pub model: ModelProto,
    /// How images are prepared.
    pub manifest: &'a Manifest,
    /// How many classes have names.
    pub labels: Option<usize>,
}

/// What was made: not written yet.
pub struct Outcome {
    /// The 8-bit graph.
    pub model: ModelProto,
    /// What it is, and whether it may be used.
    pub report: QuantizationReport,
}

/// Makes an 8-bit version of `source`, from what it does with `calibration`, and compares the two on `evaluation` or,
/// where that is `None`, on the calibration images: that is fair, because calibration only takes two numbers from each
/// inner value, too few to memorize images.
///
/// The outcome may have an objection; whether it is written all the same is the caller's decision.
///
/// # Errors
/// [`QuantizeError`].
pub fn quantize(
    runtime: &Runtime,
    source: Fp32Model<'_>,
    calibration: Vec<Sample>,
    evaluation: Option<Vec<Sample>>,
    options: &QuantizeOptions,
    progress: &dyn Progress,
) -> Result<Outcome, QuantizeError> {
    let (name, version) = (source.name, source.version);
    let mut bench = Bench::open(runtime, source, options)?;
    let given = calibration.len() + evaluation.as_ref().map_or(0, Vec::len);
    let calibration = bench.images.readable(calibration, "calibration", MIN_CALIBRATION_IMAGES, progress)?;
    let evaluation = match evaluation {
        Some(samples) => Some(bench.images.readable(samples, "evaluation", 1, progress)?),
        None => None,
    };
    let judged = evaluation.as_deref().unwrap_or(&calibration);
    let unreadable_images = given - calibration.len() - evaluation.as_ref().map_or(0, Vec::len);

    let scales = bench.scales(&calibration, progress)?;
    let mut keep = bench.named()?;
    let weight_bits_tried = match options.weight_bits {
        None if pairs_may_overflow() => bench.try_bits(&scales, &keep, &calibration, progress)?,
        _ => Vec::new(),
    };
    let weight_bits = options.weight_bits.unwrap_or_else(|| better_bits(&weight_bits_tried));
    let mut model = bench.build(&scales, weight_bits, &keep)?;
    let mut noise = bench.noise(&model, &calibration)?;
    if let Keep::Worst(count) = options.keep {
        keep = noisiest(&noise, count);
        model = bench.build(&scales, weight_bits, &keep)?;
    }
    let mut answers = bench.compare(&model, judged, progress)?;
    if options.keep == Keep::Auto {
        for count in KEEP_TRIES {
            if answers.objection(options.max_drop).is_none() {
                break;
            }
            keep = noisiest(&noise, count);
            model = bench.build(&scales, weight_bits, &keep)?;
            answers = bench.compare(&model, judged, progress)?;
        }
    }
    if !keep.is_empty() {
        noise = bench.noise(&model, &calibration)?;
    }
    noise.truncate(WORST_LAYERS);
    let batch = bench.batch(judged, BATCH)?;
    let images_per_second = speed::measure(runtime, &bench.model, &model, &batch, options.threads, &bench.stated);
    let report = QuantizationReport {
        created_by: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
        model: name.into(),
        source_version: version,
        method: options.method,
        percentile: (options.method == Method::Percentile).then_some(PERCENTILE),
        weight_bits,
        weight_bits_tried,
        kept_fp32: keep.into_iter().collect(),
        calibration_images: calibration.len(),
        unreadable_images,
        judged_on: if evaluation.is_some() { JudgedOn::Evaluation } else { JudgedOn::Calibration },
        answers,
        objection: answers.objection(options.max_drop),
        images_per_second,
        processor: speed::processor(),
        worst_layers: noise,
    };
    Ok(Outcome { model, report })
}

/// The layers that add the most noise.
fn noisiest(noise: &[LayerNoise], count: usize) -> BTreeSet<String> {
    let mut by_added: Vec<&LayerNoise> = noise.iter().collect();
    by_added.sort_by(|a, b| b.added.total_cmp(&a.added));
    by_added.iter().take(count).map(|noise| noise.layer.clone()).collect()
}

/// 7 bits if their answers hold, because engines compute them exactly and at full speed; otherwise the size whose
/// answers are nearer to fp32's. 8 if nothing was tried.
fn better_bits(tried: &[TriedBits]) -> u32 {
    let [seven, eight] = tried else { return 8 };
    let holds = seven.answers.objection(MAX_TOP1_DROP).is_none();
    if holds || !eight.answers.is_nearer_than(&seven.answers) { seven.weight_bits } else { eight.weight_bits }
}

/// The fp32 network with everything that stays the same while several 8-bit versions are tried.
struct Bench<'a> {
    runtime: &'a Runtime,
    options: &'a QuantizeOptions,
    source_version: u64,
    model: ModelProto,
    plan: QuantizationPlan,
    fp32: OrtExecutor,
    images: ImagePreparation,
    activation: Option<Activation>,
    stated: Stated,
}

impl<'a> Bench<'a> {
    fn open(runtime: &'a Runtime, source: Fp32Model<'_>, options: &'a QuantizeOptions) -> Result<Self, QuantizeError> {
        let model = prepare(source.model)?;
        let plan = model.graph.as_ref().map(QuantizationPlan::of).unwrap_or_default();
        if plan.weighted().is_empty() {
            return Err(PrepareError::NoConvolution.into());
        }
        let stated = source.manifest.stated(source.labels);
        let fp32 = executor(runtime, &model, options, &stated)?;
        let images = preparation(source.manifest, fp32.signature())?;
        let activation = source.manifest.output.activation.or_else(|| {
            let walk = Walk::new(model.graph.as_ref()?);
            needed_after(Ending::of(&walk, &fp32.signature().output.name))
        });
        Ok(Self { runtime, options, source_version: source.version, model, plan, fp32, images, activation, stated })
    }

    fn executor(&self, model: &ModelProto) -> Result<OrtExecutor, QuantizeError> {
        executor(self.runtime, model, self.options, &self.stated)
    }

    /// The first `size` of `samples` as one batch, or as many as the graph fixes.
    fn batch(&self, samples: &[Sample], size: usize) -> Result<Batch, QuantizeError> {
        let size = self.fp32.signature().fixed_batch.unwrap_or(size);
        let (height, width) = self.images.size;
        let mut first = Batch::of(InputShape::of(&self.images.normalizer, height, width), size);
        self.images.batches(&samples[..samples.len().min(size)], size, |batch, _| {
            // A graph with a fixed batch takes no smaller one: too few images are repeated.
            for place in 0..size {
                let start = place % batch.len() * batch.image_len();
                first.push().copy_from_slice(&batch.data()[start..start + batch.image_len()]);
            }
            Ok::<_, QuantizeError>(())
        })?;
        Ok(first)
    }

    fn observer(
        &self,
        model: &ModelProto,
        values: &[&str],
        samples: &[Sample],
    ) -> Result<observe::Observer, QuantizeError> {
        let size = self.fp32.signature().fixed_batch.unwrap_or(OBSERVED_BATCH);
        let options = SessionOptions::reference(self.options.threads, 1);
        let example = self.batch(samples, 1)?;
        observe::Observer::new(self.runtime, options, model, values, &example, size)
    }

    /// The scale of each value that is written in 8 bits.
    fn scales(
        &self,
        samples: &[Sample],
        progress: &dyn Progress,
    ) -> Result<HashMap<String, ActivationScale>, QuantizeError> {
        let values: Vec<&str> = self.plan.observed().into_iter().collect();
        let observer = self.observer(&self.model, &values, samples)?;
        let histograms = observe::histograms(observer, &values, &self.images, samples, progress)?;
        let scale = |histogram| scales::activation_scale(scales::range(histogram, self.options.method));
        Ok(histograms.iter().map(|(value, histogram)| (value.clone(), scale(histogram))).collect())
    }

    /// The layers that the user wants in fp32.
    fn named(&self) -> Result<BTreeSet<String>, QuantizeError> {
        let Keep::Named(names) = &self.options.keep else { return Ok(BTreeSet::new()) };
        let layers: BTreeSet<&str> = self.plan.weighted().iter().map(|(_, layer)| layer.name.as_str()).collect();
        match names.iter().find(|name| !layers.contains(name.as_str())) {
            Some(name) => Err(QuantizeError::UnknownLayer {
                name: name.clone(),
                layers: layers.into_iter().collect::<Vec<_>>().join(", "),
            }),
            None => Ok(names.iter().cloned().collect()),
        }
    }

    fn build(
        &self,
        scales: &HashMap<String, ActivationScale>,
        weight_bits: u32,
        keep_fp32: &BTreeSet<String>,
    ) -> Result<ModelProto, QuantizeError> {
        let method = match self.options.method {
            Method::Percentile => format!("percentile {PERCENTILE}"),
            Method::MinMax => "minmax".to_owned(),
            Method::Mse => "mse".to_owned(),
        };
        let metadata = [("quantization", method), ("source_version", self.source_version.to_string())];
        Ok(rewrite(&self.model, &self.plan, &RewriteRecipe { scales, weight_bits, keep_fp32 }, &metadata)?)
    }

    /// The answers with weights of 7 and of 8 bits.
    fn try_bits(
        &mut self,
        scales: &HashMap<String, ActivationScale>,
        keep: &BTreeSet<String>,
        samples: &[Sample],
        progress: &dyn Progress,
    ) -> Result<Vec<TriedBits>, QuantizeError> {
        [7, 8]
            .into_iter()
            .map(|weight_bits| {
                let model = self.build(scales, weight_bits, keep)?;
                Ok(TriedBits { weight_bits, answers: self.compare(&model, samples, progress)? })
            })
            .collect()
    }

    fn compare(
        &mut self,
        model: &ModelProto,
        samples: &[Sample],
        progress: &dyn Progress,
    ) -> Result<Comparison, QuantizeError> {
        let mut int8 = self.executor(model)?;
        let size = self.fp32.signature().fixed_batch.unwrap_or(BATCH);
        gate::compare(&mut self.fp32, &mut int8, self.activation, &self.images, (samples, size), progress)
    }

    fn noise(&self, model: &ModelProto, samples: &[Sample]) -> Result<Vec<LayerNoise>, QuantizeError> {
        let Some(graph) = &self.model.graph else { return Ok(Vec::new()) };
        let mut values = self.plan.observed();
        values.extend(self.plan.weighted().iter().map(|(_, layer)| layer.output.as_str()));
        let in_int8 = |value: &str| match self.plan.scale_of(value) {
            Some(_) => rewrite::dequantized(graph, value),
            None => value.to_owned(),
        };
        let names: HashMap<String, String> = values.iter().map(|&value| (in_int8(value), value.to_owned())).collect();
        let exact: Vec<&str> = values.iter().copied().collect();
        let quick: Vec<String> = exact.iter().map(|&value| in_int8(value)).collect();
        let quick: Vec<&str> = quick.iter().map(String::as_str).collect();
        let size = self.fp32.signature().fixed_batch.unwrap_or(OBSERVED_BATCH);
        let samples = &samples[..samples.len().min(NOISE_IMAGES)];
        let samples = &samples[..samples.len() / size * size];
        let observers = (self.observer(&self.model, &exact, samples)?, self.observer(model, &quick, samples)?);
        noise::layer_noise(observers, &names, (graph, &self.plan), &self.images, samples)
    }
}

fn executor(
    runtime: &Runtime,
    model: &ModelProto,
    options: &QuantizeOptions,
    stated: &Stated,
) -> Result<OrtExecutor, QuantizeError> {
    let options = SessionOptions::reference(options.threads, 1);
    Ok(runtime.executor_for(GraphSource::Memory(&model.encode_to_vec()), options, stated)?)
}

fn preparation(manifest: &Manifest, signature: &Signature) -> Result<ImagePreparation, QuantizeError> {
    let image = GraphImage::from(signature);
    let spec = manifest.input.spec(&image);
    let cut = spec.output_size().map(|(width, height)| (height as usize, width as usize));
    let size = signature.size.or(cut).ok_or(QuantizeError::OpenSize)?;
    Ok(ImagePreparation { spec, normalizer: manifest.input.normalizer(&image), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(weight_bits: u32, agreement_percent: f64, mean_drift: f64) -> TriedBits {
        TriedBits { weight_bits, answers: Comparison { agreement_percent, mean_drift, ..Comparison::default() } }
    }

    #[test]
    fn seven_bits_are_taken_unless_only_eight_hold_the_answers() {
        assert_eq!(better_bits(&[tried(7, 99.0, 0.004), tried(8, 99.3, 0.003)]), 7);
        assert_eq!(better_bits(&[tried(7, 98.0, 0.004), tried(8, 99.3, 0.003)]), 8);
        assert_eq!(better_bits(&[tried(7, 98.0, 0.006), tried(8, 97.0, 0.010)]), 7);
        assert_eq!(better_bits(&[]), 8);
    }
}
