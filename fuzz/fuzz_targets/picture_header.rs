//! The header of a picture: format, size, and what decoding it would take, from any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd::preprocess::{DecodeLimits, Spec, cost, probe};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = probe(bytes) {
        // What a header claims is multiplied before anything is allowed.
        let _ = (header.pixels(), header.work(), cost(&header, &Spec::default(), &DecodeLimits::default()));
    }
});
