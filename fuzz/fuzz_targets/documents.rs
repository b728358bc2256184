#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| diorama::fuzz::of("documents")(data));
