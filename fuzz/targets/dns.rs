#![no_main]
//! Messages to the built-in DNS.

libfuzzer_sys::fuzz_target!(|data: &[u8]| v6podd::registry::dns::fuzz::message(data));
