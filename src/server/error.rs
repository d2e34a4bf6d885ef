//! Why there is no server.

/// Why the doors could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors that are built into the binary are no descriptors.
    #[error("the embedded protocol descriptors are broken, build again: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
}
