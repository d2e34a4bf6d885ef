//! A network that notes the gray of every picture that it sees, in order.

use std::sync::{Arc, Mutex};

use resnetd::{
    runtime::{Executor, RunError, scripted::ScriptedExecutor},
    tensor::{Batch, Logits},
};

use super::{
    eventually,
    server::{MODEL, ReleaseWhenDropped, TestServer, logits, scripted_model},
};

/// A model whose network is held until it is released, and what it has seen. Dropped, it is released.
pub(crate) struct Held {
    release: ReleaseWhenDropped,
    seen: Arc<Mutex<Vec<u32>>>,
}

impl Held {
    /// Serves such a network, one image a run, in the place of the server's own.
    pub(crate) async fn at(server: &TestServer, capacity: usize) -> Self {
        let network = ScriptedExecutor::blocked(&logits());
        let held = Self { release: ReleaseWhenDropped(network.clone()), seen: Arc::default() };
        server.lifecycle.serve(scripted_model(4, Noting(network, held.seen.clone()), capacity, 1)).await;
        held
    }

    /// The grays so far, the picture in the network included.
    pub(crate) fn seen(&self) -> Vec<u32> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Waits until one picture is in the network and so many wait for it.
    pub(crate) async fn waiting(&self, server: &TestServer, pictures: usize) {
        let target = server.service.target(MODEL, None).expect("it is served");
        eventually("one runs", || self.seen().len() == 1).await;
        eventually("the others wait", || target.model().batcher.depth() == pictures).await;
    }

    pub(crate) fn release(&self) {
        self.release.0.release();
    }
}

struct Noting(ScriptedExecutor, Arc<Mutex<Vec<u32>>>);

impl Executor for Noting {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        let grays = batch.data().chunks(batch.image_len()).map(|image| image[0].round() as u32);
        self.1.lock().expect("no panic").extend(grays);
        self.0.run(batch, logits)
    }
}
