#![no_main]
//! What comes over the socket: octets in pieces, descriptors with them, and HTTP/2.

libfuzzer_sys::fuzz_target!(|data: &[u8]| v6podd::socket::fuzz::connection(data));
