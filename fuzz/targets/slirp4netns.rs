#![no_main]
//! What the slirp4netns way in is given.

libfuzzer_sys::fuzz_target!(|data: &[u8]| v6pod_client::fuzz::slirp4netns(data));
