//! A JSON body of TensorFlow Serving's `:predict`: rows or columns, pictures in base64 or numbers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnetd_fuzz::take_prediction_apart;

fuzz_target!(|bytes: &[u8]| take_prediction_apart(bytes));
