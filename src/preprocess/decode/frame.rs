//! What every format's reader gives: how the picture lies, and its rows.

use crate::preprocess::error::DecodeError;
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;

/// What is known of a picture before its first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preprocess) struct Frame {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    /// The turn that the file asks for.
    pub(in crate::preprocess) turn: Turn,
    /// Whether that turn is part of the pixels for everybody, asked or not.
    pub(in crate::preprocess) turn_is_intrinsic: bool,
}

/// The rows of a picture, in any format.
pub(super) trait Rows {
    /// Makes the picture smaller by 2, 4 or 8, if that spares work, and says how wide and high it is then.
    fn shrink(&mut self, by: u32) -> Option<(u32, u32)> {
        let _ = by;
        None
    }

    /// Hands every row to `sink`, from the top.
    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError>;
}
