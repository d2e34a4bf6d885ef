//! The bare loop: what the machine gives when nobody is served.
//!
//! Each of `threads` threads has a session of its own and goes round: decode, resize, normalize a batch of images, run
//! it. The same preprocessing, the same session, the same batch size as the server's; no sockets, no queue, no JSON.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use resnetd::{
    model::{GraphImage, Manifest, ModelFolder, RESNET20_CIFAR10},
    preprocess::{self, DecodeLimits, Spec},
    runtime::{Executor, GraphSource, OrtExecutor, Runtime, SessionOptions},
    tensor::{Batch, InputShape, Logits, Normalizer},
};

/// A model, outside any server.
pub(crate) struct Bare {
    loops: Vec<Loop>,
    pub(crate) batch_size: usize,
}

struct Loop {
    executor: OrtExecutor,
    spec: Spec,
    normalizer: Normalizer,
    batch: Batch,
    logits: Logits,
}

const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 100_000_000 };

impl Bare {
    /// The model in `folder`, its highest version, or the built-in one.
    ///
    /// * `runtime`: the one of this process
    pub(crate) fn load(
        runtime: &Runtime,
        folder: Option<&ModelFolder>,
        threads: usize,
        batch_size: Option<usize>,
    ) -> Result<Self> {
        Self::with(runtime, folder, (threads, 1), batch_size)
    }

    /// The same for one image at a time, in one session whose runs share so many threads.
    #[allow(dead_code, reason = "only the serve benchmark looks at one image alone")]
    pub(crate) fn alone(runtime: &Runtime, folder: Option<&ModelFolder>, intra_threads: usize) -> Result<Self> {
        Self::with(runtime, folder, (1, intra_threads), Some(1))
    }

    fn with(
        runtime: &Runtime,
        folder: Option<&ModelFolder>,
        (threads, intra_threads): (usize, usize),
        batch_size: Option<usize>,
    ) -> Result<Self> {
        let (batching, settings) = Default::default();
        let (manifest, graph) = match folder {
            Some(folder) => {
                let version = *folder.versions.last().context("the model has no VERSION/model.onnx")?;
                (Manifest::read(&folder.path, &batching, &settings)?, Some(folder.graph(version)))
            }
            None => (RESNET20_CIFAR10.manifest(&batching, &settings)?, None),
        };
        let source = graph.as_deref().map_or(GraphSource::Memory(RESNET20_CIFAR10.graph), GraphSource::File);
        // 0: left to be found; 8 is what a processor gets.
        let set = Some(manifest.batching.max_batch_size).filter(|&size| size > 0).unwrap_or(8);
        let mut batch_size = batch_size.unwrap_or(set);
        let mut loops = Vec::new();
        for _ in 0..threads {
            let executor = runtime.executor(source, SessionOptions::reference(intra_threads, batch_size))?;
            let signature = executor.signature().clone();
            batch_size = signature.fixed_batch.unwrap_or(batch_size);
            let image = GraphImage::from(&*signature);
            let spec = manifest.input.spec(&image);
            let side = spec.output_size().map(|(width, height)| (height as usize, width as usize));
            let (height, width) = signature.size.or(side).context("neither graph nor model.toml has an image size")?;
            let normalizer = manifest.input.normalizer(&image);
            let batch = Batch::of(InputShape::of(&normalizer, height, width), batch_size);
            loops.push(Loop { executor, spec, normalizer, batch, logits: Logits::default() });
        }
        Ok(Self { loops, batch_size })
    }

    /// Goes round `images` on all threads for `time`; gives images a second, of each thread until its own end.
    pub(crate) fn run(&mut self, images: &[Vec<u8>], time: Duration) -> Result<f64> {
        let started = Instant::now();
        let batch_size = self.batch_size;
        thread::scope(|scope| {
            let threads: Vec<_> = self
                .loops
                .iter_mut()
                .enumerate()
                .map(|(place, round)| {
                    scope.spawn(move || -> Result<f64> {
                        let mut images = images.iter().cycle().skip(place);
                        let mut done = 0;
                        while started.elapsed() < time {
                            round.classify(images.by_ref().take(batch_size))?;
                            done += batch_size;
                        }
                        Ok(done as f64 / started.elapsed().as_secs_f64())
                    })
                })
                .collect();
            threads.into_iter().try_fold(0.0, |sum, thread| match thread.join() {
                Ok(rate) => Ok(sum + rate?),
                Err(_) => anyhow::bail!("a thread of the bare loop panicked"),
            })
        })
    }

    /// Classifies one image after the other for `time`; gives how long each took, ascending.
    #[allow(dead_code, reason = "only the serve benchmark looks at one image alone")]
    pub(crate) fn times(&mut self, images: &[Vec<u8>], time: Duration) -> Result<Vec<Duration>> {
        let round = self.loops.first_mut().context("the bare loop has no thread")?;
        let started = Instant::now();
        let mut times = Vec::new();
        for image in images.iter().cycle() {
            let begun = Instant::now();
            round.classify(std::iter::once(image))?;
            times.push(begun.elapsed());
            if started.elapsed() >= time {
                break;
            }
        }
        times.sort_unstable();
        Ok(times)
    }

    /// The most probable class of one image.
    #[allow(dead_code, reason = "only the serve benchmark compares answers with it")]
    pub(crate) fn top_1(&mut self, image: &Vec<u8>) -> Result<usize> {
        let round = self.loops.first_mut().context("the bare loop has no thread")?;
        round.classify(std::iter::once(image))?;
        let row = round.logits.rows().next().unwrap_or_default();
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Ok(best.map_or(0, |(index, _)| index))
    }
}

impl Loop {
    fn classify<'a>(&mut self, images: impl Iterator<Item = &'a Vec<u8>>) -> Result<()> {
        self.batch.clear();
        for image in images {
            let pixels = preprocess::preprocess(image, &self.spec, &LIMITS)?;
            self.normalizer.write(&pixels, self.batch.push());
        }
        Ok(self.executor.run(&self.batch, &mut self.logits)?)
    }
}
