//! What was put into labels so far that no fixed list has: needed where series end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How requests have ended that were not answered.
    codes: RwLock<BTreeSet<&'static str>>,
    /// The classes that are counted, by model.
    classes: Mutex<BTreeMap<Arc<str>, BTreeSet<Arc<str>>>>,
}

impl Seen {
    pub(super) fn note_code(&self, code: &'static str) {
        if !self.codes.read().unwrap_or_else(PoisonError::into_inner).contains(code) {
            self.codes.write().unwrap_or_else(PoisonError::into_inner).insert(code);
        }
    }

    pub(super) fn codes(&self) -> BTreeSet<&'static str> {
        self.codes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_classes(&self, model: &Arc<str>, labels: &[Arc<str>]) {
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        classes.entry(model.clone()).or_default().extend(labels.iter().cloned());
    }

    /// The classes of a model, which are forgotten.
    pub(super) fn take_classes(&self, model: &Arc<str>) -> BTreeSet<Arc<str>> {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner).remove(model).unwrap_or_default()
    }
}
