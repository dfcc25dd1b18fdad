#![no_main]
//! What the hook way in is given.

libfuzzer_sys::fuzz_target!(|data: &[u8]| v6pod_client::fuzz::hook(data));
