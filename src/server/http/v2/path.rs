//! A model, and one of its versions, as they stand in the path: `/v2/models/{model}/versions/{version}/infer`.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use crate::{
    server::{
        http::{call::check_model, error::Failure},
        v2,
    },
    service::{Error, ErrorKind, Shown},
};

/// What the path of a request names.
#[derive(Debug, PartialEq)]
pub(super) struct NamedVersion {
    /// The model's name, decoded; the raw text where that is not UTF-8.
    model: Result<String, String>,
    version: Option<String>,
}

impl NamedVersion {
    /// The model's name.
    pub(super) fn model(&self) -> Result<&str, Error> {
        self.model.as_deref().map_err(|raw| {
            Error::new(ErrorKind::InvalidArgument, format!("the model name `{}` is not UTF-8 when decoded", Shown(raw)))
        })
    }

    /// The version, if the path has one.
    pub(super) fn version(&self) -> Result<Option<u64>, Error> {
        // An empty one would be "none" in a message of gRPC; in a path it is a mistake.
        match self.version.as_deref() {
            None => Ok(None),
            Some("") => Err(Error::new(ErrorKind::InvalidArgument, "the version in the path is empty")),
            Some(text) => v2::pick(text),
        }
    }

    /// From a path that does not decode to UTF-8.
    fn undecodable(path: &str) -> Self {
        let mut segments = path.split('/').skip_while(|segment| *segment != "models").skip(1);
        let model = Err(segments.next().unwrap_or_default().to_owned());
        let version = segments.next().filter(|kind| *kind == "versions").and_then(|_| segments.next());
        Self { model, version: version.map(str::to_owned) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamedVersion {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
            return Ok(Self::undecodable(parts.uri.path()));
        };
        let (mut model, mut version) = (String::new(), None);
        for (name, value) in &params {
            match name {
                "model" => model = value.to_owned(),
                _ => version = Some(value.to_owned()),
            }
        }
        check_model(parts, &model)?;
        Ok(Self { model: Ok(model), version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_utf8_is_shown_as_it_came() {
        let path = NamedVersion::undecodable("/v2/models/%ff/versions/2/infer");
        assert!(path.model().expect_err("refused").message.contains("`%ff`"));
        assert_eq!(path.version(), Ok(Some(2)));
        assert_eq!(NamedVersion::undecodable("/v2/models/%ff/infer").version(), Ok(None));
    }
}
