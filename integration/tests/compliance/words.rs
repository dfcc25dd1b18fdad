//! What slirp4netns says: its help, its version, and what is wrong with a command line.

use crate::{case::Case, site::compare};

/// How help begins, which also follows a complaint.
const USAGE: &str = "stdout: Usage: slirp4netns [OPTION]... PID|PATH [TAPNAME]";
const VERSION: &str = "stdout: slirp4netns version 1.2.0";
const GOOD: &str = "ends: exit 0";
const BAD: &str = "ends: exit 1";

#[test]
fn help_and_version() {
    const IPV6: &str = "stdout: -6, --enable-ipv6        enable IPv6 (experimental)";
    const WARNING: &str = "stdout: WARNING: Support for IPv6 is experimental";
    compare(&[
        Case::words("--help").shows(&[USAGE, IPV6, GOOD]),
        Case::words("-h").shows(&[USAGE, IPV6, GOOD]),
        Case::words("--he").shows(&[USAGE, GOOD]),
        Case::words("--version").shows(&[VERSION, GOOD]),
        Case::words("-v").shows(&[VERSION, GOOD]),
        Case::words("--v").shows(&[VERSION, GOOD]),
        Case::words("-ch").shows(&[USAGE, GOOD]),
        Case::words("-6h").shows(&[WARNING, USAGE, GOOD]),
        Case::words("--enable-ipv6 --version").shows(&[WARNING, VERSION, GOOD]),
        // The first of them counts, wherever it stands.
        Case::words("{PID} tap0 --help").shows(&[USAGE, GOOD]),
        Case::words("-c -r 3 {PID} -v tap0 --help").shows(&[VERSION, GOOD]),
        Case::words("--help --no-such-option").shows(&[USAGE, GOOD]),
        Case::words("--no-such-option --help").shows(&[USAGE, BAD]),
    ]);
}

#[test]
fn lines_that_are_wrong() {
    compare(&[
        Case::words("").shows(&[USAGE, BAD]),
        Case::words("-c").shows(&[USAGE, BAD]),
        Case::words("-6").shows(&["stdout: WARNING: Support for IPv6 is experimental", USAGE, BAD]),
        Case::words("--").shows(&[USAGE, BAD]),
        Case::words("{PID}").shows(&[USAGE, BAD]),
        Case::words("-c -r 3 {PID}").shows(&[USAGE, BAD]),
        Case::words("--netns-type=path {NETNS}").shows(&[USAGE, BAD]),
        Case::words("--no-such-option {PID} tap0")
            .shows(&["stderr: slirp4netns: unrecognized option '--no-such-option'", USAGE, BAD]),
        Case::words("-x {PID} tap0").shows(&["stderr: slirp4netns: invalid option -- 'x'", BAD]),
        Case::words("-cx {PID} tap0").shows(&["stderr: slirp4netns: invalid option -- 'x'", BAD]),
        Case::words("-c- {PID} tap0").shows(&["stderr: slirp4netns: invalid option -- '-'", BAD]),
        Case::words("--= {PID} tap0").shows(&[BAD]),
        Case::words("--- {PID} tap0").shows(&["stderr: slirp4netns: unrecognized option '---'", BAD]),
        Case::words("--enable-s {PID} tap0").shows(&[
            "stderr: slirp4netns: option '--enable-s' is ambiguous; possibilities: '--enable-sandbox' '--enable-seccomp'",
            BAD,
        ]),
        Case::words("--outbound-a 192.0.2.1 {PID} tap0").shows(&[BAD]),
        Case::words("--e 4 {PID} tap0").shows(&[BAD]),
        Case::words("--c {PID} tap0").shows(&[BAD]),
        Case::words("--enable-ipv6=1 {PID} tap0")
            .shows(&["stderr: slirp4netns: option '--enable-ipv6' doesn't allow an argument", BAD]),
        Case::words("--configure= {PID} tap0").shows(&[BAD]),
        Case::words("{PID} tap0 -r").shows(&["stderr: slirp4netns: option requires an argument -- 'r'", BAD]),
        Case::words("{PID} tap0 --mtu")
            .shows(&["stderr: slirp4netns: option '--mtu' requires an argument", BAD]),
        Case::words("{PID} tap0 --outbound-addr6").shows(&[BAD]),
        Case::words("-r x {PID} tap0").shows(&["stderr: ready-fd must be a non-negative integer", USAGE, BAD]),
        Case::words("-r -1 {PID} tap0").shows(&["stderr: ready-fd must be a non-negative integer", BAD]),
        Case::words("-r 3x {PID} tap0").shows(&["stderr: ready-fd must be a non-negative integer", BAD]),
        Case::words("--ready-fd= --exit-fd=x {PID} tap0")
            .shows(&["stderr: exit-fd must be a non-negative integer", BAD]),
        Case::words("-e -1 {PID} tap0").shows(&["stderr: exit-fd must be a non-negative integer", BAD]),
        Case::words("0 tap0").shows(&["stderr: PID must be a positive integer", USAGE, BAD]),
        Case::words("'' tap0").shows(&["stderr: PID must be a positive integer", BAD]),
        Case::words("-- -1 tap0").shows(&["stderr: PID must be a positive integer", BAD]),
        Case::words("1x tap0").shows(&["stderr: PID must be a positive integer", BAD]),
        Case::words("{NETNS} tap0").shows(&["stderr: PID must be a positive integer", BAD]),
        Case::words("--target-type=x {PID} tap0")
            .shows(&["stderr: --target-type must be either \"netns\" or \"bess\"", BAD]),
        Case::words("--target-type=bess").shows(&[USAGE, BAD]),
        Case::words("--target-type=bess {DIR}/bess tap0").shows(&["stderr: too many arguments", BAD]),
        Case::words("--target-type=bess -c {DIR}/bess")
            .shows(&["stderr: --configure conflicts with --target-type=bess", BAD]),
        Case::words("--target-type bess --netns-type path {DIR}/bess")
            .shows(&["stderr: --netns-type conflicts with --target-type=bess", BAD]),
    ]);
}

