//! What is counted of API keys and of tokens: of keys by their names in the file, of tokens by the grant that they came by, so the number of both has
//! an end. Never a key, a token, or who one says it is of.

use std::{sync::Arc, time::SystemTime};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::count::Count;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyLabel {
    key: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyOutcomeLabels {
    key: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NoKeyLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What becomes of a request of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// It was let in.
    Admitted,
    /// The key lacks the right, or the model.
    Denied,
    /// The key's limits are used up.
    Limited,
}

impl KeyOutcome {
    const ALL: [Self; 3] = [Self::Admitted, Self::Denied, Self::Limited];

    fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Denied => "denied",
            Self::Limited => "limited",
        }
    }
}

/// The families of all keys. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct KeyMetrics {
    requests: Family<KeyOutcomeLabels, Count>,
    images: Family<KeyLabel, Count>,
    in_flight: Family<KeyLabel, Gauge>,
    refused: Family<NoKeyLabel, Count>,
    reloads: Family<OutcomeLabel, Count>,
    keys: Gauge,
    issuer_looks: Family<OutcomeLabel, Count>,
    signing_keys: Gauge,
    signing_keys_read: Gauge,
}

impl KeyMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "auth_requests_total",
            "Requests of an API key, or by a grant for tokens: admitted, denied (no right, or not for the model), limited",
            self.requests.clone(),
        );
        registry.register("auth_images_total", "Images that an API key asked about", self.images.clone());
        registry.register(
            "auth_in_flight_requests",
            "Requests of an API key between their head and their answer",
            self.in_flight.clone(),
        );
        registry.register(
            "auth_refused_total",
            "Requests without a key or token that counts, by the reason: absent, malformed, unknown, revoked, expired and the like",
            self.refused.clone(),
        );
        registry.register(
            "auth_reloads_total",
            "Changes of the file of keys that were taken or refused",
            self.reloads.clone(),
        );
        registry.register("auth_keys", "API keys in force; 0 where none are configured", self.keys.clone());
        registry.register(
            "auth_oidc_looks_total",
            "Looks at the signing keys of the issuer of tokens: taken, same, failed",
            self.issuer_looks.clone(),
        );
        registry.register(
            "auth_oidc_signing_keys",
            "Keys of the issuer of tokens in force; 0 where none were read",
            self.signing_keys.clone(),
        );
        registry.register(
            "auth_oidc_read_timestamp_seconds",
            "When the keys of the issuer of tokens were read last, in seconds since 1970; 0: never",
            self.signing_keys_read.clone(),
        );
    }

    /// The handles of one key.
    pub fn key(&self, name: &Arc<str>) -> KeyMeter {
        let of_key = KeyLabel { key: name.clone() };
        let requests = |outcome: KeyOutcome| {
            let labels = KeyOutcomeLabels { key: name.clone(), outcome: outcome.name() };
            self.requests.get_or_create_owned(&labels).0
        };
        KeyMeter {
            requests: KeyOutcome::ALL.map(requests),
            images: self.images.get_or_create_owned(&of_key).0,
            in_flight: self.in_flight.get_or_create_owned(&of_key),
        }
    }

    /// A key is gone, and its series with it.
    pub fn end(&self, name: &Arc<str>) {
        let of_key = KeyLabel { key: name.clone() };
        for outcome in KeyOutcome::ALL {
            self.requests.remove(&KeyOutcomeLabels { key: name.clone(), outcome: outcome.name() });
        }
        self.images.remove(&of_key);
        self.in_flight.remove(&of_key);
    }

    /// Counts a request without a key that counts.
    ///
    /// * `reason`: of a fixed list
    pub fn note_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&NoKeyLabel { reason }).0.inc();
    }

    /// Counts a change of the file.
    pub fn note_reload(&self, is_taken: bool) {
        let outcome = if is_taken { "taken" } else { "refused" };
        self.reloads.get_or_create(&OutcomeLabel { outcome }).0.inc();
    }

    /// Says how many keys are in force.
    pub fn note_keys(&self, count: usize) {
        self.keys.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a look at the keys of the issuer of tokens.
    ///
    /// * `outcome`: of a fixed list
    pub fn note_issuer_look(&self, outcome: &'static str) {
        self.issuer_looks.get_or_create(&OutcomeLabel { outcome }).0.inc();
    }

    /// Says how many keys of the issuer are in force, and when they were read.
    pub fn note_signing_keys(&self, count: usize, at: SystemTime) {
        self.signing_keys.set(i64::try_from(count).unwrap_or(i64::MAX));
        let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.signing_keys_read.set(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX));
    }
}

/// The handles of one key.
#[derive(Clone, Debug)]
pub struct KeyMeter {
    requests: [Counter; KeyOutcome::ALL.len()],
    images: Counter,
    in_flight: Gauge,
}

impl KeyMeter {
    /// Counts a request.
    pub fn note(&self, outcome: KeyOutcome) {
        let [admitted, denied, limited] = &self.requests;
        let of_outcome = match outcome {
            KeyOutcome::Admitted => admitted,
            KeyOutcome::Denied => denied,
            KeyOutcome::Limited => limited,
        };
        of_outcome.inc();
    }

    /// Counts images.
    pub fn note_images(&self, count: usize) {
        self.images.inc_by(count as u64);
    }

    /// A request is there.
    pub fn begin(&self) {
        self.in_flight.inc();
    }

    /// It is over.
    pub fn end(&self) {
        self.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_key_that_is_gone_leaves_no_series() {
        let metrics = Metrics::default();
        let name = Arc::from("front");
        let meter = metrics.keys().key(&name);
        meter.note(KeyOutcome::Admitted);
        meter.note_images(3);
        let text = metrics.own_text();
        assert!(text.contains("resnetd_auth_requests_total{key=\"front\",outcome=\"admitted\"} 1\n"), "{text}");
        assert!(text.contains("resnetd_auth_images_total{key=\"front\"} 3\n"), "{text}");
        metrics.keys().end(&name);
        assert!(!metrics.own_text().contains("front"), "{}", metrics.own_text());
    }
}
