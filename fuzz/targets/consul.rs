#![no_main]
//! Answers of Consul.

libfuzzer_sys::fuzz_target!(|data: &[u8]| v6podd::registry::consul::fuzz::list(data));
