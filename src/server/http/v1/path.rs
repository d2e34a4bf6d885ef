//! A model, one of its versions, and the verb, as they stand in the path: `/v1/models/{model}/versions/{version}:{verb}`, or
//! `/v1/models/{model}/labels/{label}:{verb}`.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use crate::{
    server::http::{call::check_model, description::ModelInPath, error::Failure},
    service::{Error, ErrorKind, Shown, VersionPick},
};

/// What the path of a request names.
#[derive(Debug, PartialEq)]
pub(in crate::server::http) struct ModelPath {
    /// The model's name, decoded; the raw text where that is not UTF-8.
    model: Result<String, String>,
    version: Option<Version>,
    /// What to do with it; nothing where it is only read.
    pub(in crate::server::http) verb: Option<String>,
}

/// Of a version, as it stands in the path.
#[derive(Debug, PartialEq)]
enum Version {
    Number(String),
    Label(String),
}

impl ModelPath {
    /// Of a model, from elsewhere than a path.
    pub(in crate::server::http) fn named(model: &str) -> Self {
        Self { model: Ok(model.to_owned()), version: None, verb: None }
    }

    /// With the version as TorchServe writes it, `1.0`.
    pub(in crate::server::http) fn with_torchserve_version(mut self) -> Self {
        if let Some(Version::Number(text)) = &mut self.version
            && let Some(whole) = text.strip_suffix(".0")
        {
            *text = whole.to_owned();
        }
        self
    }

    /// The model's name.
    pub(super) fn model(&self) -> Result<&str, Error> {
        self.model.as_deref().map_err(|raw| {
            Error::new(ErrorKind::InvalidArgument, format!("the model name `{}` is not UTF-8 when decoded", Shown(raw)))
        })
    }

    /// Where the verb stands.
    pub(super) fn place(&self) -> ModelInPath {
        match &self.version {
            None => ModelInPath::Model,
            Some(Version::Number(_)) => ModelInPath::Version,
            Some(Version::Label(_)) => ModelInPath::Label,
        }
    }

    /// The version, if the path has one.
    pub(super) fn version(&self) -> Result<VersionPick<'_>, Error> {
        let text = match &self.version {
            None => return Ok(VersionPick::Highest),
            Some(Version::Label(label)) => return Ok(VersionPick::Label(label)),
            Some(Version::Number(text)) => text,
        };
        match text.parse() {
            Ok(number) if number > 0 => Ok(VersionPick::Number(number)),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("`{}` is no version: a version is a positive integer, as in `/versions/1`", Shown(text)),
            )),
        }
    }

    fn new(model: &str, version: Option<(&str, &str)>) -> Self {
        let split = |last: &str| match last.rsplit_once(':') {
            Some((name, verb)) => (name.to_owned(), Some(verb.to_owned())),
            None => (last.to_owned(), None),
        };
        match version {
            Some((kind, version)) => {
                let (version, verb) = split(version);
                let version =
                    if kind.starts_with("label") { Version::Label(version) } else { Version::Number(version) };
                Self { model: Ok(model.to_owned()), version: Some(version), verb }
            }
            None => {
                let (model, verb) = split(model);
                Self { model: Ok(model), version: None, verb }
            }
        }
    }

    /// From a path that does not decode to UTF-8.
    fn undecodable(path: &str) -> Self {
        let mut segments = path.split('/').skip_while(|segment| *segment != "models").skip(1);
        let model = segments.next().unwrap_or_default();
        let version = segments.next().filter(|kind| matches!(*kind, "versions" | "labels")).zip(segments.next());
        let named = Self::new(model, version);
        Self { model: named.model.and_then(Err), ..named }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
            return Ok(Self::undecodable(parts.uri.path()));
        };
        let (mut model, mut version) = ("", None);
        for (name, value) in &params {
            match name {
                "model" => model = value,
                kind => version = Some((kind, value)),
            }
        }
        let path = Self::new(model, version);
        check_model(parts, path.model.as_deref().unwrap_or_default())?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_stands_behind_the_last_name() {
        let path = ModelPath::new("resnet50:classify", None);
        assert_eq!((path.model().expect("UTF-8"), path.verb.as_deref()), ("resnet50", Some("classify")));
        let path = ModelPath::new("resnet50", Some(("version", "2:classify")));
        assert_eq!(path.version().expect("a number"), VersionPick::Number(2));
        assert_eq!((path.model().expect("UTF-8"), path.verb.as_deref()), ("resnet50", Some("classify")));
        let path = ModelPath::new("a:b", Some(("version", "2")));
        assert_eq!((path.model().expect("UTF-8"), path.verb.as_deref()), ("a:b", None));
    }

    #[test]
    fn versions_are_positive_integers() {
        for version in ["0", "-1", "one", "", "1.5", "99999999999999999999"] {
            assert!(ModelPath::new("a", Some(("version", version))).version().is_err(), "{version}");
        }
    }

    #[test]
    fn a_label_is_any_text() {
        let path = ModelPath::new("a", Some(("label", "stable:classify")));
        assert_eq!(
            (path.version().expect("a label"), path.verb.as_deref()),
            (VersionPick::Label("stable"), Some("classify"))
        );
        assert_eq!(
            ModelPath::undecodable("/v1/models/%ff/labels/7").version().expect("a label"),
            VersionPick::Label("7")
        );
    }

    #[test]
    fn a_name_that_is_not_utf8_is_shown_as_it_came() {
        let path = ModelPath::undecodable("/v1/models/%ff:classify");
        assert_eq!(path.verb.as_deref(), Some("classify"));
        assert!(path.model().expect_err("refused").message.contains("`%ff`"));
        let long = ModelPath::undecodable(&format!("/v1/models/%ff{}", "a".repeat(9_000)));
        assert!(long.model().expect_err("refused").message.len() < 300);
    }
}
