//! IPv4 out through `tap0`, and what the options make of it.

use crate::{
    case::{
        AS_ROOT_INSIDE, Case,
        Step::{self, CloseExit, Inside, Process, Ready},
    },
    site::compare,
};

/// The address of `tap0`, its MTU and its MAC.
const ADDRESS: Step = Inside("ip -4 -o address show dev tap0 | grep -o 'inet .*'");
const MTU: Step = Inside("ip -o link show dev tap0 | grep -o 'mtu [0-9]*'");
const MAC: Step = Inside("ip -o link show dev tap0 | grep -o 'link/ether [^ ]*'");

/// A server of the outside, the harness's router, by TCP: it tells a client its address.
const TCP: Step = Inside("socat -T5 - TCP:198.18.0.1:7");
/// Its name server by UDP, and the same one as slirp4netns offers it.
const UDP: Step = Inside("dig @198.18.0.1 +short +tries=3 +time=2 www.example.org A");
const DNS: Step = Inside("dig @10.0.2.3 +short +tries=3 +time=2 www.example.org A");
const PING: Step = Inside("ping -4 -qc1 -w5 198.18.0.1 | grep -o '[01] received'");
/// A server that listens on the host's 127.0.0.1 alone.
const LOOPBACK: Step = Inside("socat -T5 - TCP:10.0.2.2:7");

/// The answers.
const BY_TCP: &str = "inside: {HOST}";
const BY_NAME: &str = "inside: 192.0.2.7";
const BY_PING: &str = "inside: 1 received";
const BY_LOOPBACK: &str = "inside: the host";

