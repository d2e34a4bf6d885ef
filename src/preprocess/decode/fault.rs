//! The refusal of a damaged file, in each format's name.
//!
//! Below the readers, so that their parts need not name the file that calls them.

use std::fmt::Display;

use crate::preprocess::error::DecodeError;
use crate::preprocess::format::Format;

pub(super) fn bmp(cause: impl Display) -> DecodeError {
    DecodeError::corrupt(Format::Bmp, cause)
}

pub(super) fn gif(cause: impl Display) -> DecodeError {
    DecodeError::corrupt(Format::Gif, cause)
}

pub(super) fn jpeg(cause: impl Display) -> DecodeError {
    DecodeError::corrupt(Format::Jpeg, cause)
}

pub(super) fn png(cause: impl Display) -> DecodeError {
    DecodeError::corrupt(Format::Png, cause)
}

pub(super) fn pnm(cause: impl Display) -> DecodeError {
    DecodeError::corrupt(Format::Pnm, cause)
}

pub(super) fn tiff(cause: impl Display) -> DecodeError {
    DecodeError::corrupt(Format::Tiff, cause)
}

pub(super) fn webp(cause: impl Display) -> DecodeError {
    DecodeError::corrupt(Format::WebP, cause)
}
