//! Whoever brings models and takes them away, as a client has it: only with the right to, and each change is a line of the audit log.

use std::{fmt::Display, sync::Arc};

use tracing::{field::display, info};

use super::{client_address::ClientAddress, request_id::RequestId};
use crate::{
    auth::Right,
    service::{Asker, Error, LabelTarget, ManageModels, Shown},
    tls::ClientName,
};

/// A manager, and who asks.
pub(super) struct AuditedManager {
    manager: Arc<dyn ManageModels>,
    who: Who,
}

/// Who asks, as far as it is known.
pub(super) struct Who {
    pub(super) asker: Asker,
    /// Of whoever had to show a certificate.
    pub(super) client_name: Option<ClientName>,
    /// Where the connection comes from.
    pub(super) address: Option<ClientAddress>,
    /// Of the request.
    pub(super) id: RequestId,
}

impl AuditedManager {
    pub(super) fn new(manager: Arc<dyn ManageModels>, who: Who) -> Self {
        Self { manager, who }
    }

    /// As [`ManageModels::load`].
    pub(super) async fn load(&self, model: &str) -> Result<(), Error> {
        let change = self.begin("load", model, "")?;
        change.end(self.manager.load(model).await)
    }

    /// As [`ManageModels::unload`].
    pub(super) async fn unload(&self, model: &str) -> Result<(), Error> {
        let change = self.begin("unload", model, "")?;
        change.end(self.manager.unload(model).await)
    }

    /// As [`ManageModels::label`].
    pub(super) async fn label(&self, model: &str, label: &str, target: LabelTarget) -> Result<Option<u64>, Error> {
        let change = self.begin("label", model, label)?;
        change.end(self.manager.label(model, label, target).await)
    }

    fn begin<'a>(&'a self, change: &'static str, model: &'a str, label: &'a str) -> Result<Change<'a>, Error> {
        let begun = Change { of: self, change, model, label, is_told: false };
        let asker = &self.who.asker;
        let may = asker.check_right(Right::Manage).and_then(|()| asker.check_model(model));
        match may {
            Ok(()) => Ok(begun),
            Err(refused) => begun.end(Err(refused)),
        }
    }
}

/// A change under way. Dropped before its end, whoever asked has left, and it goes on.
struct Change<'a> {
    of: &'a AuditedManager,
    change: &'static str,
    model: &'a str,
    label: &'a str,
    is_told: bool,
}

impl Change<'_> {
    fn end<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.is_told = true;
        match &outcome {
            Ok(_) => self.tell("done", ""),
            Err(error) => self.tell("refused", &error.message),
        }
        outcome
    }

    fn tell(&self, outcome: &str, reason: impl Display) {
        let Self { of, change, model, label, .. } = self;
        let Who { asker, client_name, address, id } = &of.who;
        let (key, client) = (asker.key_name().map(|name| &**name), client_name.as_ref().map(ClientName::as_str));
        let address = address.map(display);
        let (model, label) = (Shown(model), Shown(label));
        info!(target: "audit", change, ?model, ?label, outcome, key, client, address, request_id = %id, "a change of models was asked for: {reason}");
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell("begun", "whoever asked has left before its end");
        }
    }
}
