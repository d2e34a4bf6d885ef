//! What preparing an image takes in memory, known from its header.
//!
//! Whoever admits images asks this before one is decoded, and lets in no more than there is memory for. A test with an
//! allocator that counts holds the bound, format by format.

use super::header::Header;
use super::limits::DecodeLimits;
use super::resize;
use super::spec::Spec;

/// What any image takes: tables, messages, the decoders' small change.
const FIXED_BYTES: u64 = 256 << 10;

/// An upper bound of the memory that [`preprocess`](super::preprocess) takes at once for an image, in bytes; its result
/// is in it, the file's own bytes are not.
pub fn cost(header: &Header, spec: &Spec, limits: &DecodeLimits) -> u64 {
    let resize = resize::cost(spec, (header.width, header.height), limits);
    header.decoder_memory().saturating_add(resize).saturating_add(FIXED_BYTES)
}
