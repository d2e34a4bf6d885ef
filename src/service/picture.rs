//! A picture of a request, and what was made of it already: several models may want it prepared alike, and it is decoded once then.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::Error;
use crate::{preprocess::Spec, tensor::Pixels};

/// A file, and where its pixels are kept for others.
#[derive(Clone)]
pub(super) struct PictureFile {
    pub(super) file: Bytes,
    preparations: Option<Arc<Preparations>>,
}

/// What one way to prepare a picture gave, and how long it took. Whoever comes first does it, and the others wait; where that one
/// leaves before it is done, the next one does it.
pub(super) type SharedPixels = OnceCell<Result<(Pixels, Duration), Error>>;

/// By the way in which it is prepared. There are as many as models were asked at most: a list will do.
#[derive(Default)]
struct Preparations(Mutex<Vec<(Spec, Arc<SharedPixels>)>>);

impl PictureFile {
    /// Of one request for one model.
    pub(super) fn new(file: Bytes) -> Self {
        Self { file, preparations: None }
    }

    /// For several models: clones know what was made for each other.
    pub(super) fn shared(file: Bytes) -> Self {
        Self { file, preparations: Some(Arc::default()) }
    }

    /// The same for several models, if it is not already.
    pub(super) fn for_several(self) -> Self {
        let preparations = self.preparations.or_else(|| Some(Arc::default()));
        Self { preparations, ..self }
    }

    /// Where the pixels are that `spec` wants; `None` where nobody else may want them.
    pub(super) fn preparation(&self, spec: &Spec) -> Option<Arc<SharedPixels>> {
        let mut known = self.preparations.as_ref()?.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, preparation)) = known.iter().find(|(its, _)| its == spec) {
            return Some(preparation.clone());
        }
        let preparation = Arc::new(SharedPixels::new());
        known.push((spec.clone(), preparation.clone()));
        Some(preparation)
    }
}

impl fmt::Debug for PictureFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a picture of {} bytes", self.file.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_is_prepared_alike_and_nothing_else() {
        let (one, other) = (Spec::default(), Spec { crop_size: Some(32), ..Spec::default() });
        let picture = PictureFile::shared(Bytes::from_static(b"x"));
        let clone = picture.clone();
        let (first, second) = (picture.preparation(&one), clone.preparation(&one));
        let (first, second) = (first.expect("it is shared"), second.expect("it is shared"));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &picture.preparation(&other).expect("it is shared")));
        assert!(PictureFile::new(Bytes::new()).preparation(&one).is_none());
    }
}
