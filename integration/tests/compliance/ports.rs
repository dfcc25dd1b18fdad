//! The control socket, by which an engine forwards ports.

use crate::{
    case::{
        AS_ROOT_INSIDE, Case,
        Step::{self, Api, CloseExit, Outside, Ready, Serve, Signal, StillRuns},
    },
    site::compare,
};

const LINE: &str = "-c -r 3 -e 4 --api-socket={DIR}/api {PID} tap0";
const SERVER: Step = Serve("socat TCP-LISTEN:80,fork,reuseaddr SYSTEM:'echo a container'");
const ADD: Step = Api(
    r#"{"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_addr": "127.0.0.1", "host_port": 2080, "guest_addr": "10.0.2.100", "guest_port": 80}}"#,
);
const ADDED: &str = r#"api: {"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_addr": "127.0.0.1", "host_port": 2080, "guest_addr": "10.0.2.100", "guest_port": 80}} -> {"return":{"id":1}}"#;
const LIST: Step = Api(r#"{"execute": "list_hostfwd"}"#);
const EMPTY: &str = r#"api: {"execute": "list_hostfwd"} -> {"entries":[]}"#;
const LISTED: &str = r#"api: {"execute": "list_hostfwd"} -> {"entries":[{"id":1,"proto":"tcp","host_addr":"127.0.0.1","host_port":2080,"guest_addr":"10.0.2.100","guest_port":80}]}"#;
const CLIENT: Step = Outside("socat -T5 - TCP:127.0.0.1:2080");
const REACHED: &str = "outside: a container";
const REFUSED: &str = "outside: $ socat -T5 - TCP:127.0.0.1:2080 -> 1";

#[test]
fn a_port_is_forwarded_and_closed() {
    compare(&[
        Case::network(LINE)
            .does(&[
                Ready,
                SERVER,
                LIST,
                CLIENT,
                ADD,
                LIST,
                CLIENT,
                Api(r#"{"execute": "remove_hostfwd", "arguments": {"id": 1}}"#),
                LIST,
                CLIENT,
                CloseExit,
            ])
            .shows(&[
                EMPTY,
                REFUSED,
                ADDED,
                LISTED,
                REACHED,
                r#"api: {"execute": "remove_hostfwd", "arguments": {"id": 1}} -> {"return":{}}"#,
                "files left: ",
            ]),
        // As podman starts it, with its one letter for the socket.
        Case::network(
            "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp -c -r 3 -e 4 -a {DIR}/api \
             --netns-type=path {NETNS} tap0",
        )
        .under(AS_ROOT_INSIDE)
        .does(&[Ready, SERVER, ADD, CLIENT, CloseExit])
        .shows(&[ADDED, REACHED]),
        // A datagram.
        Case::network(LINE)
            .does(&[
                Ready,
                Serve("socat UDP-RECVFROM:80,fork SYSTEM:'echo a container'"),
                Api(r#"{"execute": "add_hostfwd", "arguments": {"proto": "udp", "host_port": 2081, "guest_port": 80}}"#),
                LIST,
                // Again and again: slirp4netns may lose the first ones, until it knows the container's MAC.
                Outside("until echo | socat -t0.3 - UDP:127.0.0.1:2081 | grep .; do :; done"),
                CloseExit,
            ])
            .shows(&[REACHED]),
        // To the container's address in another network, which need not be said.
        Case::network("-c -r 3 -e 4 -a {DIR}/api --cidr=10.0.9.0/24 {PID} tap0")
            .does(&[
                Ready,
                SERVER,
                Api(r#"{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_port":2080,"guest_port":80}}"#),
                LIST,
                CLIENT,
                Signal("SIGTERM"),
            ])
            .shows(&[REACHED, "files left: api", "ends: SIGTERM"]),
    ]);
}

#[test]
fn bad_requests() {
    compare(&[
        Case::network(LINE)
            .does(&[
                Ready,
                Api("nonsense"),
                Api(""),
                Api("[]"),
                Api("{}"),
                Api(r#"{"execute": "nonsense"}"#),
                Api(r#"{"execute": "remove_hostfwd", "arguments": {"id": 7}}"#),
                Api(r#"{"execute": "add_hostfwd", "arguments": {"proto": "sctp"}}"#),
                Api(r#"{"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_addr": "x"}}"#),
                Api(r#"{"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_port": 2080}}"#),
                ADD,
                // The port is in use, and this one is root's.
                ADD,
                Api(r#"{"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_port": 1, "guest_port": 1}}"#),
                LIST,
                StillRuns,
                CloseExit,
            ])
            .shows(&[
                r#"api: nonsense -> {"error":{"desc":"bad request: cannot parse JSON"}}"#,
                r#"api: {} -> {"error":{"desc":"bad request: no execute found"}}"#,
                r#"api: {"execute": "nonsense"} -> {"error":{"desc":"bad request: unknown execute"}}"#,
                ADDED,
                LISTED,
                "runs: True",
                "ends: exit 0",
            ]),
        // A socket that is too long for the kernel.
        Case::network(
            "-c -r 3 -a {DIR}/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 {PID} tap0",
        )
        .does(&[Ready])
        .shows(&["stderr: the specified API socket path is too long (>= 108)", "ends: exit 1"]),
    ]);
}
