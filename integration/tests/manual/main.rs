//! The manual and the completions: written by `make manual` (V6POD_BLESS=1) from what the programs take and from
//! packaging/man/source; here it is tried that what stands in packaging/ is that, and that it is right.

mod completions;
mod keys;
mod pages;
mod roff;
mod shells;
mod stand_in;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What has a run write the files in place of comparing them.
const BLESS: &str = "V6POD_BLESS";

/// A file of the checkout.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the checkout").join(path)
}

#[track_caller]
fn read(path: &str) -> String {
    let path = file(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a file with what it should be, or makes it so.
#[track_caller]
fn agrees(path: &str, text: &str) {
    if env::var_os(BLESS).is_some() {
        fs::create_dir_all(file(path).parent().expect("a file is in a folder"))
            .expect("a folder can be made");
        fs::write(file(path), text).expect("the checkout can be written");
    }
    let present = fs::read_to_string(file(path)).unwrap_or_default();
    assert!(present == text, "{path} is not what it should be: make manual");
}

/// The programs that people type, as clap knows them.
fn programs() -> [clap::Command; 2] {
    use clap::CommandFactory as _;
    [v6pod::args::Args::command(), v6podd::command()].map(|mut program| {
        program.build();
        program
    })
}
