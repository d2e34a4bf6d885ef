//! Settings from several places, laid over each other and judged once, when all of them are there.
//!
//! What is refused names the place that it comes from. Which settings there are, this file does not know.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use crate::settings::{SettingError, lay_over, overlay};

/// The settings of one place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SettingLayer {
    /// Where they come from, as messages say it: a file, an environment variable, a flag.
    pub(super) origin: String,
    pub(super) table: Table,
}

/// A setting that is refused, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The places of the settings that `cause` names; empty where all of them are at their defaults.
    pub origins: Vec<String>,
    /// Which setting, and what is allowed.
    pub cause: SettingError,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origins.is_empty() {
            write!(f, "{}: ", self.origins.join(" and "))?;
        }
        self.cause.fmt(f)
    }
}

/// Lays `layers` over `defaults`, the last one on top, and judges what is then in force.
///
/// # Errors
/// [`Refusal`], for a key that is unknown, a value of the wrong type, and what `validate` says.
pub(super) fn judge<T: Serialize + DeserializeOwned>(
    defaults: &T,
    layers: &[SettingLayer],
    validate: impl Fn(&T) -> Result<(), SettingError>,
) -> Result<T, Refusal> {
    let mut merged = Table::new();
    for layer in layers {
        lay_over(&mut merged, layer.table.clone());
    }
    let judged = overlay(defaults, merged).map_err(|cause| {
        // Keys and types do not depend on each other: the place that is refused for itself is the one.
        let refused = |layer: &&SettingLayer| overlay(defaults, layer.table.clone()).is_err_and(|alone| alone == cause);
        let origins = layers.iter().rev().find(refused).map(|layer| layer.origin.clone());
        Refusal { origins: origins.into_iter().collect(), cause }
    })?;
    validate(&judged).map_err(|cause| {
        let mut origins: Vec<_> = cause.keys().iter().filter_map(|key| origin(layers, key)).collect();
        origins.dedup();
        Refusal { origins, cause }
    })?;
    Ok(judged)
}

/// The place that `key` has its value from; `None` where it is the default.
fn origin(layers: &[SettingLayer], key: &str) -> Option<String> {
    let sets = |layer: &&SettingLayer| {
        let mut keys = key.split('.');
        let first = keys.next().and_then(|key| layer.table.get(key));
        keys.fold(first, |value, key| value.and_then(Value::as_table).and_then(|table| table.get(key))).is_some()
    };
    layers.iter().rev().find(sets).map(|layer| layer.origin.clone())
}

/// The settings of one environment variable: `BATCHING__MAX_BATCH_SIZE` and `16` as a table of tables.
///
/// * `defaults`: what is text there is text here, whatever it looks like
pub(super) fn of_variable(key: &str, text: &str, defaults: &Value) -> Table {
    let mut keys: Vec<_> = key.split("__").map(str::to_lowercase).collect();
    let default = keys.iter().try_fold(defaults, |value, key| value.get(key));
    let parsed = format!("value = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let parsed = parsed.and_then(|mut table| table.remove("value"));
    let value = match (parsed, default) {
        (Some(Value::String(quoted)), _) => Value::String(quoted),
        (Some(other), None) => other,
        (Some(other), Some(default)) if !default.is_str() => other,
        _ => Value::String(text.to_owned()),
    };
    let innermost = keys.pop().unwrap_or_default();
    let table = Table::from_iter([(innermost, value)]);
    keys.into_iter().rev().fold(table, |inner, key| Table::from_iter([(key, Value::Table(inner))]))
}
