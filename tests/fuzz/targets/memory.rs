#![no_main]

use eic_fuzz::slowest::timed;
use eic_fuzz::targets::memory;

libfuzzer_sys::fuzz_target!(|input: &[u8]| timed(input, memory::run));
