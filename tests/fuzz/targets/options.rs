#![no_main]

use eic_fuzz::slowest::timed;
use eic_fuzz::targets::options;

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed(input, options::run));
