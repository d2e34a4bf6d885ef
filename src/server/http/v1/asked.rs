//! The outputs that a client asks for beside the classes, and how they are to be written in JSON.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::service::{Error, Target};

/// So many names are kept: more than any model has outputs.
const KEPT: usize = 8;

/// Names of outputs, in the order of the answer; the others are counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AskedOutputs {
    names: Vec<String>,
    count: usize,
}

impl AskedOutputs {
    /// From a list as the query and forms have it: `features,logits`. An empty text asks for none.
    pub(super) fn listed(text: &str) -> Self {
        let mut asked = Self::default();
        if !text.is_empty() {
            text.split(',').for_each(|name| asked.add(|| name.trim().to_owned()));
        }
        asked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The names, if so many can be meant.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for one that is asked for twice, and for more than the model has.
    pub(super) fn of(self, target: &Target) -> Result<Vec<String>, Error> {
        target.check_outputs(self.names.iter().map(String::as_str), self.count)?;
        Ok(self.names)
    }

    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < KEPT {
            self.names.push(name());
        }
    }
}

impl<'de> Deserialize<'de> for AskedOutputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;

        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = AskedOutputs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names such as [\"features\"]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AskedOutputs, A::Error> {
                let mut asked = AskedOutputs::default();
                while asked.names.len() < KEPT {
                    let Some(name) = list.next_element()? else { return Ok(asked) };
                    asked.add(|| name);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    asked.count += 1;
                }
                Ok(asked)
            }
        }

        deserializer.deserialize_seq(NamesVisitor)
    }
}

/// How outputs are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As lists of numbers.
    #[default]
    Numbers,
    /// As base64 of `f32`, little-endian.
    Base64,
}

impl Encoding {
    /// By its name: `numbers` or `base64`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "numbers" => Some(Self::Numbers),
            "base64" => Some(Self::Base64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_their_order_and_counted_beyond_what_a_model_can_have() {
        let asked = AskedOutputs::listed("features, logits");
        assert_eq!((asked.names, asked.count), (vec!["features".to_owned(), "logits".to_owned()], 2));
        assert!(AskedOutputs::listed("").is_empty());
        assert_eq!(AskedOutputs::listed("features,").names, ["features", ""]);
        let many = vec!["features"; 10_000];
        for asked in [
            AskedOutputs::listed(&many.join(",")),
            serde_json::from_str(&serde_json::to_string(&many).expect("JSON")).expect("a list"),
        ] {
            assert_eq!((asked.names.len(), asked.count), (KEPT, 10_000));
        }
        assert!(serde_json::from_str::<AskedOutputs>("[]").expect("a list").is_empty());
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for json in ["\"features\"", "[1]", "[null]", "{\"features\": true}", "[[\"features\"]]"] {
            assert!(serde_json::from_str::<AskedOutputs>(json).is_err(), "{json}");
        }
    }
}
