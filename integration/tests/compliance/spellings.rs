//! The same options in every spelling: slirp4netns does the same, and is given the same arguments.

use crate::{
    case::{
        AS_ROOT_INSIDE, Case,
        Step::{CloseExit, Process, Ready, Tap},
    },
    site::compare,
};

/// Descriptor 3 tells that it is ready, descriptor 4 ends it.
const fn runs(line: &'static str) -> Case {
    Case::network(line).does(&[Ready, Process, CloseExit]).shows(&[
        "ready: '1'",
        "links: lo tap0",
        "route: 0.0.0.0 by 10.0.2.2 tap0",
        "ends: exit 0",
    ])
}

/// The same in a user namespace, where the namespace's path is enough.
const fn runs_inside(line: &'static str) -> Case {
    runs(line).under(AS_ROOT_INSIDE)
}

#[test]
fn engines_lines() {
    compare(&[
        // podman 1.6 to 3.1 with a path and with a process, 4.3 with slirp4netns' ports, 4.6 and later.
        runs_inside("--disable-host-loopback --mtu 65520 --enable-sandbox -c -e 4 -r 3 --netns-type=path {NETNS} tap0"),
        runs_inside(
            "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp -c -e 4 -r 3 --netns-type=path {NETNS} tap0",
        ),
        runs_inside("--disable-host-loopback --mtu=65520 -c -e 4 -r 3 {PID} tap0"),
        runs_inside(
            "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp --enable-ipv6 -c -e 4 -r 3 \
             --api-socket {DIR}/api --netns-type=path {NETNS} tap0",
        )
        .answered(
            "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp -c -e 4 -r 3 \
             --api-socket {DIR}/api --netns-type=path {NETNS} tap0",
        ),
        runs_inside(
            "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp --enable-ipv6 -c -r 3 -e 4 \
             --netns-type=path {NETNS} tap0",
        )
        .answered(
            "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp -c -r 3 -e 4 \
             --netns-type=path {NETNS} tap0",
        ),
        // rootlesskit, which configures the link itself, with a process and with a detached namespace.
        Case::network("--mtu 65520 -r 3 --disable-host-loopback --enable-sandbox --enable-seccomp -e 4 {PID} tap0")
            .does(&[Ready, Process, CloseExit])
            .shows(&["ready: '1'", "links: lo tap0", "ends: exit 0"]),
        Case::network("--mtu 65520 -r 3 -e 4 --userns-path=/proc/{PID}/ns/user --netns-type=path {NETNS} tap0")
            .does(&[Ready, Process, CloseExit])
            .shows(&["ready: '1'", "links: lo tap0", "ends: exit 0"]),
    ]);
}

#[test]
fn values_and_order() {
    compare(&[
        runs("-c -r 3 -e 4 {PID} tap0"),
        runs("-c -r3 -e4 {PID} tap0"),
        runs("-cr3 -e4 {PID} tap0"),
        runs("-cr 3 -e 4 {PID} tap0"),
        runs("-ce 4 -r 03 {PID} tap0"),
        runs("--configure --ready-fd=3 --exit-fd=4 {PID} tap0"),
        runs("--configure --ready-fd 3 --exit-fd 4 {PID} tap0"),
        runs("--conf --r=3 --ex 4 {PID} tap0"),
        // The last of several counts.
        runs("-c -r 9 -r 3 -e 9 --exit-fd=4 {PID} tap0"),
        runs_inside("-c -r 3 -e 4 --netns-type pid --netns-type path {NETNS} tap0"),
        // A file of the folder it runs in.
        runs_inside("-c -r 3 -e 4 --netns-type=path netns tap0"),
        runs_inside("-c -r 3 -e 4 --netns-t path --target-type=netns {NETNS} tap0"),
        // Anything but pid is a path.
        runs_inside("-c -r 3 -e 4 --netns-type=nonsense {NETNS} tap0"),
        // Options before, between and after.
        runs("{PID} tap0 -c -r 3 -e 4"),
        runs("-c {PID} -r 3 tap0 -e 4"),
        runs("{PID} -c tap0 --ready-fd=3 --exit-fd 4"),
        runs_inside("{NETNS} -c tap0 -r 3 -e 4 --netns-type=path"),
        runs("-c -r 3 -e 4 -- {PID} tap0"),
        runs("-c {PID} -r 3 -e 4 -- tap0"),
        runs("-c -r 3 -e 4 {PID} tap0").under("env POSIXLY_CORRECT=1"),
        // Not options any more.
        runs("-c -r 3 -e 4 {PID} tap0 -6")
            .under("env POSIXLY_CORRECT=1")
            .shows(&["stdout: WARNING: too many arguments"]),
        runs("-c -r 3 -e 4 {PID} -6").under("env POSIXLY_CORRECT=").shows(&["links: -6 lo"]),
        // More than it needs.
        runs("-c -r 3 -e 4 {PID} tap0 more").shows(&["stdout: WARNING: too many arguments", "ends: exit 0"]),
        runs("-c -r 3 -e 4 -- {PID} tap0 --mtu=x").shows(&["stdout: WARNING: too many arguments"]),
        runs("--no-host-loopback --create-sandbox -c -r 3 -e 4 {PID} tap0").shows(&["ends: exit 0"]),
        // Names of links that are no tap0.
        runs("-c -r 3 -e 4 {PID} eth0").shows(&["links: eth0 lo", "route: 0.0.0.0 by 10.0.2.2 eth0"]),
        runs("-c -r 3 -e 4 {PID} a-name-of-20-octets").shows(&["links: a-name-of-20-oc lo"]),
        runs("-c -r 3 -e 4 -- {PID} -6").shows(&["links: -6 lo"]),
    ]);
}

