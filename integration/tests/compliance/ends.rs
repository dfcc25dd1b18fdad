//! How it ends: by a signal, with its parent, or not.

use crate::{
    case::{
        Case,
        Step::{CloseExit, EndParent, Ready, Signal, StillRuns},
    },
    site::compare,
};

const LINE: &str = "-c -r 3 -e 4 {PID} tap0";

#[test]
fn signals() {
    const fn ended_by(signal: &'static [crate::case::Step]) -> Case {
        Case::network(LINE).does(signal)
    }
    compare(&[
        ended_by(&[Ready, Signal("SIGTERM")]).shows(&["ends: SIGTERM"]),
        ended_by(&[Ready, Signal("SIGINT")]).shows(&["ends: SIGINT"]),
        ended_by(&[Ready, Signal("SIGHUP")]).shows(&["ends: SIGHUP"]),
        ended_by(&[Ready, Signal("SIGKILL")]).shows(&["ends: SIGKILL"]),
        ended_by(&[Ready, Signal("SIGUSR1")]).shows(&["ends: SIGUSR1"]),
        // It ignores the one that a connection's end brings.
        ended_by(&[Ready, Signal("SIGPIPE"), StillRuns, CloseExit]).shows(&["runs: True", "ends: exit 0"]),
        ended_by(&[Ready, Signal("SIGWINCH"), StillRuns, CloseExit]).shows(&["runs: True", "ends: exit 0"]),
        ended_by(&[Ready, Signal("SIGSTOP"), Signal("SIGCONT"), CloseExit]).shows(&["ends: exit 0"]),
        // What its parent ignores or blocks, it does too.
        ended_by(&[Ready, Signal("SIGTERM"), StillRuns, CloseExit])
            .under("env --ignore-signal=TERM")
            .shows(&["runs: True", "ends: exit 0"]),
        ended_by(&[Ready, Signal("SIGINT"), StillRuns, CloseExit])
            .under("env --block-signal=INT")
            .shows(&["runs: True", "ends: exit 0"]),
    ]);
}

#[test]
fn the_parents_end() {
    compare(&[
        Case::network(LINE)
            .under("setpriv --pdeathsig TERM --")
            .does(&[Ready, StillRuns, EndParent])
            .shows(&["runs: True", "ends: SIGTERM"]),
        // As rootlesskit starts it.
        Case::network("--mtu 65520 -r 3 {PID} tap0")
            .under("setpriv --pdeathsig KILL --")
            .does(&[Ready, EndParent])
            .shows(&["ends: SIGKILL"]),
        // Without it, a parent's end is none of slirp4netns' business.
        Case::network(LINE)
            .does(&[Ready, EndParent, StillRuns, CloseExit])
            .shows(&["runs: True", "ends: exit 0"]),
    ]);
}
