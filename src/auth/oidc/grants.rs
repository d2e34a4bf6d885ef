//! What the holder of a token may: the first grant that one of its claims fits, else what all of them may.

use std::sync::Arc;

use super::{
    claims::{ClaimPath, TokenClaims},
    options::TokenGrant,
};
use crate::{
    auth::{allowance::Limits, key_file::Right, permit::Permit},
    telemetry::KeyMetrics,
};

/// What the metrics call whoever no grant fits.
const OTHERS: &str = "oidc";

#[derive(Debug)]
pub(super) struct Grants {
    grants: Vec<(ClaimPath, String, Arc<Permit>)>,
    otherwise: Option<Arc<Permit>>,
}

impl Grants {
    /// * `rights`, `models`: of whoever no grant fits; no right, and such a token is refused
    pub(super) fn new(grants: &[TokenGrant], rights: &[Right], models: &[String], metrics: &KeyMetrics) -> Self {
        let permit = |name: &str, rights: &[Right], models: &[String], limits: &Limits| {
            Arc::new(Permit::new(&name.into(), (rights, models), limits, metrics))
        };
        let grant = |it: &TokenGrant| {
            let name = format!("{OTHERS}:{}", it.name);
            (ClaimPath::new(&it.claim), it.value.clone(), permit(&name, &it.rights, &it.models, &it.limits))
        };
        let otherwise = (!rights.is_empty()).then(|| permit(OTHERS, rights, models, &Limits::default()));
        Self { grants: grants.iter().map(grant).collect(), otherwise }
    }

    pub(super) fn of(&self, claims: &TokenClaims) -> Option<&Arc<Permit>> {
        let fits = |(claim, value, _): &&(ClaimPath, String, Arc<Permit>)| claim.says(claims, value);
        self.grants.iter().find(fits).map(|(.., permit)| permit).or(self.otherwise.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::{all_models, usual_rights};

    fn grant(name: &str, claim: &str, value: &str, rights: &[Right]) -> TokenGrant {
        TokenGrant {
            name: name.to_owned(),
            claim: claim.to_owned(),
            value: value.to_owned(),
            rights: rights.to_vec(),
            models: all_models(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn the_first_grant_that_fits_counts_and_without_one_what_all_may() {
        let list = [grant("ops", "groups", "ops", &[Right::Manage]), grant("a", "sub", "alice", &[Right::Read])];
        let grants = Grants::new(&list, &usual_rights(), &["pets".to_owned()], &KeyMetrics::default());
        let of = |claims: serde_json::Value| grants.of(claims.as_object().unwrap()).unwrap().clone();
        assert_eq!(of(json!({"sub": "alice", "groups": ["x", "ops"]})).rights(), "manage");
        assert_eq!(of(json!({"sub": "alice"})).rights(), "read");
        let other = of(json!({"sub": "bob", "groups": "op"}));
        assert!(other.rights() == "classify, read" && other.is_for("pets") && !other.is_for("cars"));
        let strict = Grants::new(&list, &[], &[], &KeyMetrics::default());
        assert!(strict.of(json!({"sub": "bob"}).as_object().unwrap()).is_none());
    }
}
