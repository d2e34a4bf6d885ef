//! What of a request may say which version it gets: the values of the headers that models name. Must not know headers otherwise.

use std::sync::Arc;

/// The values that a request has under the names that some model shares its requests out by. Empty for most. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SplitKeys(Option<Arc<[NamedKey]>>);

#[derive(Debug)]
struct NamedKey {
    name: Arc<str>,
    value: Box<[u8]>,
}

impl SplitKeys {
    /// Looks up each of `names`; no value, or one without a byte, is none.
    pub(in crate::service) fn new<'v>(names: &[Arc<str>], value: impl Fn(&str) -> Option<&'v [u8]>) -> Self {
        let found = names.iter().filter_map(|name| {
            let value = value(name).filter(|value| !value.is_empty())?;
            Some(NamedKey { name: name.clone(), value: value.into() })
        });
        let found: Vec<_> = found.collect();
        Self((!found.is_empty()).then(|| found.into()))
    }

    pub(in crate::service) fn get(&self, name: &str) -> Option<&[u8]> {
        let of_name = self.0.as_ref()?.iter().find(|key| &*key.name == name)?;
        Some(&of_name.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_keys_that_are_asked_for_and_not_empty() {
        let names: Vec<Arc<str>> = ["x-user-id", "x-session", "x-empty"].map(Arc::from).into();
        let keys = SplitKeys::new(&names, |name| match name {
            "x-user-id" => Some(b"alice"),
            "x-empty" => Some(b""),
            _ => None,
        });
        assert_eq!(keys.get("x-user-id"), Some(&b"alice"[..]));
        assert!(keys.get("x-session").is_none() && keys.get("x-empty").is_none() && keys.get("other").is_none());
        assert!(SplitKeys::default().get("x-user-id").is_none());
    }
}
