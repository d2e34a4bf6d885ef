//! `limits.fair_by`: what tells clients apart that take turns.

use hyper::header::HeaderName;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// What tells clients apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FairKey {
    /// Nothing does.
    #[default]
    None,
    /// The header `x-api-key`, else `authorization`.
    ApiKey,
    /// A header by its name.
    Header(HeaderName),
    /// The address of the other end of the connection.
    Address,
}

const HEADER: &str = "header:";

impl Serialize for FairKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::ApiKey => serializer.serialize_str("api_key"),
            Self::Header(name) => serializer.serialize_str(&format!("{HEADER}{name}")),
            Self::Address => serializer.serialize_str("address"),
        }
    }
}

impl<'de> Deserialize<'de> for FairKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "none" => Ok(Self::None),
            "api_key" => Ok(Self::ApiKey),
            "address" => Ok(Self::Address),
            other => {
                let name = other.strip_prefix(HEADER).and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
                name.map(Self::Header).ok_or_else(|| {
                    let allowed = "\"none\", \"api_key\", \"address\", or \"header:\" and the name of a header, \"header:x-tenant\"";
                    D::Error::custom(format!("{text:?} is none of {allowed}"))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;

    #[test]
    fn every_key_is_written_as_it_is_read() {
        for text in ["none", "api_key", "address", "header:x-tenant"] {
            let key: FairKey = Value::String(text.to_owned()).try_into().unwrap();
            assert_eq!(Value::try_from(&key).unwrap().as_str(), Some(text));
        }
        assert_eq!(
            Value::String("header:X-Tenant".to_owned()).try_into(),
            Ok(FairKey::Header(HeaderName::from_static("x-tenant")))
        );
    }

    #[test]
    fn anything_else_is_refused_with_what_there_is() {
        for text in ["", "ip", "header:", "header:a b", "x-tenant"] {
            let refused = Value::String(text.to_owned()).try_into::<FairKey>().unwrap_err().to_string();
            assert!(refused.contains("\"header:x-tenant\"") && refused.contains(text), "{refused}");
        }
    }
}
