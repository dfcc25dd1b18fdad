#![no_main]
//! What the cni way in is given.

libfuzzer_sys::fuzz_target!(|data: &[u8]| v6pod_client::fuzz::cni(data));
