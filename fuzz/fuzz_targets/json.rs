//! A JSON body, ours or TensorFlow Serving's.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::take_apart;

fuzz_target!(|bytes: &[u8]| take_apart("application/json", Bytes::copy_from_slice(bytes)));