/// slirp4netns' own IPv6 is left out when v6podd answers, and nothing else is.
#[test]
fn ipv6_of_its_own() {
    const WARNING: &str = "stdout: WARNING: Support for IPv6 is experimental";
    const OUTBOUND: &str = "stdout: WARNING: Support for --outbound-addr6 is experimental";
    const PLAIN: &str = "-c -r 3 -e 4 {PID} tap0";
    compare(&[
        runs("-6 -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("-c6 -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("-6c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("-66 -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("-6cr3 -e4 {PID} tap0").answered("-cr3 -e4 {PID} tap0").shows(&[WARNING]),
        runs("-c6r 3 -e4 {PID} tap0").answered("-cr 3 -e4 {PID} tap0").shows(&[WARNING]),
        runs("-c -6r 3 -6e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("--enable-ipv6 -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("--enable-ipv -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("-c --enable-i -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[WARNING]),
        runs("-c -r 3 -e 4 {PID} -6 tap0").answered(PLAIN).shows(&[WARNING]),
        runs("-c -r 3 -e 4 {PID} tap0 --enable-ipv6").answered(PLAIN).shows(&[WARNING]),
        runs("-6 -c -r 3 -e 4 -- {PID} tap0").answered("-c -r 3 -e 4 -- {PID} tap0").shows(&[WARNING]),
        runs("--outbound-addr6=::1 -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[OUTBOUND]),
        runs("--outbound-addr6 ::1 -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[OUTBOUND]),
        runs("-6 --outbound-addr6 2001:db8::1 -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&[
            WARNING,
            OUTBOUND,
            "stdout: * Outbound IPv6:    2001:db8::1",
        ]),
        // Without v6podd it is as wrong as ever; with it, nobody reads it.
        runs("--outbound-addr6=nowhere -c -r 3 -e 4 {PID} tap0").answered(PLAIN).shows(&["ends: exit 1"]),
        // Values that look like it.
        runs("-c -r 3 -e 4 --outbound-addr=192.0.2.6 {PID} tap0").shows(&["ends: exit 0"]),
        runs("-c -r 3 -e 4 -a -6 {PID} tap0").shows(&["stdout: * API Socket:      -6"]),
        runs("-c -r 3 -e 4 -a-6 {PID} tap0").shows(&["stdout: * API Socket:      -6"]),
        runs("-c -r 3 -e 4 --api --enable-ipv6 {PID} tap0")
            .shows(&["stdout: * API Socket:      --enable-ipv6"]),
        runs("-c -r 3 -e 4 -- {PID} tap0 --enable-ipv6").shows(&["stdout: WARNING: too many arguments"]),
        Case::network("-c -e 4 -- {PID} tap0 -r 3").does(&[Tap, CloseExit]).shows(&["ends: exit 0"]),
    ]);
}
