//! A model that is asked for, and a smaller one that is asked first: where that stands in a snapshot of what is served.
//!
//! A rule belongs to a model's name, as labels do. What it comes to is found when the snapshot is made, so that a request looks it up.

use std::{collections::BTreeMap, sync::Arc};

use super::served::Served;
use crate::{
    postprocess::labels_difference,
    telemetry::{CascadeMetrics, CascadeReason},
};

/// Which model is asked first, and how sure it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct CascadeRule {
    /// By its name; its highest version that answers is asked, by itself, whatever cascade it may have.
    pub first: Arc<str>,
    /// The least probability of its most probable class, 0 to 1.
    pub threshold: f32,
}

/// A model's cascade, and whether it is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct CascadeStatus {
    /// The name in the route.
    pub model: Arc<str>,
    /// Whom it asks first.
    pub rule: CascadeRule,
    /// Why it answers all by itself now; `None` where the cascade is followed.
    pub obstacle: Option<String>,
}

/// A rule and what it comes to.
#[derive(Clone)]
pub(super) struct Cascade {
    pub(super) rule: CascadeRule,
    pub(super) metrics: Arc<CascadeMetrics>,
    pub(super) standing: FirstStanding,
}

/// Whether there is a first model to ask.
#[derive(Clone)]
pub(super) enum FirstStanding {
    First(Arc<Served>),
    Missing,
    /// It tells other classes apart; the first difference.
    OtherLabels(String),
}

impl Cascade {
    /// * `model`: whose it is
    pub(super) fn status(&self, model: &Arc<str>) -> CascadeStatus {
        let first = &self.rule.first;
        let obstacle = match &self.standing {
            FirstStanding::First(_) => None,
            FirstStanding::Missing => Some(format!("no version of `{first}` answers now")),
            FirstStanding::OtherLabels(difference) => Some(difference.clone()),
        };
        CascadeStatus { model: model.clone(), rule: self.rule.clone(), obstacle }
    }

    /// The first model, where no version of it answers.
    pub(super) fn missing(&self) -> Option<&Arc<str>> {
        matches!(self.standing, FirstStanding::Missing).then_some(&self.rule.first)
    }
}

impl FirstStanding {
    /// * `first`: the version of the first model that answers
    /// * `own`: the version of the model that is asked for
    pub(super) fn of(first: Option<&Arc<Served>>, own: Option<&Arc<Served>>) -> Self {
        let (Some(first), Some(own)) = (first, own) else { return Self::Missing };
        let named = |served: &Arc<Served>| (served.model.name.clone(), served.model.info.labels.clone());
        let ((name, labels), (other, others)) = (named(own), named(first));
        match labels_difference((&name, &labels), (&other, &others)) {
            None => Self::First(first.clone()),
            Some(difference) => Self::OtherLabels(difference),
        }
    }

    /// Whether it goes for this version of the model that is asked for, too: one that gets a part of its requests may tell other classes
    /// apart.
    pub(super) fn is_for(&self, own: &Arc<Served>) -> bool {
        match self {
            Self::First(first) => first.model.info.labels == own.model.info.labels,
            Self::Missing | Self::OtherLabels(_) => true,
        }
    }

    /// Why the first model is not asked; `None` where it is.
    pub(super) fn obstacle(&self) -> Option<CascadeReason> {
        match self {
            Self::First(_) => None,
            Self::Missing => Some(CascadeReason::Missing),
            Self::OtherLabels(_) => Some(CascadeReason::OtherLabels),
        }
    }

    fn difference(&self) -> Option<&str> {
        if let Self::OtherLabels(difference) = self { Some(difference) } else { None }
    }
}

/// Cascades by the model that is asked for.
pub(super) type Cascades = BTreeMap<Arc<str>, Arc<Cascade>>;

/// Finds anew what every rule comes to, and says so where a first model began to tell other classes apart.
///
/// * `available`: the version of a model that answers
pub(super) fn settle(cascades: &mut Cascades, available: impl Fn(&str) -> Option<Arc<Served>>) {
    for (name, cascade) in cascades {
        let standing = FirstStanding::of(available(&cascade.rule.first).as_ref(), available(name).as_ref());
        if let Some(difference) = standing.difference().filter(|now| cascade.standing.difference() != Some(now)) {
            tracing::warn!(
                model = &**name,
                first = &*cascade.rule.first,
                "[cascade] is not followed, the model answers all by itself: {difference}; give both the same labels"
            );
        }
        let Cascade { rule, metrics, .. } = &**cascade;
        *cascade = Arc::new(Cascade { rule: rule.clone(), metrics: metrics.clone(), standing });
    }
}
