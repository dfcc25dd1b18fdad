//! The packages, where `make rpm deb` leaves them, and others made by the same scripts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use v6pod_integration::program;

/// The checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout is there")
}

/// `target/package`.
pub fn folder() -> PathBuf {
    let daemon = program("v6podd").expect("v6podd is not built; run make test");
    daemon.ancestors().nth(2).expect("it is in target/PROFILE").join("package")
}

/// The one package whose file has this beginning and this end.
#[track_caller]
pub fn package(folder: &Path, begin: &str, end: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(begin).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && name.ends_with(end)
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(fits).collect();
    assert_eq!(found.len(), 1, "{begin}*{end} in {}; run make rpm deb: {found:?}", folder.display());
    found.remove(0)
}

/// Packages of the same spec and the same programs whose release comes before.
pub fn earlier() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let target = folder().with_file_name("earlier");
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(target.join("package")).expect("a folder can be made");
        std::os::unix::fs::symlink(folder().join("bin"), target.join("package/bin")).expect("a link, too");
        for script in ["packaging/rpm", "packaging/deb"] {
            let command = &mut Command::new(checkout().join(script));
            succeed(command.env("CARGO_TARGET_DIR", &target).env("V6POD_RELEASE", "0"));
        }
        target.join("package")
    })
}

/// What a command of this machine says, which has to succeed.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}
