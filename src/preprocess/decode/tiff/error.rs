//! Why a row of a TIFF cannot be unpacked, whatever it was packed with.

/// Why a row is missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("its pixels end early")]
    Cut,
    #[error("its pixels cannot be unpacked: {0}")]
    Broken(String),
}
