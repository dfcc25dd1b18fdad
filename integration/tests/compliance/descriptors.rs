//! The ready descriptor, the exit descriptor, and those that are inherited.

use crate::{
    case::{
        AS_ROOT_INSIDE, Case,
        Step::{self, Api, CloseExit, CloseReady, Inside, Process, Ready, Signal, StillRuns, Tap, WriteExit},
    },
    site::compare,
};

#[test]
fn the_ready_descriptor() {
    compare(&[
        // One octet, once the link is there and configured, and then it is closed.
        Case::network("-c -r 3 -e 4 {PID} tap0").does(&[Ready, CloseExit]).shows(&[
            "ready: '1'",
            "links: lo tap0",
            "route: 0.0.0.0 by 10.0.2.2 tap0",
            "ready: closed",
            "ends: exit 0",
        ]),
        // Once the link is there, where nobody asked for more.
        Case::network("-r 3 -e 4 {PID} tap0")
            .does(&[Ready, CloseExit])
            .shows(&["ready: '1'", "links: lo tap0"]),
        // Once the control socket is there.
        Case::network("-c -a {DIR}/api -r 3 -e 4 {PID} tap0")
            .does(&[Ready, Api("{}"), CloseExit])
            .shows(&["ready: '1'", "api: {} -> {\"error\":{\"desc\":\"bad request: no execute found\"}}"]),
        // Nothing where nobody asked, or too late, or not for it.
        Case::network("-c -e 4 {PID} tap0")
            .does(&[Tap, CloseExit])
            .shows(&["links: lo tap0", "ends: exit 0"]),
        Case::network("-c -r 3 --netns-type=path {NETNS} tap0")
            .does(&[Ready])
            .shows(&["ready: nothing, and closed"]),
        Case::words("-c -r 3 4000000 tap0").does(&[Ready]).shows(&["ready: nothing, and closed"]),
        Case::words("-c -r 3 x tap0").does(&[Ready]).shows(&["ready: nothing, and closed"]),
        Case::words("-r 3 --help").does(&[Ready]).shows(&["ready: nothing, and closed", "ends: exit 0"]),
        // Another one than usual.
        Case::network("-c -r 9 -e 4 {PID} tap0").does(&[Tap, CloseExit]).shows(&["file: 1"]),
        Case::network("-c -r 1 -e 4 {PID} tap0").does(&[Tap, CloseExit]).shows(&["stdout: 1"]),
        // One that is not open, where the wrapper could have put one of its own.
        Case::network("-c -r 10 -e 4 {PID} tap0").does(&[Tap, CloseExit]).shows(&["ends: exit 0"]),
        Case::network("-c -r 10 -r 11 -e 4 {PID} tap0").does(&[Tap, CloseExit]).shows(&["ends: exit 0"]),
        // One that nobody reads any more.
        Case::network("-c -r 3 -e 4 {PID} tap0").does(&[CloseReady, Tap, CloseExit]).shows(&["ends: exit 0"]),
    ]);
}

#[test]
fn the_exit_descriptor() {
    const WORKS: Step = Inside("socat -T5 - TCP:198.18.0.1:7");
    const IT_WORKS: &str = "inside: {HOST}";
    compare(&[
        Case::network("-c -r 3 -e 4 {PID} tap0").does(&[Ready, StillRuns, CloseExit]).shows(&[
            "runs: True",
            "ends: exit 0",
            "stderr: exitfd event",
        ]),
        // What is written does not end it, the end does.
        Case::network("-c -r 3 -e 4 {PID} tap0")
            .does(&[Ready, WriteExit, WORKS, CloseExit])
            .shows(&[IT_WORKS, "ends: exit 0"]),
        // It had ended before it was looked at.
        Case::network("-c -e 4 {PID} tap0")
            .does(&[CloseExit])
            .shows(&["ends: exit 0", "stderr: exitfd event"]),
        // Whose end means nothing if nobody asked, or if another is asked for.
        Case::network("-c -r 3 {PID} tap0")
            .does(&[Ready, CloseExit, WORKS, Signal("SIGTERM")])
            .shows(&[IT_WORKS, "ends: SIGTERM"]),
        Case::network("-c -r 3 -e 4 -e 9 {PID} tap0")
            .does(&[Ready, CloseExit, WORKS, Signal("SIGTERM")])
            .shows(&[IT_WORKS, "ends: SIGTERM"]),
        // One that is not open ends it at once; the wrapper's own must not stand in.
        Case::network("-c -r 3 -e 10 {PID} tap0").shows(&["ready: '1', before it ended", "ends: exit 0"]),
        Case::network("-c -r 10 -e 11 {PID} tap0").shows(&["stderr: exitfd event", "ends: exit 0"]),
        Case::network("-c -r 3 -e 1000000 {PID} tap0")
            .shows(&["ready: '1', before it ended", "ends: exit 0"]),
    ]);
}

#[test]
fn what_it_inherits() {
    const ALL: &[&str] = &[
        "descriptor: 0 /dev/null both",
        "descriptor: 1 {DIR}/out write",
        "descriptor: 2 {DIR}/err write",
        "descriptor: 4 exit read",
        "descriptor: 9 {DIR}/file both",
        "program: /usr/bin/slirp4netns",
        "children: ",
    ];
    const LINE: &str = "-c -r 3 -e 4 {PID} tap0";
    /// What else a process hands down, each changed by what starts it.
    const fn started_by(under: &'static str) -> Case {
        Case::network(LINE).under(under).does(&[Ready, Process, CloseExit])
    }
    compare(&[
        started_by("env").shows(ALL),
        started_by(AS_ROOT_INSIDE).shows(ALL),
        // rootlesskit asks for no exit descriptor, and ends it so.
        Case::network("-c -r 3 {PID} tap0").does(&[Ready, Process, Signal("SIGKILL")]).shows(ALL),
        started_by("env --chdir=/").shows(&["folder: /"]),
        started_by("env A=1 LD_BIND_NOW=1 LANG=").shows(&["environment: A=1", "environment: LANG="]),
        started_by("env --block-signal=USR1").shows(&["status: SigBlk: 0000000000000200"]),
        started_by("env --default-signal --ignore-signal=PIPE").shows(&["status: SigIgn: 0000000000001000"]),
        started_by("env --default-signal --ignore-signal=HUP").shows(&["status: SigIgn: 0000000000001001"]),
        started_by("prlimit --nofile=50:60 --core=0").shows(&["limits: Max open files 50 60 files"]),
        started_by("setpriv --no-new-privs").shows(&["status: NoNewPrivs: 1"]),
    ]);
}
