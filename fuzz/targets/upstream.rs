#![no_main]
//! Replies of the resolvers that the built-in DNS asks.

libfuzzer_sys::fuzz_target!(|data: &[u8]| v6podd::registry::dns::fuzz::reply(data));
