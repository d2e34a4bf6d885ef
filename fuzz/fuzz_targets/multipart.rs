//! A form with files, as its sender's boundary divides it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::take_apart;

fuzz_target!(|bytes: &[u8]| take_apart("multipart/form-data; boundary=cut", Bytes::copy_from_slice(bytes)));
