//! What a model's sessions take at least, reckoned before anything is allocated: a graph can state any size.
//!
//! Pure. The sizes come from the graph and from `model.toml`, the memory that is there from `memory`.

use super::{GraphImage, Manifest, ModelError};
use crate::{inspect::Inspection, runtime::Provider};

const VALUE_BYTES: u64 = size_of::<f32>() as u64;

/// What the images of a model take, and what there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Of the file with the weights; each session has its own copy.
    weights: u64,
    /// Of one image as the network reads it.
    image: u64,
    /// Of the largest thing that the network computes from one image.
    largest_value: u64,
    /// The images of every run, where the graph fixes that.
    fixed_batch: Option<u64>,
    /// Height and width, for messages.
    size: (u64, u64),
    /// Bytes that could be allocated; `None` where the system does not say.
    free: Option<u64>,
    /// An earlier version of the model is in memory, and served until this one is.
    beside_earlier: bool,
}

impl Demand {
    /// * `inspection`: what is known of the graph; of one that cannot be inspected, only the size in `manifest` counts
    pub(super) fn new(weights: u64, inspection: Option<&Inspection>, manifest: &Manifest, free: Option<u64>) -> Self {
        let image = inspection.and_then(|inspection| inspection.input.as_ref());
        let stated = image.filter(|image| !image.size_assumed).map(|image| (image.height, image.width));
        let spec = manifest.input.spec(&GraphImage { size: stated, ..GraphImage::default() });
        let crop = spec.crop().map(|(width, height)| (height as usize, width as usize));
        let channels = image.map_or(3, |image| image.channels as u64);
        let (height, width) = stated.or(crop).map_or((0, 0), |(height, width)| (height as u64, width as u64));
        let pixels = height.saturating_mul(width);
        let inspected = image.map_or(1, |image| (image.height as u64).saturating_mul(image.width as u64)).max(1);
        let largest = u128::from(inspection.map_or(0, |inspection| inspection.largest_value));
        let scaled = largest * u128::from(pixels) / u128::from(inspected);
        Self {
            weights,
            image: pixels.saturating_mul(channels.saturating_mul(VALUE_BYTES)),
            largest_value: u64::try_from(scaled).unwrap_or(u64::MAX).saturating_mul(VALUE_BYTES),
            fixed_batch: image.and_then(|image| image.batch).map(|batch| batch as u64),
            size: (height, width),
            free,
            beside_earlier: false,
        }
    }

    /// The same for a version that is loaded while an earlier one is served.
    pub(super) fn beside_earlier(self, beside_earlier: bool) -> Self {
        Self { beside_earlier, ..self }
    }

    /// The bytes that so many sessions take when each runs a batch of `batch` images.
    pub(super) fn bytes(&self, provider: Provider, sessions: usize, batch: usize) -> u64 {
        let batch = self.fixed_batch.unwrap_or(batch as u64);
        // On a GPU the network works in memory of its own, of which we do not know how much there is.
        let on_the_way = if provider.is_gpu() { 0 } else { self.largest_value };
        let images = batch.saturating_mul(self.image.saturating_add(on_the_way));
        (sessions as u64).saturating_mul(images.saturating_add(self.weights))
    }

    /// The most images up to `wanted` that a run may have, at least one.
    ///
    /// # Errors
    /// [`ModelError::Memory`] if one image is too much already.
    pub(super) fn largest_batch(
        &self,
        provider: Provider,
        sessions: usize,
        wanted: usize,
    ) -> Result<usize, ModelError> {
        // What a session takes grows with the batch, so that those which fit come first.
        let fits = |batch: &usize| self.free.is_none_or(|free| self.bytes(provider, sessions, *batch) <= free);
        match (1..=wanted.max(1)).rev().find(fits) {
            Some(batch) => Ok(batch),
            None => Err(self.refusal(provider, sessions, 1)),
        }
    }

