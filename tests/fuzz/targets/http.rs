#![no_main]

use eic_fuzz::http;
use eic_fuzz::slowest::timed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed(input, http::run));
