#![no_main]

use eic_fuzz::slowest::timed;
use eic_fuzz::targets::bundle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed(input, bundle::run));
