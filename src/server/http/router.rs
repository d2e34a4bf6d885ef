//! The whole URL map, and the way from a request to its handler.

use std::{borrow::Cow, time::Instant};

use hyper::{Method, body::Incoming};
use percent_encoding::percent_decode_str;

use super::{Answer, Door, Head, classify, error::Failure, health, metrics, models};
use crate::service::{Error, ErrorKind};

/// What is behind a URL.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Route<'p> {
    Live,
    Ready,
    Metrics,
    Models,
    Status(Target<'p>),
    Metadata(Target<'p>),
    Labels(Target<'p>),
    Classify(Target<'p>),
}

const GET: &str = "GET, HEAD";
const POST: &str = "POST";

/// The URL map: the allowed methods and what is behind a path.
#[rustfmt::skip]
fn resolve(path: &str) -> Option<(&'static str, Route<'_>)> {
    use Route as R;
    let mut parts = [""; 7];
    Some(match segments(path, &mut parts)? {
        ["livez"] => (GET, R::Live),
        ["readyz"] => (GET, R::Ready),
        ["metrics"] => (GET, R::Metrics),

        ["v1", "models"] => (GET, R::Models),
        ["v1", "models", last] => match verb(last) {
            (model, None) => (GET, R::Status(Target::latest(model))),
            (model, Some("classify")) => (POST, R::Classify(Target::latest(model))),
            _ => return None,
        },
        ["v1", "models", model, "metadata"] => (GET, R::Metadata(Target::latest(model))),
        ["v1", "models", model, "labels"] => (GET, R::Labels(Target::latest(model))),

        ["v1", "models", model, "versions", last] => match verb(last) {
            (version, None) => (GET, R::Status(Target::version(model, version))),
            (version, Some("classify")) => (POST, R::Classify(Target::version(model, version))),
            _ => return None,
        },
        ["v1", "models", model, "versions", version, "metadata"] => (GET, R::Metadata(Target::version(model, version))),
        ["v1", "models", model, "versions", version, "labels"] => (GET, R::Labels(Target::version(model, version))),
        _ => return None,
    })
}

/// Answers the request with the handler of its route.
pub(super) async fn dispatch(door: &Door, head: &Head, body: Incoming, arrived: Instant) -> Result<Answer, Failure> {
    let path = head.parts.uri.path();
    let Some((allowed, route)) = resolve(path) else {
        return Err(Error::new(ErrorKind::NotFound, no_route(path)).into());
    };
    if !is_allowed(&head.parts.method, allowed) {
        return Err(Failure::method(&head.parts.method, allowed));
    }
    match route {
        Route::Live => Ok(health::live()),
        Route::Ready => health::ready(door),
        Route::Metrics => Ok(metrics::scrape(door)),
        Route::Models => Ok(models::list(door)),
        Route::Status(target) => models::status(door, target),
        Route::Metadata(target) => models::metadata(door, target),
        Route::Labels(target) => models::labels(door, target),
        Route::Classify(target) => {
            metrics::measured(door, target, arrived, classify::classify(door, head, target, body, arrived)).await
        }
    }
}

fn is_allowed(method: &Method, allowed: &str) -> bool {
    allowed.split(", ").any(|name| name == method.as_str())
}

/// A model, and one of its versions, as they stand in the path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Target<'p> {
    model: &'p str,
    version: Option<&'p str>,
}

impl<'p> Target<'p> {
    fn latest(model: &'p str) -> Self {
        Self { model, version: None }
    }

    fn version(model: &'p str, version: &'p str) -> Self {
        Self { model, version: Some(version) }
    }

    /// The model's name, decoded.
    pub(super) fn model(&self) -> Result<Cow<'p, str>, Error> {
        percent_decode_str(self.model).decode_utf8().map_err(|_| {
            Error::new(ErrorKind::InvalidArgument, format!("the model name `{}` is not UTF-8 when decoded", self.model))
        })
    }

    /// The version, if the path has one.
    pub(super) fn number(&self) -> Result<Option<u64>, Error> {
        let Some(text) = self.version else { return Ok(None) };
        match text.parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("`{text}` is no version: a version is a positive integer, as in `/versions/1`"),
            )),
        }
    }
}

