//! What the server answers beside its own routes, for platforms and for clients that come from another server.

/// The dialects that are on. All off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platforms {
    /// `/ping` and `/invocations`.
    pub sagemaker: bool,
    /// `/ping` and `/predictions/{model}`.
    pub torchserve: bool,
    /// The two routes of Vertex AI.
    pub vertex: Option<VertexRoutes>,
    /// The model that answers where the route names none; `None`: the only one that there is.
    pub default_model: Option<String>,
}

impl Platforms {
    /// Every dialect whose routes do not depend on the platform.
    pub(super) fn all_fixed() -> Self {
        Self { sagemaker: true, torchserve: true, ..Self::default() }
    }
}

/// The paths that Vertex AI gives to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexRoutes {
    /// Where predictions are asked for.
    pub predict: String,
    /// Where readiness is asked for.
    pub health: String,
}
