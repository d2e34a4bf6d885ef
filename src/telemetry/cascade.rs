//! Which model of a cascade answered, image by image, and why.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::count::Count;

/// Why an image of a cascade was answered by the model that answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CascadeReason {
    /// The first model was sure.
    Sure,
    /// It was not.
    Unsure,
    /// It could not be run.
    Failed,
    /// It is not served.
    Missing,
    /// It tells other classes apart.
    OtherLabels,
}

impl CascadeReason {
    const ALL: [Self; 5] = [Self::Sure, Self::Unsure, Self::Failed, Self::Missing, Self::OtherLabels];

    fn name(self) -> &'static str {
        match self {
            Self::Sure => "sure",
            Self::Unsure => "unsure",
            Self::Failed => "first_failed",
            Self::Missing => "first_missing",
            Self::OtherLabels => "other_labels",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CascadeLabels {
    model: Arc<str>,
    answered_by: Arc<str>,
    reason: &'static str,
}

/// The images of all cascades.
#[derive(Debug, Default)]
pub(crate) struct CascadeFamily(Family<CascadeLabels, Count>);

impl CascadeFamily {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Images that a cascade answered, by the model that did and why it was that one";
        registry.register("cascade_images_total", help, self.0.clone());
    }

    /// The handles of one cascade.
    ///
    /// * `model`: the one that is asked for
    /// * `first`: the one that is asked first
    pub(crate) fn of(&self, model: &Arc<str>, first: &Arc<str>) -> CascadeMetrics {
        CascadeMetrics(CascadeReason::ALL.map(|reason| {
            let answered_by = if reason == CascadeReason::Sure { first } else { model };
            let labels =
                CascadeLabels { model: model.clone(), answered_by: answered_by.clone(), reason: reason.name() };
            self.0.get_or_create_owned(&labels).0
        }))
    }
}

/// The handles of one cascade, by the reason's number.
#[derive(Debug)]
pub struct CascadeMetrics([Counter; CascadeReason::ALL.len()]);

impl CascadeMetrics {
    /// Counts an image.
    pub fn note(&self, reason: CascadeReason) {
        if let Some(count) = self.0.get(reason as usize) {
            count.inc();
        }
    }
}
