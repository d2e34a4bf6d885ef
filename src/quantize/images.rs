//! The images that a network is calibrated and judged on, streamed: one batch in memory at a time.

use std::path::{Path, PathBuf};

use crate::{
    files,
    preprocess::{DecodeLimits, Spec, preprocess},
    tensor::{Batch, InputShape, Normalizer, Pixels},
};

/// The most bytes of one image file.
const LARGEST_IMAGE: u64 = 1 << 30;

/// An image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where it is.
    pub file: PathBuf,
    /// The index of its class, where that is known.
    pub class: Option<usize>,
}

/// How the model wants its images.
#[derive(Clone)]
pub struct ImagePreparation {
    /// From a file to pixels.
    pub spec: Spec,
    /// From pixels to numbers.
    pub normalizer: Normalizer,
    /// Height and width of what the network takes, in pixels.
    pub size: (usize, usize),
}

/// What the user is told meanwhile.
pub trait Progress {
    /// A step over `total` images begins.
    fn begin(&self, step: &str, total: usize);
    /// `count` more images are done.
    fn advance(&self, count: usize);
    /// The step is over.
    fn end(&self);
    /// An image is passed over; said once for each.
    fn passed_over(&self, file: &Path, reason: &str);
}

/// Why a set of images cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// Too few of them.
    #[error(
        "{readable} of {found} {purpose} images can be read, at least {needed} are needed; add images to the folder"
    )]
    TooFew {
        /// What they are for.
        purpose: &'static str,
        /// Those that can be decoded.
        readable: usize,
        /// Files.
        found: usize,
        /// The least number.
        needed: usize,
    },
    /// A file that could be read before cannot be read now.
    #[error("{}: {reason}; it could be read a moment ago: leave the folder alone meanwhile", file.display())]
    Gone {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl ImagePreparation {
    /// Tries each of `samples`: those that cannot be read are told to `progress` and left out.
    ///
    /// # Errors
    /// [`ImagesError::TooFew`] if fewer than `needed` remain.
    pub fn readable(
        &self,
        mut samples: Vec<Sample>,
        purpose: &'static str,
        needed: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Sample>, ImagesError> {
        let found = samples.len();
        if found >= needed {
            progress.begin("checking images", found);
            samples.retain(|sample| {
                let outcome = self.pixels(&sample.file);
                progress.advance(1);
                outcome.map_err(|reason| progress.passed_over(&sample.file, &reason)).is_ok()
            });
            progress.end();
        }
        if samples.len() < needed {
            return Err(ImagesError::TooFew { purpose, readable: samples.len(), found, needed });
        }
        Ok(samples)
    }

    /// Hands `samples` to `visit` in batches of `batch_size`, the last one smaller.
    ///
    /// # Errors
    /// [`ImagesError::Gone`], and what `visit` says.
    pub fn batches<E: From<ImagesError>>(
        &self,
        samples: &[Sample],
        batch_size: usize,
        mut visit: impl FnMut(&Batch, &[Sample]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (height, width) = self.size;
        let mut batch = Batch::of(InputShape::of(&self.normalizer, height, width), batch_size);
        for chunk in samples.chunks(batch_size.max(1)) {
            batch.clear();
            for sample in chunk {
                let gone = |reason| ImagesError::Gone { file: sample.file.clone(), reason };
                self.normalizer.write(&self.pixels(&sample.file).map_err(gone)?, batch.push());
            }
            visit(&batch, chunk)?;
        }
        Ok(())
    }

    fn pixels(&self, file: &Path) -> Result<Pixels, String> {
        let bytes = files::read(file, LARGEST_IMAGE).map_err(|error| error.to_string())?;
        let pixels = preprocess(&bytes, &self.spec, &DecodeLimits::default()).map_err(|error| error.to_string())?;
        let (height, width) = self.size;
        if (pixels.height() as usize, pixels.width() as usize) == (height, width) {
            return Ok(pixels);
        }
        let (h, w) = (pixels.height(), pixels.width());
        Err(format!("it is {h}x{w} after preparation, the network takes {height}x{width}; set [input] crop_size"))
    }
}
