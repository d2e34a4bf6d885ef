//! A body of the Open Inference Protocol: JSON, with binary data behind it, or binary data alone.
//!
//! The first byte says which; between JSON and data stands a zero, which JSON cannot have.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::take_inference_apart;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, body)) = bytes.split_first() else { return };
    match (which % 3, body.iter().position(|byte| *byte == 0)) {
        (0, Some(at)) => take_inference_apart(Some(at), Bytes::from([&body[..at], &body[at + 1..]].concat())),
        (1, _) => take_inference_apart(Some(0), Bytes::copy_from_slice(body)),
        _ => take_inference_apart(None, Bytes::copy_from_slice(body)),
    }
});
