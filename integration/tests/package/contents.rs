//! What the packages hold and ask for, and that they hold the same whoever makes them.

use std::{collections::BTreeSet, fs, process::Command};

use crate::made::{checkout, folder, package, succeed};

/// A line of packaging/files.
struct Row {
    package: String,
    format: String,
    kind: String,
    mode: String,
    destination: String,
    source: String,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(checkout().join("packaging/files")).expect("the list is there");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let words: [String; 6] = words.try_into().unwrap_or_else(|_| panic!("not six words: {line}"));
            let [package, format, kind, mode, destination, source] = words;
            Row { package, format, kind, mode, destination, source }
        })
        .collect()
}

/// "MODE PATH" of all that this package should hold, as the format says it.
fn expected(package: &str, format: &str) -> BTreeSet<String> {
    let is_there = |row: &Row| row.source.strip_prefix('?').is_none_or(|path| checkout().join(path).exists());
    let of =
        rows().into_iter().filter(|row| row.package == package && ["-", format].contains(&&row.format[..]));
    of.filter(is_there)
        .map(|row| {
            let (mode, suffix) =
                (row.mode.trim_start_matches('0'), if row.kind == "man" { ".gz" } else { "" });
            let mode = if row.kind == "link" { "777" } else { mode };
            format!("{mode} {}{suffix}", row.destination)
        })
        .collect()
}

#[test]
fn the_rpms_hold_what_the_list_says() {
    for name in ["v6pod", "v6pod-setuid"] {
        let file = package(&folder(), &format!("{name}-"), ".rpm");
        let format = "[%{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]";
        let listed = succeed(Command::new("rpm").args(["-qp", "--qf", format]).arg(file));
        let found: BTreeSet<String> = listed
            .lines()
            .map(|line| {
                let [mode, owner, path] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
                assert_eq!(owner, "root:root", "{line}");
                let mode = u32::from_str_radix(mode, 8).unwrap_or_else(|_| panic!("{line}"));
                format!("{:o} {path}", mode & 0o7777)
            })
            .collect();
        assert_eq!(found, expected(name, "rpm"));
    }
}

#[test]
fn the_debs_hold_what_the_list_says() {
    for name in ["v6pod", "v6pod-setuid"] {
        let file = package(&folder(), &format!("{name}_"), ".deb");
        let place = tempfile::tempdir().expect("a temporary folder can be made");
        let root = place.path();
        succeed(Command::new("dpkg-deb").arg("-x").arg(&file).arg(root));
        let listed = succeed(Command::new("find").arg(root).args(["-printf", "%m %U:%G /%P\n"]));
        let found: BTreeSet<String> = listed
            .lines()
            .map(|line| line.replacen(" 0:0 ", " ", 1))
            // Folders that lead to the package's own.
            .filter(|line| !line.starts_with("755 /") || !root.join(&line[5..]).is_dir())
            .collect();
        let folders = |line: &String| line.starts_with("755 ") && root.join(&line[5..]).is_dir();
        assert_eq!(found, expected(name, "deb").into_iter().filter(|line| !folders(line)).collect());
    }
    let control = |field| {
        let file = package(&folder(), "v6pod_", ".deb");
        succeed(Command::new("dpkg-deb").arg("-f").arg(file).arg(field)).trim().to_owned()
    };
    assert_eq!(control("Depends"), "libc6 (>= 2.17), init-system-helpers (>= 1.54~)");
    assert_eq!(control("Version"), concat!(env!("CARGO_PKG_VERSION"), "-1"));
}

