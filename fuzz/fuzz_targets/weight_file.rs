//! A weight file as it is: the archive, the format, the names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::import;

fuzz_target!(|bytes: &[u8]| import(bytes));
