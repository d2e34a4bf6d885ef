//! What every handler of the door sees.

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
}

impl HttpDoor {
    pub(in crate::server) fn new(shared: Shared) -> Self {
        Self { shared }
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