/// New man pages, units and completions have to be in the list, or nobody will have them.
#[test]
fn nothing_is_forgotten() {
    let sources: BTreeSet<String> =
        rows().into_iter().map(|row| row.source.trim_start_matches('?').to_owned()).collect();
    for folder in ["packaging", "packaging/man", "packaging/completions", "packaging/tmpfiles.d"] {
        for entry in fs::read_dir(checkout().join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().expect("names are text");
            let is_for_packages = entry.path().is_file()
                && (folder != "packaging"
                    || [".service", ".socket", ".toml"].iter().any(|end| name.ends_with(end))
                        && name != "rpmlint.toml");
            let is_listed = sources.contains(&format!("{folder}/{name}"));
            assert!(is_listed || !is_for_packages, "{folder}/{name} is not in packaging/files");
        }
    }
}

/// CentOS 7 has rpm 4.11, which reads gzip, MD5 and SHA-1, and sha256 of files, but no newer feature; glibc 2.17 and
/// systemd it has, too.
#[test]
fn centos_7_has_all_that_is_asked_for() {
    let features = ["CompressedFileNames", "FileDigests", "PayloadFilesHavePrefix"]
        .map(|name| format!("rpmlib({name})"));
    let libraries =
        ["libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "ld-linux-x86-64.so.2"];
    for name in ["v6pod", "v6pod-setuid"] {
        let file = package(&folder(), &format!("{name}-"), ".rpm");
        let query = |arguments: &[&str]| succeed(Command::new("rpm").arg("-qp").args(arguments).arg(&file));
        let facts = query(&["--qf", "%{PAYLOADCOMPRESSOR} %{PAYLOADFORMAT} %{FILEDIGESTALGO} %{BUILDHOST}"]);
        assert_eq!(facts, "gzip cpio 8 v6pod.invalid");
        let digests = query(&["--qf", "%{SIGMD5} %{SHA1HEADER}"]);
        let lengths: Vec<usize> = digests.split(' ').map(str::len).collect();
        assert_eq!(lengths, [32, 40], "{digests}");
        let asked = query(&["--requires"]);
        assert!(asked.contains("libc.so.6(GLIBC_2.2.5)(64bit)"), "{asked}");
        for line in asked.lines() {
            let what = line.split(' ').next().unwrap_or_default();
            let (library, rest) = what.split_once('(').unwrap_or((what, ""));
            let version = rest.strip_prefix("GLIBC_2.").and_then(|rest| rest.split(')').next());
            let is_old = version
                .is_none_or(|version| version.split('.').next().unwrap().parse::<u32>().unwrap() <= 17);
            let is_there = ["/bin/sh", "systemd", "v6pod", "config(v6pod)"].contains(&what)
                || features.iter().any(|feature| feature == what)
                || libraries.contains(&library) && is_old;
            assert!(is_there, "CentOS 7 has no {line}");
        }
    }
}

#[test]
fn the_same_programs_make_the_same_octets_elsewhere() {
    let first = package(&folder(), "v6pod-", ".rpm");
    let time = succeed(Command::new("rpm").args(["-qp", "--qf", "%{BUILDTIME}"]).arg(first));
    let mut command = Command::new(checkout().join("packaging/reproduce"));
    let target = folder().parent().expect("it is in target").to_owned();
    let said = succeed(command.arg("packed").env("CARGO_TARGET_DIR", target).env("SOURCE_DATE_EPOCH", time));
    assert!(said.ends_with("the same octets\n"), "{said}");
}

#[test]
fn rpmlint_has_no_remark_that_is_not_answered() {
    let packages = ["v6pod-", "v6pod-setuid-"].map(|name| package(&folder(), name, ".rpm"));
    let mut command = Command::new("rpmlint");
    command
        .current_dir(checkout())
        .args(["-c", "packaging/rpmlint.toml", "packaging/v6pod.spec"])
        .args(packages);
    let output = command.output().expect("rpmlint is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("2 packages and 1 specfiles checked"), "{said}");
    let has_pages = checkout().join("packaging/man").exists();
    let remarks: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(": E: ") || line.contains(": W: "))
        .filter(|line| has_pages || !line.contains("no-manual-page-for-binary"))
        .collect();
    assert!(remarks.is_empty(), "{remarks:#?}");
}