    /// Whether sessions with such batches could be made.
    ///
    /// # Errors
    /// [`ModelError::Memory`].
    pub(super) fn check(&self, provider: Provider, sessions: usize, batch: usize) -> Result<(), ModelError> {
        match self.free {
            Some(free) if self.bytes(provider, sessions, batch) > free => Err(self.refusal(provider, sessions, batch)),
            _ => Ok(()),
        }
    }

    fn refusal(&self, provider: Provider, sessions: usize, batch: usize) -> ModelError {
        ModelError::Memory {
            sessions,
            batch: self.fixed_batch.unwrap_or(batch as u64),
            height: self.size.0,
            width: self.size.1,
            needed: shown(self.bytes(provider, sessions, batch)),
            free: shown(self.free.unwrap_or(0)),
            remedy: match (self.beside_earlier, self.fixed_batch) {
                (true, _) => {
                    "an earlier version is served until this one is, and takes memory, too: set [models] overlap = false, which unloads \
                     it first, set [batching] max_batch_size or [runtime] instances lower, or give it more memory"
                }
                (false, Some(_)) => "export the graph with a free batch or for smaller images",
                (false, None) => {
                    "set [batching] max_batch_size, [runtime] instances or [input] crop_size lower, or give it more memory"
                }
            },
        }
    }
}

/// Bytes as people read them, three digits of them.
fn shown(bytes: u64) -> String {
    if bytes == u64::MAX {
        return "more than can be counted".to_owned();
    }
    let bytes = bytes as f64;
    let (unit, name) = [(1e12, "TB"), (1e9, "GB")].into_iter().find(|(unit, _)| bytes >= *unit).unwrap_or((1e6, "MB"));
    let number = bytes / unit;
    let digits = if number >= 100.0 { 0 } else { 1 };
    format!("{number:.digits$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    /// Images of 1000x1000, 12 MB each, of which 64 MB are made on the way, with weights of 100 MB.
    const OPEN: Demand = Demand {
        weights: 100_000_000,
        image: 12_000_000,
        largest_value: 64_000_000,
        fixed_batch: None,
        size: (1000, 1000),
        free: Some(GB),
        beside_earlier: false,
    };

    #[test]
    fn a_batch_that_nobody_asked_for_is_as_large_as_memory_allows() {
        let largest = |demand: Demand, sessions| demand.largest_batch(Provider::Cpu, sessions, 8).ok();
        assert_eq!(largest(OPEN, 1), Some(8));
        assert_eq!(largest(OPEN, 2), Some(5));
        assert_eq!(largest(OPEN, 8), None);
        assert_eq!(largest(Demand { free: None, ..OPEN }, 1_000), Some(8), "unknown memory refuses nothing");
        assert_eq!(OPEN.largest_batch(Provider::Cuda, 4, 8).ok(), Some(8), "a GPU computes in its own memory");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers_and_what_to_set() {
        assert!(OPEN.check(Provider::Cpu, 2, 5).is_ok());
        let refusal = OPEN.check(Provider::Cpu, 2, 16).unwrap_err().to_string();
        for part in ["2 sessions", "16 images", "1000x1000", "2.6 GB", "1.0 GB", "max_batch_size"] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
        let beside = OPEN.beside_earlier(true).check(Provider::Cpu, 2, 16).unwrap_err().to_string();
        assert!(beside.contains("set [models] overlap = false"), "{beside}");
        let fixed = Demand { fixed_batch: Some(1 << 40), ..OPEN };
        let refusal = fixed.check(Provider::Cpu, 1, 1).unwrap_err().to_string();
        assert!(refusal.contains("1099511627776 images") && refusal.contains("free batch"), "{refusal}");
    }

    #[test]
    fn sizes_beyond_all_numbers_are_refused_and_not_reckoned_wrong() {
        let beyond = Demand { image: u64::MAX, largest_value: u64::MAX, ..OPEN };
        let refusal = beyond.check(Provider::Cpu, 256, 1024).unwrap_err().to_string();
        assert!(refusal.contains("more than can be counted"), "{refusal}");
        assert_eq!(beyond.largest_batch(Provider::Cpu, 1, 1024).ok(), None);
    }
}
