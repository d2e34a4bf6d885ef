//! Parts of a JSON document that are read with no more memory than is needed: the first entries of lists, and parameters.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::service::Shown;

/// So many entries of a list are kept. A model has fewer inputs, outputs and dimensions.
const KEPT: usize = 16;

/// The first entries of a list, and how many there are; none of `null`.
#[derive(Debug)]
pub(super) struct First<T> {
    pub(super) kept: Vec<T>,
    pub(super) count: usize,
}

impl<T> Default for First<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), count: 0 }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<First<T>, E> {
                Ok(First::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
                let mut first = First::default();
                while first.kept.len() < KEPT {
                    let Some(entry) = list.next_element()? else { return Ok(first) };
                    first.kept.push(entry);
                    first.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    first.count += 1;
                }
                Ok(first)
            }
        }

        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// The value of a parameter; what no parameter can be, as a message has it.
#[derive(Debug)]
pub(super) enum Parameter {
    Bool(bool),
    Number(u64),
    Other(String),
}

impl Parameter {
    /// A whole number from 0 on, or the text of what it is.
    pub(super) fn number(self) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bool(value) => Err(value.to_string()),
            Self::Other(text) => Err(text),
        }
    }

    /// `true` or `false`, or the text of what it is.
    pub(super) fn flag(self) -> Result<bool, String> {
        match self {
            Self::Bool(value) => Ok(value),
            Self::Number(number) => Err(number.to_string()),
            Self::Other(text) => Err(text),
        }
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParameterVisitor;

        impl<'de> Visitor<'de> for ParameterVisitor {
            type Value = Parameter;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a truth value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Parameter, E> {
                Ok(Parameter::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Parameter, E> {
                Ok(Parameter::Number(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Parameter, E> {
                Ok(Parameter::Other(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Parameter, E> {
                Ok(Parameter::Other(value.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Parameter, E> {
                Ok(Parameter::Other(format!("{:?}", Shown(text))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Parameter, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Parameter::Other("[…]".to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameter, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Parameter::Other("{…}".to_owned()))
            }
        }

        deserializer.deserialize_any(ParameterVisitor)
    }
}