#[test]
fn the_outside_and_the_host() {
    compare(&[
        Case::network("-c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, ADDRESS, MTU, TCP, UDP, PING, LOOPBACK, CloseExit])
            .shows(&[
                "inside: inet 10.0.2.100/24 brd 10.0.2.255 scope global tap0\\       valid_lft forever preferred_lft forever",
                "inside: mtu 1500",
                BY_TCP,
                BY_NAME,
                BY_PING,
                BY_LOOPBACK,
            ]),
        Case::network("-c -r 3 -e 4 {PID} tap0").does(&[Ready, DNS, CloseExit]).shows(&[BY_NAME]),
        Case::network("-c -r 3 -e 4 --netns-type=path {NETNS} tap0")
            .under(AS_ROOT_INSIDE)
            .does(&[Ready, ADDRESS, TCP, DNS, PING, LOOPBACK, CloseExit])
            .shows(&[BY_TCP, BY_NAME, BY_PING, BY_LOOPBACK]),
        // Configured by somebody else, as rootlesskit does.
        Case::network("-r 3 -e 4 {PID} tap0")
            .does(&[
                Ready,
                Inside("ip link set tap0 up && ip address add 10.0.2.100/24 dev tap0"),
                Inside("ip route add default via 10.0.2.2"),
                TCP,
                DNS,
                CloseExit,
            ])
            .shows(&["inside: $ ip route add default via 10.0.2.2 -> 0", BY_TCP, BY_NAME]),
    ]);
}

#[test]
fn what_is_closed_off() {
    compare(&[
        Case::network("--disable-host-loopback -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, LOOPBACK, TCP, DNS, CloseExit])
            .shows(&["inside: $ socat -T5 - TCP:10.0.2.2:7 -> 1", BY_TCP, BY_NAME]),
        Case::network("--no-host-loopback -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, LOOPBACK, CloseExit])
            .shows(&["inside: $ socat -T5 - TCP:10.0.2.2:7 -> 1"]),
        Case::network("--disable-dns -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, Inside("dig @10.0.2.3 +short +tries=1 +time=1 www.example.org A"), UDP, CloseExit])
            .shows(&["inside: $ dig @10.0.2.3 +short +tries=1 +time=1 www.example.org A -> 9", BY_NAME]),
    ]);
}

#[test]
fn what_is_chosen() {
    compare(&[
        Case::network("--cidr=10.0.9.0/24 -c -r 3 -e 4 {PID} tap0")
            .does(&[
                Ready,
                ADDRESS,
                TCP,
                Inside("dig @10.0.9.3 +short +tries=3 +time=2 www.example.org A"),
                Inside("socat -T5 - TCP:10.0.9.2:7"),
                CloseExit,
            ])
            .shows(&["route: 0.0.0.0 by 10.0.9.2 tap0", BY_TCP, BY_NAME, BY_LOOPBACK]),
        Case::network("--cidr 10.64.0.0/10 -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, ADDRESS, CloseExit])
            .shows(&["route: 10.64.0.0 by 0.0.0.0 tap0"]),
        Case::network("-m 65521 -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, MTU, TCP, CloseExit])
            .shows(&["inside: mtu 65521"]),
        Case::network("--mtu=1280 -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, MTU, TCP, CloseExit])
            .shows(&["inside: mtu 1280", BY_TCP]),
        Case::network("--macaddress=02:00:00:00:00:07 -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, MAC, TCP, CloseExit])
            .shows(&["inside: link/ether 02:00:00:00:00:07", "stdout: * MAC address:     02:00:00:00:00:07"]),
        Case::network("--outbound-addr={OTHER} -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, TCP, CloseExit])
            .shows(&["inside: {OTHER}", "stdout: * Outbound IPv4:    {OTHER}"]),
        Case::network("--outbound-addr eth0 -c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, TCP, CloseExit])
            .shows(&[BY_TCP, "stdout: * Outbound IPv4:    {HOST}"]),
        Case::network("-6 -c -r 3 -e 4 {PID} tap0")
            .answered("-c -r 3 -e 4 {PID} tap0")
            .does(&[
                Ready,
                Inside("ip -6 address add fd00::99/64 dev tap0 nodad"),
                Inside("ping -6 -qc1 -w4 fd00::2 | grep -o '[01] received'"),
                TCP,
                CloseExit,
            ])
            .shows(&[BY_PING, BY_TCP]),
    ]);
}

#[test]
fn sandbox_and_seccomp() {
    const STEPS: &[Step] = &[Ready, Process, TCP, DNS, PING, CloseExit];
    const ROOT: &str = "root: etc run";
    const SECCOMP: &str = "status: Seccomp: 2";
    compare(&[
        Case::network("--enable-sandbox -c -r 3 -e 4 {PID} tap0").does(STEPS).shows(&[
            ROOT,
            "status: Seccomp: 0",
            BY_TCP,
            BY_NAME,
            BY_PING,
        ]),
        Case::network("--create-sandbox -c -r 3 -e 4 {PID} tap0").does(STEPS).shows(&[ROOT, BY_TCP]),
        Case::network("--enable-seccomp -c -r 3 -e 4 {PID} tap0").does(STEPS).shows(&[
            "root: the host's",
            SECCOMP,
            BY_TCP,
            BY_NAME,
            BY_PING,
        ]),
        Case::network("--enable-sandbox --enable-seccomp -c -r 3 -e 4 {PID} tap0")
            .does(STEPS)
            .shows(&[ROOT, SECCOMP, BY_TCP, BY_NAME, BY_PING]),
        Case::network("--enable-sandbox --enable-seccomp -c -r 3 -e 4 --netns-type=path {NETNS} tap0")
            .under(AS_ROOT_INSIDE)
            .does(STEPS)
            .shows(&[ROOT, SECCOMP, BY_TCP, BY_NAME, BY_PING]),
        // Not to be had for a path alone, without the user namespace.
        Case::network(
            "--enable-sandbox -r 3 -e 4 --userns-path=/proc/{PID}/ns/user --netns-type=path {NETNS} tap0",
        )
        .does(&[Ready])
        .shows(&["ready: nothing, and closed"]),
    ]);
}
