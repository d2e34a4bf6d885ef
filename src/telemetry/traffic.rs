//! The numbers of shared-out and mirrored traffic. What a mirrored image does is counted here and nowhere else.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::{cascade::CascadeFamily, count::Count};

/// The upper bounds of the distance between two answers; probabilities differ by 1 at most.
const DISTANCES: [f64; 12] = [1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0];

/// What became of an image that was to be mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowOutcome {
    /// It was run, and compared with the answer.
    Compared,
    /// Its run failed.
    Failed,
    /// Dropped: others waited already.
    Busy,
    /// Dropped: the default version had enough to do.
    Loaded,
    /// Dropped: requests took half of the memory that they may.
    Memory,
    /// The two versions cannot be compared: other classes, or a tensor of another shape.
    Unlike,
}

impl ShadowOutcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Compared, Self::Failed, Self::Busy, Self::Loaded, Self::Memory, Self::Unlike];

    /// Its name as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compared => "compared",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Loaded => "loaded",
            Self::Memory => "memory",
            Self::Unlike => "unlike",
        }
    }
}

/// A rule that a version can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardRule {
    /// `max_error_rate`
    ErrorRate,
    /// `max_latency_ratio`
    LatencyRatio,
    /// `min_agreement`
    Agreement,
}

impl GuardRule {
    /// Its name in the settings, and as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => "max_error_rate",
            Self::LatencyRatio => "max_latency_ratio",
            Self::Agreement => "min_agreement",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ShadowLabels {
    model: Arc<str>,
    version: u64,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VersionLabels {
    model: Arc<str>,
    version: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NameLabels {
    model: Arc<str>,
    version: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RuleLabels {
    model: Arc<str>,
    version: u64,
    rule: &'static str,
}

/// The families of all models.
#[derive(Debug)]
pub struct TrafficFamilies {
    shadow_requests: Family<ShadowLabels, Count>,
    agreements: Family<VersionLabels, Count>,
    distance: Family<VersionLabels, Histogram>,
    fallbacks: Family<NameLabels, Count>,
    tripped: Family<RuleLabels, Count>,
    /// Images that two models answer in turn.
    pub(crate) cascades: CascadeFamily,
}

impl Default for TrafficFamilies {
    fn default() -> Self {
        Self {
            shadow_requests: Family::default(),
            agreements: Family::default(),
            distance: Family::new_with_constructor(|| Histogram::new(DISTANCES)),
            fallbacks: Family::default(),
            tripped: Family::default(),
            cascades: CascadeFamily::default(),
        }
    }
}

/// The counts of one version that answers are mirrored to.
#[derive(Clone, Debug)]
pub struct ShadowMetrics {
    /// By the outcome's number.
    outcomes: [Counter; ShadowOutcome::ALL.len()],
    agreements: Counter,
    distance: Histogram,
}

impl TrafficFamilies {
    /// A version is gone, and so is what was counted of it.
    pub(super) fn end(&self, model: &Arc<str>, version: u64) {
        for outcome in ShadowOutcome::ALL {
            self.shadow_requests.remove(&ShadowLabels { model: model.clone(), version, outcome: outcome.name() });
        }
        let labels = VersionLabels { model: model.clone(), version };
        self.agreements.remove(&labels);
        self.distance.remove(&labels);
        for rule in [GuardRule::ErrorRate, GuardRule::LatencyRatio, GuardRule::Agreement] {
            self.tripped.remove(&RuleLabels { model: model.clone(), version, rule: rule.name() });
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.cascades.register(registry);
        registry.register(
            "shadow_requests_total",
            "Images that were to be run by a second version for comparison, by what became of them",
            self.shadow_requests.clone(),
        );
        registry.register(
            "shadow_agreements_total",
            "Compared images of which both versions say the same most probable class",
            self.agreements.clone(),
        );
        registry.register(
            "shadow_probability_distance",
            "The largest difference of a class's probability between the two versions, of each compared image",
            self.distance.clone(),
        );
        registry.register(
            "traffic_fallbacks_total",
            "Requests that the default version got because the one that was to have them did not answer",
            self.fallbacks.clone(),
        );
        registry.register(
            "traffic_guard_tripped_total",
            "Versions that were turned back because they broke a rule of [traffic.guard]",
            self.tripped.clone(),
        );
    }

    /// The handles of a version that is a shadow.
    pub fn shadow(&self, model: &Arc<str>, version: u64) -> ShadowMetrics {
        let of_version = VersionLabels { model: model.clone(), version };
        ShadowMetrics {
            outcomes: ShadowOutcome::ALL.map(|outcome| {
                let labels = ShadowLabels { model: model.clone(), version, outcome: outcome.name() };
                self.shadow_requests.get_or_create_owned(&labels).0
            }),
            agreements: self.agreements.get_or_create_owned(&of_version).0,
            distance: self.distance.get_or_create_owned(&of_version),
        }
    }

    /// Counts the requests that one version should have had and the default version got.
    ///
    /// * `name`: of the version, as the settings have it
    pub fn fallbacks(&self, model: &Arc<str>, name: &str) -> Counter {
        self.fallbacks.get_or_create_owned(&NameLabels { model: model.clone(), version: name.to_owned() }).0
    }

    /// Counts the versions that were turned back.
    pub fn tripped(&self, model: &Arc<str>, version: u64, rule: GuardRule) -> Counter {
        let labels = RuleLabels { model: model.clone(), version, rule: rule.name() };
        self.tripped.get_or_create_owned(&labels).0
    }
}

impl ShadowMetrics {
    /// Counts an image.
    pub fn note(&self, outcome: ShadowOutcome) {
        if let Some(count) = self.outcomes.get(outcome as usize) {
            count.inc();
        }
    }

    /// Counts an image that was compared.
    pub fn note_comparison(&self, agrees: bool, distance: f64) {
        self.note(ShadowOutcome::Compared);
        if agrees {
            self.agreements.inc();
        }
        self.distance.observe(distance);
    }

    /// Images by what became of them, and those of one mind.
    pub fn counts(&self) -> ([(ShadowOutcome, u64); ShadowOutcome::ALL.len()], u64) {
        let of = |outcome| (outcome, self.outcomes.get(outcome as usize).map_or(0, Counter::get));
        (ShadowOutcome::ALL.map(of), self.agreements.get())
    }
}
