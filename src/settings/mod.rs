//! Settings in layers, and their ranges: how a file lies over the defaults, and an environment over the file.
//!
//! The configuration file and `model.toml` use the same two tools, so a typo reads the same in both; what the two say of a
//! model in the same words, [`Batching`] and [`RuntimeSettings`], is here as well.
//! A leaf: it says what was asked for, and knows nobody who does it.

mod goal;
mod model;

use std::{fmt::Display, ops::RangeInclusive};

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

pub use goal::{Goal, GoalError};
pub use model::{Batching, PrecisionChoice, ProviderChoice, RuntimeSettings};

/// A key that is unknown, or a value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Unknown key, or a value of the wrong type.
    #[error("`{key}`: {problem}")]
    Key {
        /// The path, `batching.max_batch_size`.
        key: String,
        /// What is wrong; names what is allowed.
        problem: String,
    },
    /// A number out of its range.
    #[error("`{key}` is {value}, allowed is {allowed}")]
    Range {
        /// The path.
        key: String,
        /// The offending value.
        value: String,
        /// The range.
        allowed: String,
    },
    /// A number that is less than another setting.
    #[error("`{key}` is {value}, allowed is `{bound}` or more, which is {bound_value}")]
    Less {
        /// The path.
        key: String,
        /// The offending value.
        value: String,
        /// The path of the other.
        bound: String,
        /// Its value.
        bound_value: String,
    },
}

impl SettingError {
    /// The settings that it speaks of.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Key { key, .. } | Self::Range { key, .. } => vec![key],
            Self::Less { key, bound, .. } => vec![key, bound],
        }
    }
}

/// Parses a file of settings.
///
/// # Errors
/// Line, column and what is wrong there, on one line.
pub fn parse(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error: toml::de::Error| {
        let message = error.message().trim().replace('\n', ", ");
        let Some(start) = error.span().map(|span| span.start.min(text.len())) else { return message };
        let before = text.get(..start).unwrap_or_default();
        let (line, column) =
            (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
        format!("line {line}, column {column}: {message}")
    })
}

/// Lays `over` on top of `base`, key by key.
///
/// # Errors
/// [`SettingError::Key`] for what `T` does not know.
pub fn overlay<T: Serialize + DeserializeOwned>(base: &T, over: Table) -> Result<T, SettingError> {
    let key_error = |key: String, problem: String| SettingError::Key { key, problem };
    let mut merged = Value::try_from(base).map_err(|error| key_error(String::new(), error.to_string()))?;
    merge(&mut merged, Value::Table(over));
    serde_path_to_error::deserialize(merged).map_err(|error| {
        // If the key itself is unknown, the path ends with the table that it stands in; the message names the key.
        let problem = error.inner().message().trim().replace('\n', " ");
        key_error(error.path().to_string(), problem)
    })
}

/// Lays `over` on top of `base`, key by key, whatever they mean.
pub fn lay_over(base: &mut Table, over: Table) {
    let mut merged = Value::Table(std::mem::take(base));
    merge(&mut merged, Value::Table(over));
    if let Value::Table(merged) = merged {
        *base = merged;
    }
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Table(base), Value::Table(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(old) => merge(old, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Checks that `value` is in `allowed`.
///
/// # Errors
/// [`SettingError::Range`].
pub fn in_range<T: PartialOrd + Display>(key: &str, value: &T, allowed: RangeInclusive<T>) -> Result<(), SettingError> {
    if allowed.contains(value) {
        return Ok(());
    }
    let allowed = format!("{} to {}", short(allowed.start()), short(allowed.end()));
    Err(SettingError::Range { key: key.to_owned(), value: short(value), allowed })
}

/// Checks that `value` is more than nothing, and at most `limit`.
///
/// # Errors
/// [`SettingError::Range`].
pub fn positive<T: PartialOrd + Display + Default>(key: &str, value: &T, limit: &T) -> Result<(), SettingError> {
    if *value > T::default() && value <= limit {
        return Ok(());
    }
    let allowed = format!("more than 0, up to {}", short(limit));
    Err(SettingError::Range { key: key.to_owned(), value: short(value), allowed })
}

/// A number as people write it: the smallest and the largest have hundreds of digits otherwise.
fn short(number: &impl Display) -> String {
    const LONGEST: usize = 20;
    let text = number.to_string();
    match text.parse::<f64>() {
        Ok(number) if text.len() > LONGEST => format!("{number:.3e}"),
        _ => text,
    }
}

/// Checks that a setting is not less than another. Each is given with its path.
///
/// # Errors
/// [`SettingError::Less`].
pub fn at_least<T: PartialOrd + Display>(this: (&str, &T), bound: (&str, &T)) -> Result<(), SettingError> {
    if this.1 >= bound.1 {
        return Ok(());
    }
    let ((key, value), (bound, bound_value)) = (this, bound);
    Err(SettingError::Less {
        key: key.to_owned(),
        value: value.to_string(),
        bound: bound.to_owned(),
        bound_value: bound_value.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_messages_are_short() {
        let message = |value: f64| in_range("x", &value, f64::MIN_POSITIVE..=1e6).unwrap_err().to_string();
        assert_eq!(message(1e300), "`x` is 1.000e300, allowed is 2.225e-308 to 1000000");
        assert_eq!(message(f64::NAN), "`x` is NaN, allowed is 2.225e-308 to 1000000");
        assert_eq!(
            positive("x", &0.0, &1e6).unwrap_err().to_string(),
            "`x` is 0, allowed is more than 0, up to 1000000"
        );
        assert!(positive("x", &f32::NAN, &1e6).is_err() && positive("x", &1e-40_f32, &1e6).is_ok());
        assert_eq!(
            in_range("x", &u64::MAX, 0..=9).unwrap_err().to_string(),
            format!("`x` is {}, allowed is 0 to 9", u64::MAX)
        );
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_by_line_and_column_on_one_line() {
        assert_eq!(parse("a = 1").unwrap().len(), 1);
        for (text, place) in
            [("a = 1\n\nb = = 2\n", "line 3, column 5: "), ("x", "line 1, column "), ("ä = [1,\n", "line ")]
        {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with(place) && !message.contains('\n'), "{message:?}");
        }
    }
}
