//! Decoding, turning, resizing and cropping of any bytes, within 16 megapixels: a decoder that needs more than 30 bytes a
//! pixel breaks the memory limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd::preprocess::{DecodeLimits, Decoding, Interpolation, Orientation, Spec, decode, preprocess};

const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 16 << 20 };

fuzz_target!(|bytes: &[u8]| {
    // Chosen by the length, so that a file is a seed as it is.
    let _ = match bytes.len() % 3 {
        0 => preprocess(bytes, &Spec::default(), &LIMITS),
        1 => {
            let spec = Spec { resize_size: Some(32), crop_size: Some(32), interpolation: Interpolation::Bicubic, ..Spec::default() };
            preprocess(bytes, &spec, &LIMITS)
        }
        // At a half, a quarter or an eighth, where the file allows that.
        2 if bytes.len() % 2 == 0 => {
            let spec = Spec { resize_size: Some(16), crop_size: Some(16), decode: Decoding::Fast, ..Spec::default() };
            preprocess(bytes, &spec, &LIMITS)
        }
        _ => decode(bytes, Orientation::Apply, &LIMITS),
    };
});
