//! A token as it is sent, up to the key that should have signed it: there is none, so nobody comes in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::show_token;

fuzz_target!(|bytes: &[u8]| show_token(bytes));
