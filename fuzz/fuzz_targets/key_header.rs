//! The headers that a key may stand in, and the look for it among those that count: nobody comes in but by a key of the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::show_key;

fuzz_target!(|bytes: &[u8]| show_key(bytes));
