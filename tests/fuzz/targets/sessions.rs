#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| eic_fuzz::targets::sessions::run(input));
