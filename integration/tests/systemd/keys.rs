//! What the unit files say: to systemd 219 and to today's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use v6pod_integration::Host;

const KNOWN: &str = include_str!("keys-219.txt");
const DOCUMENT: &str = include_str!("../../../docs/systemd.md");
const SECURITY: &str = include_str!("../../../docs/security.md");
const UNITS: [(&str, &str); 2] = [
    ("v6podd.service", include_str!("../../../packaging/v6podd.service")),
    ("v6podd.socket", include_str!("../../../packaging/v6podd.socket")),
];

/// The keys of a file, by section.
fn keys(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let key = line.split('=').next().unwrap_or_default().trim().to_owned();
        found.entry(section.clone()).or_default().insert(key);
    }
    found
}

/// The keys of the units that systemd 219 does not know.
fn ignored_by_219() -> BTreeSet<String> {
    let known = keys(KNOWN);
    let of = |text| {
        keys(text)
            .into_iter()
            .flat_map(|(section, keys)| keys.into_iter().map(move |key| (section.clone(), key)))
    };
    let all = UNITS.iter().flat_map(|(_, text)| of(text));
    all.filter(|(section, key)| !known.get(section).is_some_and(|known| known.contains(key)))
        .map(|(_, key)| key)
        .collect()
}

/// The table in docs/systemd.md: the key, and what there is in its place.
fn answered() -> BTreeMap<String, String> {
    let table =
        DOCUMENT.split("## What systemd 219 leaves out").nth(1).expect("docs/systemd.md has that part");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("=` | "));
    rows.map(|(key, answer)| (key.to_owned(), answer.trim_end_matches(" |").to_owned())).collect()
}

#[test]
fn each_key_that_systemd_219_ignores_is_answered() {
    let (ignored, answered) = (ignored_by_219(), answered());
    assert_eq!(
        answered.keys().cloned().collect::<BTreeSet<_>>(),
        ignored,
        "docs/systemd.md against the units"
    );
    // An older spelling that an answer names is one, and stands in a unit.
    let known = keys(KNOWN);
    let used: BTreeSet<String> =
        UNITS.iter().flat_map(|(_, text)| keys(text).into_values().flatten()).collect();
    for (key, answer) in answered {
        assert!(answer.len() > 10, "{key} is not answered");
        for older in answer.split('`').skip(1).step_by(2).filter_map(|word| word.strip_suffix('=')) {
            assert!(known["Service"].contains(older) && used.contains(older), "{key}: {older}");
        }
    }
}

#[test]
fn the_list_of_219_is_one() {
    let known = keys(KNOWN);
    let has = |section: &str, key| known[section].contains(key);
    for (section, key) in [
        ("Unit", "After"),
        ("Service", "Type"),
        ("Service", "FileDescriptorStoreMax"),
        ("Service", "TasksMax"),
        ("Service", "StartLimitInterval"),
        ("Socket", "ListenStream"),
        ("Install", "Also"),
    ] {
        assert!(has(section, key), "{section}.{key}");
    }
    // Of later versions: 230, 230, 235, 232, 252.
    for (section, key) in [
        ("Unit", "StartLimitIntervalSec"),
        ("Socket", "TriggerLimitIntervalSec"),
        ("Service", "StateDirectory"),
        ("Service", "ProtectKernelModules"),
        ("Service", "OpenFile"),
    ] {
        assert!(!has(section, key), "{section}.{key}");
    }
}

/// The machine's systemd, with the units and what they start in their places.
fn host_with_units() -> (Host, Vec<String>) {
    let host = Host::builder("one").without_wrapper().build();
    let paths = UNITS.map(|(name, text)| {
        let path = format!("/etc/systemd/system/{name}");
        host.write(&path, text);
        path
    });
    (host, paths.to_vec())
}

#[test]
fn todays_systemd_has_nothing_to_say_of_the_units() {
    let (host, paths) = host_with_units();
    let verify =
        host.try_run(["systemd-analyze", "verify", "--man=no"].map(str::to_owned).iter().chain(&paths));
    // The older spelling of MemoryMax=, which stands there for 219.
    let known = |line: &&str| line.contains("Unit uses MemoryLimit=");
    let ours: Vec<_> = verify.stderr.lines().filter(|line| line.contains("v6pod") && !known(line)).collect();
    assert!(ours.is_empty(), "{verify}");
    // So it would have had, if there were something.
    host.write("/etc/systemd/system/v6podd.socket", "[Socket]\nListenStreams=/x\n");
    let verify = host.try_run(["systemd-analyze", "verify", "--man=no", &paths[1]]);
    assert!(verify.stderr.contains("v6podd.socket") && verify.stderr.contains("ListenStreams"), "{verify}");
}

#[test]
fn the_unit_exposes_as_much_as_is_said() {
    let (host, paths) = host_with_units();
    let analysed = host.try_run(["systemd-analyze", "security", "--offline=true", "--no-pager", &paths[0]]);
    let line =
        analysed.stdout.lines().find(|line| line.contains("Overall exposure level")).expect("a figure");
    let figure = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a figure");
    let said = format!("exposure level of {figure} ");
    assert!(SECURITY.contains(&said), "docs/security.md does not say: {said}\n{analysed}");
}

#[test]
fn the_socket_is_the_one_that_clients_know() {
    let (socket, service) = (UNITS[1].1, UNITS[0].1);
    assert!(socket.contains(&format!("\nListenStream={}\n", v6pod_proto::SOCKET)));
    assert!(socket.contains("\nSocketMode=0666\n") && service.contains("\nSockets=v6podd.socket\n"));
    let tmpfiles =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/tmpfiles.d/v6pod.conf"));
    assert!(tmpfiles.expect("it is there").contains("\nd /run/v6pod 0755 root root -\n"));
}
