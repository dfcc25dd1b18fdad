//! Leaves the index of the unwind tables out of the small programs: they abort instead of unwinding, and it is
//! a fiftieth of their size.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The profile `shim` inherits `release`.
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}
