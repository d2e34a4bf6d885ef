//! Which classes an answer has: what was asked, held against what the model has. Pure.

use std::sync::Arc;

use super::{ClassesWanted, DEFAULT_TOP_K, Error, ErrorKind, ErrorSubject, Prediction};
use crate::postprocess::top_k;

/// What was asked of the classes, within what the model has.
#[derive(Clone, Copy)]
pub(super) struct Classes {
    top_k: usize,
    minimum: f32,
}

impl Classes {
    /// * `classes`: how many the model has
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for what is out of range.
    pub(super) fn of(wanted: ClassesWanted, classes: usize) -> Result<Self, Error> {
        if let Some(minimum) = wanted.min_probability.filter(|minimum| !(0.0..=1.0).contains(minimum)) {
            let message = format!("min_probability is {minimum}, allowed is 0 to 1");
            return Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("min_probability")));
        }
        let minimum = wanted.min_probability.unwrap_or(f32::NEG_INFINITY);
        match wanted.top_k {
            None => Ok(Self { top_k: DEFAULT_TOP_K.min(classes), minimum }),
            Some(top_k) if (1..=classes).contains(&top_k) => Ok(Self { top_k, minimum }),
            Some(top_k) => {
                let message = format!("top_k is {top_k}, allowed is 1 to {classes}, the number of classes");
                Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("top_k")))
            }
        }
    }

    /// The classes of one image, by their names.
    ///
    /// * `row`: their probabilities
    /// * `labels`: one a class
    pub(super) fn name(self, labels: &[Arc<str>], row: &[f32]) -> Vec<Prediction> {
        let best = top_k(row, self.top_k, self.minimum).into_iter();
        best.filter_map(|(index, probability)| {
            let label = labels.get(index)?.clone();
            Some(Prediction { index, label, probability })
        })
        .collect()
    }
}
