//! What one image of a request is, as it came through the door.

use super::picture::PictureFile;
use crate::tensor::Input;

/// An image before anything was done with it.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// An encoded file.
    Picture(PictureFile),
    /// One of the ten crops of a file, by its number.
    Crop(PictureFile, usize),
    /// Numbers that fit the network.
    Tensor(Input),
}
