//! v6pod-slirp4netns(1): what the stand-in takes, compared with what `slirp4netns --help` says through it.

use std::collections::BTreeSet;

use v6pod_integration::Host;

use crate::{
    pages::wanted,
    roff::{bold, escape, italic, item, text},
};

/// Each option: its letter, its name, its value, and what becomes of it.
const OPTIONS: [(Option<char>, &str, &str, &str); 20] = [
    (Some('c'), "configure", "", "Passed on: bring up the interface tap0."),
    (
        Some('e'),
        "exit-fd",
        "FD",
        "Passed on, and kept from being closed: what ends slirp4netns, and with it the attachment.",
    ),
    (Some('r'), "ready-fd", "FD", "Passed on; nothing is written to it before slirp4netns does."),
    (Some('m'), "mtu", "MTU", "Passed on: of tap0. The MTU of v6pod0 is the network's."),
    (
        Some('6'),
        "enable-ipv6",
        "",
        "Left out: IPv6 comes from v6pod. Passed on where there is no attachment.",
    ),
    (Some('a'), "api-socket", "PATH", "Passed on; its name may tell the container's id."),
    (None, "cidr", "CIDR", "Passed on: IPv4 is slirp4netns' business."),
    (None, "disable-host-loopback", "", "Passed on."),
    (
        None,
        "netns-type",
        "TYPE",
        "Obeyed and passed on: whether the namespace is given as a path or a pid. With tapfd there is no namespace, and nothing is attached.",
    ),
    (None, "userns-path", "PATH", "Passed on."),
    (None, "enable-sandbox", "", "Passed on."),
    (None, "enable-seccomp", "", "Passed on."),
    (None, "outbound-addr", "IPv4", "Passed on."),
    (None, "outbound-addr6", "IPv6", "Left out, as --enable-ipv6."),
    (None, "disable-dns", "", "Passed on."),
    (None, "macaddress", "MAC", "Passed on: of tap0."),
    (
        None,
        "target-type",
        "TYPE",
        "Obeyed and passed on: with bess there is no namespace, and nothing is attached.",
    ),
    (Some('h'), "help", "", "Passed on: engines look for options in what slirp4netns says."),
    (Some('v'), "version", "", "Passed on."),
    (None, "create-sandbox, --no-host-loopback", "", "Older names, passed on."),
];

/// The options, for the page.
pub fn section() -> String {
    let term = |(short, long, value, _): &(Option<char>, &str, &str, &str)| {
        let short = short.map(|short| format!("{}, ", bold(&format!("-{short}")))).unwrap_or_default();
        let value = if value.is_empty() { String::new() } else { format!("={}", italic(value)) };
        format!("{short}{}{value}", bold(&format!("--{long}")))
    };
    OPTIONS.iter().map(|option| item(&term(option), &text(option.3))).collect()
}

#[test]
fn every_option_of_help_stands_in_the_page() {
    let host = Host::new("one", &[]);
    let help = host.run(["/usr/libexec/v6pod/slirp4netns", "--help"]).stdout;
    let name =
        |word: &str| word.trim_end_matches(',').split(['=', '[']).next().unwrap_or_default().to_owned();
    let told: BTreeSet<_> = help
        .lines()
        .filter(|line| line.starts_with('-'))
        .flat_map(|line| line.split_whitespace().take(2).filter(|word| word.starts_with('-')).map(name))
        .collect();
    assert!(told.len() > 20, "{help}");
    let page = wanted("v6pod-slirp4netns.1");
    for option in &told {
        assert!(page.contains(&format!("\\fB{}\\fR", escape(option))), "{option} is missing");
    }
    // The page tells of nothing that is not there, but for the hidden ones.
    for (short, long, ..) in OPTIONS.iter().filter(|(_, long, ..)| !long.contains(',')) {
        assert!(told.contains(&format!("--{long}")), "--{long} is none of slirp4netns'");
        assert!(short.is_none_or(|short| told.contains(&format!("-{short}"))), "-{short:?}");
    }
}
