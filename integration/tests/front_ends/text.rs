//! Variables and arguments that are no text, too long, or full of control characters.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use crate::site::{FrontEnd, Site, Streams};

/// All that is read anywhere, and some that is not.
const VARIABLES: [&str; 16] = [
    "V6POD_SOCKET",
    "V6POD_NETWORK",
    "V6POD_NAME",
    "V6POD_REQUIRED",
    "V6POD_SLIRP4NETNS",
    "V6POD_SHIM_PID",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "CONTAINERS_STORAGE_CONF",
    "HOME",
    "PATH",
    "TERM",
    "CNI_ARGS",
    "v6pod_id",
    "v6pod_user",
];

/// The worst come first.
fn values() -> Vec<OsString> {
    let long = vec![b'x'; 100_000];
    let odd = "\u{202e}\u{2028}".as_bytes();
    let values = [&b"\xff\xfe"[..], b"\n\x1b[2J\r", &long, b"/", b"../..", odd];
    values.into_iter().map(|value| OsString::from_vec(value.to_vec())).collect()
}

#[test]
fn variables_of_any_kind() {
    let site = Site::new();
    for name in VARIABLES {
        for value in &values()[..3] {
            for front_end in FrontEnd::ALL {
                let command = site.call_with(front_end, name, value);
                front_end.complains(&command.try_run(), Streams::BOTH);
            }
            site.clean();
        }
    }
}

#[test]
fn arguments_of_any_kind() {
    let site = Site::new();
    let mut groups: Vec<Vec<OsString>> = values().into_iter().map(|value| vec![value]).collect();
    groups
        .extend(values().into_iter().map(|value| vec![[OsString::from("--"), value].into_iter().collect()]));
    groups.extend([vec!["--".into()], vec![OsString::new()], vec!["x".into(); 5000], vec!["-".into(); 5000]]);
    for more in groups {
        for front_end in FrontEnd::ALL {
            front_end.complains(&site.call(front_end, &more).try_run(), Streams::BOTH);
        }
        site.clean();
    }
}

/// The patched podman's variable is a hint. Whatever it is, it costs nothing but itself.
#[test]
fn a_hint_of_any_kind() {
    let site = Site::new();
    for value in values() {
        let output = site.call_with(FrontEnd::Wrapper, "v6pod_id", &value).try_run();
        assert!(!FrontEnd::PatchedPodman.complains(&output, Streams::BOTH), "{output}");
        site.clean();
    }
    let log = site.daemon.log();
    let nameless =
        log.lines().filter(|line| line.contains("v6podd::audit: start ") && !line.contains(" container="));
    assert_eq!(nameless.count(), values().len(), "{log}");
}