/// The wrapper does not look at these values, and asks v6podd before slirp4netns does.
#[test]
fn values_that_are_wrong() {
    compare(&[
        Case::network("-m x {PID} tap0").shows(&["stderr: MTU must be a positive integer (< 65522)", BAD]),
        Case::network("--mtu=0 {PID} tap0").shows(&["stderr: MTU must be a positive integer (< 65522)", BAD]),
        Case::network("--mtu 65522 {PID} tap0").shows(&[
            "stderr: MTU must be a positive integer (< 65522)",
            USAGE,
            BAD,
        ]),
        Case::network("--cidr=x {PID} tap0").shows(&["stderr: invalid CIDR: x", BAD]),
        Case::network("--cidr= {PID} tap0").shows(&["stderr: invalid CIDR: ", BAD]),
        Case::network("--cidr=10.0.2.1/24 {PID} tap0").shows(&[
            "stderr: CIDR needs to be a network address like 10.0.2.0/24, not like 10.0.2.100/24",
            BAD,
        ]),
        Case::network("--cidr 10.0.2.0/26 {PID} tap0")
            .shows(&["stderr: prefix length needs to be 1-25", BAD]),
        Case::network("--macaddress=02:00:00:00:00:07 {PID} tap0")
            .shows(&["stderr: --macaddr cannot be specified when --configure or -c is not specified", BAD]),
        Case::network("-c --macaddress=x {PID} tap0")
            .shows(&["stderr: \"x\" is an invalid MAC address.", BAD]),
        Case::network("-c --macaddress=2:0:0:0:0:7:8 {PID} tap0")
            .shows(&["stderr: \"2:0:0:0:0:7:8\" is an invalid MAC address.  Is it too long?", BAD]),
        Case::network("--outbound-addr=nowhere {PID} tap0").shows(&[
            "stdout: WARNING: Support for --outbound-addr is experimental",
            "stderr: outbound-addr has to be valid ipv4 address or interface name.",
            BAD,
        ]),
        Case::network("--netns-type=path --userns-path=/absent {NETNS} tap0").shows(&[
            "stderr: userns path doesn't exist: /absent",
            USAGE,
            BAD,
        ]),
        Case::network("-r 3 -a /absent/api {PID} tap0").shows(&[
            "stderr: api_bindlisten: bind: No such file or directory",
            "stderr: do_slirp failed",
            "stderr: parent failed",
            BAD,
        ]),
        Case::network("-c {PID} ''").shows(&["stderr: cannot set device up: No such device", BAD]),
        Case::network("{PID} lo").shows(&["stderr: ioctl(TUNSETIFF): Invalid argument", BAD]),
    ]);
}

#[test]
fn namespaces_that_are_not_to_be_had() {
    const NONE: &str = "the first descriptor that was passed is not a network namespace";
    const INVALID: &str = "stderr: setns(CLONE_NEWNET): Invalid argument";
    compare(&[
        // Nobody's.
        Case::words("-c -r 3 4000000 tap0").shows(&[
            "stderr: /proc/4000000/ns/net: No such file or directory",
            "stderr: child failed(1)",
            BAD,
        ]),
        Case::words("99999999999 tap0").shows(&[BAD]),
        Case::words("-c --netns-type=path /absent tap0").shows(&[
            "stderr: existing path expected when --netns-type=path: No such file or directory",
            USAGE,
            BAD,
        ]),
        Case::words("--netns-type=path '' tap0").shows(&[BAD]),
        Case::words("-6 --netns-type path {NETNS}/tap0 tap0").shows(&[BAD]),
        Case::words("--netns-type=nonsense /absent tap0").shows(&[BAD]),
        // Somebody else's.
        Case::words("-c 1 tap0").shows(&["stderr: /proc/1/ns/net: Permission denied", BAD]),
        Case::words("+1 tap0").shows(&["stderr: /proc/1/ns/net: Permission denied", BAD]),
        // The user's, but not to be entered without its user namespace.
        Case::network("-c --netns-type=path {NETNS} tap0")
            .shows(&["stderr: setns(CLONE_NEWNET): Operation not permitted", BAD]),
        // The host's own, which the user can open like anything of theirs.
        Case::network("-c --netns-type=path /proc/self/ns/net tap0")
            .refused("this is the host's own network namespace")
            .shows(&["stderr: setns(CLONE_NEWNET): Operation not permitted", BAD]),
        // None at all.
        Case::network("-c --netns-type=path /etc/passwd tap0").refused(NONE).shows(&[INVALID, BAD]),
        Case::network("-c --netns-type=path /proc/self/ns/user tap0").refused(NONE).shows(&[INVALID, BAD]),
    ]);
}
