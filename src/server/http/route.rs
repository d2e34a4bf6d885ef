//! How a route is found, and by which methods.

use std::sync::Arc;

use axum::{Router, http::Method, routing::MethodRouter};

use super::{door::HttpDoor, error::Failure};

/// Routes that are found with and without a slash at their end.
#[derive(Default)]
pub(super) struct Routes(Router<Arc<HttpDoor>>);

impl Routes {
    pub(super) fn route(self, path: &str, methods: MethodRouter<Arc<HttpDoor>>) -> Self {
        Self(self.0.route(&format!("{path}/"), methods.clone()).route(path, methods))
    }

    pub(super) fn into_router(self) -> Router<Arc<HttpDoor>> {
        self.0
    }
}

/// A route that takes a body.
pub(super) fn write(methods: MethodRouter<Arc<HttpDoor>>) -> MethodRouter<Arc<HttpDoor>> {
    methods.fallback(async |method: Method| Failure::method(&method, Failure::POST))
}

/// A route that is only read.
pub(super) fn read(methods: MethodRouter<Arc<HttpDoor>>) -> MethodRouter<Arc<HttpDoor>> {
    methods.fallback(async |method: Method| Failure::method(&method, Failure::GET))
}
