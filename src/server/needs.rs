//! What a request needs to be let in: pure, from method and path alone, so that it is known before a body is read.
//!
//! What is on no list needs a right, so a route that somebody adds is not open by chance. Where models are asked or changed, the right is
//! looked at once more, whatever a path was taken for here.

use hyper::Method;

use super::platforms::Platforms;
use crate::auth::Right;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: what is the same in every copy of the program, and what browsers ask before they ask.
    Nothing,
    /// The process lives: open where `public` says `livez`.
    Live,
    /// It answers: open where `public` says `readyz`.
    Ready,
    /// The metrics: open where `public` says `metrics`.
    Metrics,
    /// A key with this right.
    Right(Right),
}

/// What is open without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenToAll {
    /// Whether the process lives.
    pub live: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Its metrics.
    pub metrics: bool,
}

impl Default for OpenToAll {
    fn default() -> Self {
        Self { live: true, ready: true, metrics: false }
    }
}

impl Needs {
    /// Of a request over HTTP.
    pub(super) fn of_http(method: &Method, path: &str, platforms: &Platforms) -> Self {
        // What a browser asks first has no key, and is answered without a look at anything.
        if method == Method::OPTIONS {
            return Self::Nothing;
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        if method != Method::GET && method != Method::HEAD {
            return Self::Right(right_to_send(path));
        }
        match path {
            "" | "/docs" | "/openapi.json" => Self::Nothing,
            "/livez" | "/v2/health/live" => Self::Live,
            "/readyz" | "/v2/health/ready" | "/ping" => Self::Ready,
            "/metrics" => Self::Metrics,
            path if path.starts_with("/page/") || path.starts_with("/docs/") => Self::Nothing,
            path if platforms.vertex.as_ref().is_some_and(|vertex| path == vertex.health) => Self::Ready,
            _ => Self::Right(Right::Read),
        }
    }

    /// Of a call of gRPC.
    pub(super) fn of_call(path: &str) -> Self {
        match path {
            "/inference.GRPCInferenceService/ServerLive" => Self::Live,
            "/inference.GRPCInferenceService/ServerReady"
            | "/grpc.health.v1.Health/Check"
            | "/grpc.health.v1.Health/Watch" => Self::Ready,
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Self::Nothing,
            "/resnetd.v1.Classifier/ListModels"
            | "/resnetd.v1.Classifier/GetModel"
            | "/inference.GRPCInferenceService/ServerMetadata"
            | "/inference.GRPCInferenceService/ModelReady"
            | "/inference.GRPCInferenceService/ModelMetadata"
            | "/inference.GRPCInferenceService/ModelConfig"
            | "/inference.GRPCInferenceService/ModelStatistics"
            | "/inference.GRPCInferenceService/RepositoryIndex"
            | "/tensorflow.serving.PredictionService/GetModelMetadata"
            | "/tensorflow.serving.ModelService/GetModelStatus" => Self::Right(Right::Read),
            "/inference.GRPCInferenceService/RepositoryModelLoad"
            | "/inference.GRPCInferenceService/RepositoryModelUnload" => Self::Right(Right::Manage),
            _ => Self::Right(Right::Classify),
        }
    }
}

fn right_to_send(path: &str) -> Right {
    if path == "/v2/repository/index" {
        return Right::Read;
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let verb = match path.strip_prefix("/v2/repository/models/") {
        Some(_) => last,
        None => last.rsplit_once(':').map_or("", |(_, verb)| verb),
    };
    if matches!(verb, "load" | "unload" | "label") { Right::Manage } else { Right::Classify }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::VertexRoutes;

    #[test]
    fn a_request_needs_what_it_does() {
        let vertex = VertexRoutes { predict: "/predict".to_owned(), health: "/health".to_owned() };
        let platforms = Platforms { vertex: Some(vertex), ..Platforms::default() };
        let (get, post) = (Method::GET, Method::POST);
        for (method, path, needs) in [
            (&get, "/", Needs::Nothing),
            (&get, "/page/app.js", Needs::Nothing),
            (&get, "/openapi.json", Needs::Nothing),
            (&Method::OPTIONS, "/v1/models/a:classify", Needs::Nothing),
            (&get, "/livez", Needs::Live),
            (&get, "/livez/", Needs::Live),
            (&Method::HEAD, "/readyz", Needs::Ready),
            (&get, "/health", Needs::Ready),
            (&get, "/metrics", Needs::Metrics),
            (&get, "/v1/models", Needs::Right(Right::Read)),
            (&get, "/v1/models/a:load", Needs::Right(Right::Read)),
            (&get, "/no/such/route", Needs::Right(Right::Read)),
            (&get, "/Livez", Needs::Right(Right::Read)),
            (&post, "/livez", Needs::Right(Right::Classify)),
            (&post, "/v1/models/a:classify", Needs::Right(Right::Classify)),
            (&post, "/v1/models/a/versions/3:classify", Needs::Right(Right::Classify)),
            (&post, "/v2/models/load/infer", Needs::Right(Right::Classify)),
            (&post, "/predict", Needs::Right(Right::Classify)),
            (&Method::PUT, "/predictions/a", Needs::Right(Right::Classify)),
            (&post, "/v1/models/a:load", Needs::Right(Right::Manage)),
            (&post, "/v1/models/a:unload/", Needs::Right(Right::Manage)),
            (&post, "/v1/models/a:label", Needs::Right(Right::Manage)),
            (&post, "/v2/repository/models/a/load", Needs::Right(Right::Manage)),
            (&post, "/v2/repository/models/a/unload", Needs::Right(Right::Manage)),
            (&post, "/v2/repository/index", Needs::Right(Right::Read)),
        ] {
            assert_eq!(Needs::of_http(method, path, &platforms), needs, "{method} {path}");
        }
        let none = Platforms::default();
        assert_eq!(Needs::of_http(&get, "/health", &none), Needs::Right(Right::Read));
        assert_eq!(Needs::of_call("/no.such/Method"), Needs::Right(Right::Classify));
    }
}
