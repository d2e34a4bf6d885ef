//! What every handler of the door sees.

use bytes::Bytes;

use super::route_of::route_of;

use crate::{
    server::{
        coding::Unpacker,
        shared::{DoorOptions, Shared},
        threads::Threads,
    },
    service::Service,
};

/// What every handler sees.
pub(in crate::server) struct HttpDoor {
    pub(super) shared: Shared,
    description: Bytes,
    paths: Vec<String>,
}

impl HttpDoor {
    /// * `description`: of the API, as clients get it
    /// * `paths`: of all routes, as a client author would write them
    pub(super) fn new(shared: Shared, description: Bytes, paths: Vec<String>) -> Self {
        Self { shared, description, paths }
    }

    /// The description of the API.
    pub(super) fn description(&self) -> Bytes {
        self.description.clone()
    }

    /// The paths of all routes.
    pub(super) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The route that a path is on: of the map, or one that the operator named for Vertex AI.
    pub(super) fn route_of<'r>(&'r self, path: &'r str) -> Option<&'r str> {
        let vertex = self.options().platforms.vertex.as_ref();
        let is_named = vertex.is_some_and(|vertex| path == vertex.predict || path == vertex.health);
        if is_named { Some(path) } else { route_of(self.paths.iter().map(String::as_str), path) }
    }

    pub(super) fn service(&self) -> &Service {
        &self.shared.service
    }

    pub(super) fn unpacker(&self) -> &Unpacker {
        &self.shared.unpacker
    }

    pub(super) fn threads(&self) -> &Threads {
        &self.shared.threads
    }

    pub(super) fn options(&self) -> &DoorOptions {
        &self.shared.options
    }
}
