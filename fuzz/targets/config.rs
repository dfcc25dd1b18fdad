#![no_main]
//! The configuration file.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = v6podd::config::Config::parse(text, "v6podd.toml".as_ref());
    }
});
