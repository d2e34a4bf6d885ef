//! The interface that the doors are written against, with a scripted inside. The real `Service` replaces this file.

use std::{pin::Pin, sync::Arc};

use tokio::sync::watch;

use super::{Classification, ClassifyRequest, Error, ErrorKind, Limits, ModelState, ModelStatus, Readiness};

type Answer = Pin<Box<dyn Future<Output = Result<Classification, Error>> + Send>>;
type Classify = dyn Fn(ClassifyRequest) -> Answer + Send + Sync;

/// Answers requests; cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    models: Vec<ModelStatus>,
    limits: Limits,
    readiness: watch::Sender<Readiness>,
    classify: Box<Classify>,
}

impl Service {
    /// A service that answers with what `classify` says.
    pub fn scripted(
        models: Vec<ModelStatus>,
        limits: Limits,
        classify: impl Fn(ClassifyRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let readiness = watch::Sender::new(Readiness::Ready);
        Self { inner: Arc::new(Inner { models, limits, readiness, classify: Box::new(classify) }) }
    }

    /// Classifies the images of a request. Dropping the future gives up its place in the queue.
    ///
    /// The doors parse options, the service judges them: no image or an empty one, `top_k` outside 1 to the number of classes
    /// and `min_probability` outside 0 to 1 are [`ErrorKind::InvalidArgument`], more than `max_images_per_request` images
    /// [`ErrorKind::TooLarge`]; with several images the message starts with the image's index.
    pub async fn classify(&self, request: ClassifyRequest) -> Result<Classification, Error> {
        self.find(&request.model, request.version)?;
        (self.inner.classify)(request).await
    }

    /// Every model and version, sorted by name, then version.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.inner.models.clone()
    }

    /// One version of a model, the highest available one for `None`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn find(&self, name: &str, version: Option<u64>) -> Result<ModelStatus, Error> {
        let mut versions = self.versions(name)?;
        match version {
            None => versions.iter().rposition(|model| model.state == ModelState::Available),
            Some(version) => versions.iter().position(|model| model.version == version),
        }
        .map(|at| versions.swap_remove(at))
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("model `{name}` has no such version")))
    }

    /// Every version of a model, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn versions(&self, name: &str) -> Result<Vec<ModelStatus>, Error> {
        let found: Vec<_> = self.inner.models.iter().filter(|model| &*model.name == name).cloned().collect();
        if found.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no model `{name}`")));
        }
        Ok(found)
    }

    /// Whether traffic may come.
    pub fn readiness(&self) -> Readiness {
        *self.inner.readiness.borrow()
    }

    /// Follows [`Service::readiness`]. Wakes up as well when the state of any model changes.
    pub fn readiness_watch(&self) -> watch::Receiver<Readiness> {
        self.inner.readiness.subscribe()
    }

    /// Turns [`Readiness::Draining`]; requests are still answered. Never goes back.
    pub fn start_draining(&self) {
        self.inner.readiness.send_replace(Readiness::Draining);
    }

    /// How large a request may be.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }
}
