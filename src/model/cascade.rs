//! `[cascade]` of `model.toml`: a smaller model that is asked first. Pure.

use serde::{Deserialize, Serialize};

use crate::settings::{SettingError, in_range};

/// `[cascade]`: requests for this model that name no version are answered by another one where that is sure enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CascadeSection {
    /// The model that is asked first; without it there is no cascade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Its answer holds where its most probable class is at least so probable, 0 to 1.
    pub threshold: f32,
}

impl Default for CascadeSection {
    fn default() -> Self {
        Self { first: None, threshold: 0.9 }
    }
}

impl CascadeSection {
    /// Whether nothing is said.
    pub(super) fn is_absent(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// [`SettingError`] for a threshold that is no probability, or a model without a name.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        in_range("cascade.threshold", &self.threshold, 0.0..=1.0)?;
        if self.first.as_deref() == Some("") {
            let problem = "it is empty: name the model that is asked first, or leave [cascade] out".to_owned();
            return Err(SettingError::Key { key: "cascade.first".to_owned(), problem });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_probability() {
        let section = |text| toml::from_str::<CascadeSection>(text).unwrap();
        assert_eq!(section("first = \"small\"").validate(), Ok(()));
        assert_eq!(section("").threshold, 0.9);
        for text in ["threshold = 1.1", "threshold = -0.1", "threshold = nan", "first = \"\""] {
            assert!(section(text).validate().unwrap_err().to_string().contains("cascade."), "{text}");
        }
    }
}
