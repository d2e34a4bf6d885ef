//! One axis of a picture, columns or rows: how long it is stored, how long it becomes, what of it is kept.

use crate::preprocess::spec::Span;

/// What becomes of one axis of the stored image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Stored pixels along it.
    pub(super) source: u32,
    /// Pixels along it after the resize.
    pub(super) resized: u32,
    /// Which of them are kept.
    pub(super) span: Span,
    /// Whether it is read from its end.
    pub(super) mirrored: bool,
}
