//! What a door for operators may ask of whoever brings models and takes them away.

use futures_util::future::BoxFuture;

use super::Error;

/// The end of something that was asked for. Dropped, what was begun goes on.
pub type Managed<T> = BoxFuture<'static, Result<T, Error>>;

/// What a label is to point at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelTarget {
    /// A version by its number.
    Version(u64),
    /// The version that another label points at now.
    SameAs(String),
    /// Nothing: there is to be no such label.
    Nothing,
}

/// Whoever brings models and takes them away.
pub trait ManageModels: Send + Sync {
    /// Serves what is in a model's folder now; ready once it answers.
    fn load(&self, model: &str) -> Managed<()>;

    /// Serves a model no more; what is in flight is answered.
    fn unload(&self, model: &str) -> Managed<()>;

    /// Points a label of a model elsewhere, without a load; the version that it points at from then on.
    fn label(&self, model: &str, label: &str, target: LabelTarget) -> Managed<Option<u64>>;
}