/// Splits a path without its leading slash and without a trailing one. `None` where it has more segments than any route.
fn segments<'a, 'p>(path: &'p str, parts: &'a mut [&'p str; 7]) -> Option<&'a [&'p str]> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut count = 0;
    for segment in path.split('/') {
        *parts.get_mut(count)? = segment;
        count += 1;
    }
    Some(&parts[..count])
}

/// `resnet50:classify` → `resnet50` and `classify`.
fn verb(segment: &str) -> (&str, Option<&str>) {
    segment.rsplit_once(':').map_or((segment, None), |(name, verb)| (name, Some(verb)))
}

/// Says that there is nothing at `path`, and what is most like it.
fn no_route(path: &str) -> String {
    let model = path
        .split('/')
        .skip_while(|segment| *segment != "models")
        .nth(1)
        .map(|segment| verb(segment).0)
        .filter(|model| !model.is_empty())
        .unwrap_or("{model}");
    let nearest = [
        "/livez".to_owned(),
        "/readyz".to_owned(),
        "/metrics".to_owned(),
        "/v1/models".to_owned(),
        format!("/v1/models/{model}"),
        format!("/v1/models/{model}/metadata"),
        format!("/v1/models/{model}/labels"),
        format!("/v1/models/{model}:classify"),
        format!("/v1/models/{model}/versions/{{version}}:classify"),
    ]
    .into_iter()
    .min_by_key(|known| strsim::levenshtein(known, path))
    .unwrap_or_default();
    format!("there is nothing at `{path}`; the nearest route is `{nearest}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Option<(&'static str, Route<'_>)> {
        resolve(path)
    }

    #[test]
    fn the_routes_of_a_model_are_found() {
        let resnet = Target::latest("resnet50");
        let second = Target::version("resnet50", "2");
        assert_eq!(route("/v1/models"), Some((GET, Route::Models)));
        assert_eq!(route("/v1/models/"), Some((GET, Route::Models)));
        assert_eq!(route("/v1/models/resnet50"), Some((GET, Route::Status(resnet))));
        assert_eq!(route("/v1/models/resnet50:classify"), Some((POST, Route::Classify(resnet))));
        assert_eq!(route("/v1/models/resnet50/versions/2"), Some((GET, Route::Status(second))));
        assert_eq!(route("/v1/models/resnet50/versions/2:classify"), Some((POST, Route::Classify(second))));
        assert_eq!(route("/v1/models/resnet50/versions/2/labels"), Some((GET, Route::Labels(second))));
        assert_eq!(route("/v1/models/resnet50/metadata"), Some((GET, Route::Metadata(resnet))));
    }

    #[test]
    fn what_is_no_route_is_not_found() {
        for path in [
            "/",
            "",
            "/v1",
            "/v1/models/a:frobnicate",
            "/v1/models/a/b",
            "/a/b/c/d/e/f/g/h/i",
            "*",
            "/v1/models/a/versions/1/x",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn a_wrong_path_is_answered_with_the_nearest_route() {
        assert!(no_route("/v1/models/cat:clasify").ends_with("`/v1/models/cat:classify`"));
        assert!(no_route("/models/cat:classify").ends_with("`/v1/models/cat:classify`"));
        assert!(no_route("/v1/model").ends_with("`/v1/models`"));
        assert!(no_route("/healthz").ends_with("`/readyz`") || no_route("/healthz").ends_with("`/livez`"));
    }

    #[test]
    fn names_are_percent_decoded_and_versions_are_positive() {
        assert_eq!(Target::latest("caf%C3%A9%2Fx").model().expect("UTF-8"), "café/x");
        assert!(Target::latest("%ff").model().is_err());
        assert_eq!(Target::version("a", "12").number().expect("a number"), Some(12));
        for version in ["0", "-1", "one", "", "1.5", "99999999999999999999"] {
            assert!(Target::version("a", version).number().is_err(), "{version}");
        }
    }
}
