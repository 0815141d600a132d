#![no_main]

use eic_fuzz::slowest::timed;
use eic_fuzz::targets::judgement;

// Making a dozen RSA keys takes longer than the time limit of one input.
libfuzzer_sys::fuzz_target!(init: judgement::prepare(), |input: &[u8]| timed(input, judgement::run));
