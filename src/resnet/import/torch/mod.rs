//! Python's pickles of weights, read without executing anything: `.pth` and `.pt` of both formats, `.pkl` of Caffe2.
//!
//! [`pickle`] describes the graph of objects; [`checkpoint`] finds the state dict in it; the numbers are strided views of
//! storages ([`tensors`]), which lie in entries of an archive ([`zipped`]), one behind the other ([`legacy`]), or in the
//! pickle itself ([`bare`], [`arrays`]).

mod arrays;
mod bare;
mod checkpoint;
mod legacy;
mod pickle;
mod tensors;
mod zipped;

pub(super) use bare::read as read_bare;
pub(super) use legacy::read as read_legacy;
pub(super) use zipped::{is_torch, read as read_zipped};

pub(super) const FORMAT: &str = "PyTorch";

/// What helps where a file is none of those.
pub(super) const RESAVE: &str = "save the weights again with torch.save(model.state_dict(), \"weights.pth\")";

/// The pickle of a ResNet-152 has 110 KB, that of a checkpoint with its optimizer not much more.
const MAX_PICKLE_BYTES: u64 = 1 << 25;
