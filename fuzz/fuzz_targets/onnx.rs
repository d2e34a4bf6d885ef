//! An ONNX file as it is looked at when a model is loaded: decoded, inspected, rewritten for another arithmetic.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use resnetd::{
    inspect::inspect,
    onnx::{decode, into_bytes, to_fp16, without_rounding},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = decode(Bytes::copy_from_slice(bytes)) else { return };
    let _ = inspect(&model);
    if let Ok(half) = to_fp16(model.clone()) {
        let _ = into_bytes(half);
    }
    let _ = without_rounding(model);
});
