//! Cascades that cannot be: in a circle, or of models that tell other classes apart by their files. Such a model is not loaded, and says
//! why; one that is served goes on as it is.
//!
//! Looked at over all that is wanted, since neither model knows of the other, and one may come long after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::wanted::{FolderSource, Source, WantedModel};
use crate::{
    model::{label_text, stated_labels},
    service::labels_difference,
};

/// What is wanted, with a reason in place of each model whose cascade cannot be.
pub(super) fn judged(mut wanted: Vec<WantedModel>) -> Vec<WantedModel> {
    let firsts: BTreeMap<String, String> = wanted.iter().filter_map(pair).collect();
    if firsts.is_empty() {
        return wanted;
    }
    let reasons: BTreeMap<String, String> =
        firsts.keys().filter_map(|name| Some((name.clone(), problem(name, &firsts, &wanted)?))).collect();
    for version in &mut wanted {
        if let Some(reason) = reasons.get(&*version.name) {
            version.source = Source::Broken(reason.clone());
        }
    }
    wanted
}

/// A model, and the one that is asked first for it.
fn pair(version: &WantedModel) -> Option<(String, String)> {
    Some((version.name.to_string(), version.cascade()??.first.to_string()))
}

fn problem(name: &str, firsts: &BTreeMap<String, String>, wanted: &[WantedModel]) -> Option<String> {
    if let Some(circle) = circle(name, firsts) {
        return Some(format!(
            "[cascade] first goes in a circle: {circle}; let one of them answer by itself, and name it in the others"
        ));
    }
    let first = firsts.get(name)?;
    let labels = |name: &str| wanted.iter().find(|it| &*it.name == name).and_then(labels);
    let (own, others) = (labels(name)?, labels(first)?);
    let difference = labels_difference((name, &own), (first, &others))?;
    Some(format!("[cascade] first = \"{first}\" tells other classes apart: {difference}; give both the same labels"))
}

/// From a model back to itself, in words; `None` where its first models end somewhere.
fn circle(name: &str, firsts: &BTreeMap<String, String>) -> Option<String> {
    let (mut at, mut path, mut seen) = (name, name.to_owned(), BTreeSet::from([name]));
    while let Some(next) = firsts.get(at) {
        path += &format!(" → {next}");
        if next == name {
            return Some(path);
        }
        if !seen.insert(next) {
            // Others go in a circle; this one leads there.
            return None;
        }
        at = next;
    }
    None
}

/// The names of a model's classes, where a file says them.
fn labels(version: &WantedModel) -> Option<Arc<[Arc<str>]>> {
    let text = match &version.source {
        Source::Folder(FolderSource { folder, manifest, .. }) => {
            label_text(&folder.path, manifest.output.labels.as_deref()).ok()??
        }
        Source::BuiltIn(built_in, _) => built_in.labels.to_owned(),
        Source::Broken(_) => return None,
    };
    stated_labels(&text)
}
