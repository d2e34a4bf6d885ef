//! What a hosting platform says in the environment: the port that it sends to, Vertex AI's routes, and which platform it is.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::layers::SettingLayer;

/// Routes that the server answers beside its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformDialect {
    /// `/ping` and `/invocations`.
    Sagemaker,
    /// The two routes that Vertex AI names.
    Vertex,
    /// `/ping` and `/predictions/{model}`.
    Torchserve,
}

/// The port that each platform sends to, the one whose word counts last. `PORT` is Cloud Run's, and many others'.
const PORTS: [&str; 3] = ["PORT", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT"];

/// Vertex AI's routes, and the settings that they are.
const ROUTES: [(&str, &str); 2] =
    [("AIP_PREDICT_ROUTE", "vertex_predict_route"), ("AIP_HEALTH_ROUTE", "vertex_health_route")];

/// The settings of a platform's variables, one layer each. An empty variable is none.
pub(super) fn layers(environment: &[(OsString, OsString)]) -> Vec<SettingLayer> {
    let layer = |name: &str, key: &str, value: String| SettingLayer {
        origin: format!("environment variable {name}"),
        table: Table::from_iter([(
            "server".to_owned(),
            Value::Table(Table::from_iter([(key.to_owned(), value.into())])),
        )]),
    };
    let ports = PORTS.into_iter().filter_map(|name| {
        let port = of(environment, name)?;
        Some(layer(name, "http", format!("0.0.0.0:{port}")))
    });
    let routes = ROUTES.into_iter().filter_map(|(name, key)| Some(layer(name, key, of(environment, name)?)));
    ports.chain(routes).collect()
}

/// The dialects of the platforms that show themselves in the environment.
pub(super) fn dialects(environment: &[(OsString, OsString)]) -> impl Iterator<Item = PlatformDialect> {
    let is_there = |name: &str| of(environment, name).is_some();
    let sagemaker = is_there("SAGEMAKER_BIND_TO_PORT").then_some(PlatformDialect::Sagemaker);
    let vertex = ["AIP_HTTP_PORT", "AIP_PREDICT_ROUTE", "AIP_HEALTH_ROUTE"].into_iter().any(is_there);
    sagemaker.into_iter().chain(vertex.then_some(PlatformDialect::Vertex))
}

/// What is wrong with a route of Vertex AI.
pub(super) fn route_problem(route: &str) -> Option<String> {
    let is_path = route.starts_with('/') && route.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    (!is_path).then(|| format!("{route:?} is no path: write it as in a URL, for instance \"/predict\""))
}

fn of(environment: &[(OsString, OsString)], name: &str) -> Option<String> {
    let (_, value) = environment.iter().find(|(known, _)| known == name)?;
    Some(value.to_string_lossy().trim().to_owned()).filter(|value| !value.is_empty())
}
