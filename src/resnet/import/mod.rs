//! From anyone's weight file to a state dict with torchvision's names.

pub mod chainer;
