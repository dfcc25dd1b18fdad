//! A host with the program installed as a site would, and a user.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde::Deserialize;
use v6pod_integration::{Background, Daemon, Host, LATER, PYTHON, User, eventually};

/// Where the program is installed.
pub const PROGRAM: &str = "/usr/libexec/v6pod/v6pod-connect";

const WITNESS: &str = "/usr/local/share/witness.py";
/// The program that attacks.
pub const ATTACK: &str = "/usr/local/share/attack.py";
/// A host with the user alice.
pub fn host() -> Host {
    Host::builder("one").user("alice").without_wrapper().build()
}

/// The program as it is shipped: other profiles build it otherwise.
pub fn built() -> PathBuf {
    let test = env::current_exe().expect("the running program has a path");
    // target/PROFILE/deps/NAME-HASH
    let target = test.ancestors().nth(3).expect("it is in the target folder");
    let built = target.join("shim/v6pod-connect");
    assert!(
        built.exists(),
        "v6pod-connect is not built; run make test, or cargo build -p v6pod-connect --profile shim"
    );
    built
}

/// Installs the program with this mode.
#[track_caller]
pub fn install(host: &Host, mode: &str) {
    host.write(PROGRAM, fs::read(built()).expect("what was built can be read"));
    host.run(["chown", "root:root", PROGRAM]);
    host.run(["chmod", mode, PROGRAM]);
}

/// The daemon with a socket that only root may open.
#[track_caller]
pub fn closed_daemon(host: &Host) -> Daemon {
    let daemon = host.daemon("prefix = \"2001:db8:1::/80\"\n[socket]\nmode = \"0600\"\n");
    assert_eq!(host.run(["stat", "-c%a %u", "/run/v6pod/v6pod.sock"]).text(), "600 0");
    daemon
}

/// What came of one run of the program.
#[derive(Debug, Deserialize)]
pub struct Run {
    case: String,
    pub status: i32,
    core: bool,
    pub output: String,
    uids: Vec<u32>,
    gids: Vec<u32>,
    capabilities: u64,
    pub passed: usize,
    server: Option<u32>,
    path: Option<String>,
    heard: Option<String>,
}

/// The program as it was found in the middle of a run, and what its user could do to it: error numbers.
#[derive(Debug, Deserialize)]
pub struct Seen {
    pub name: String,
    pub uids: Vec<u32>,
    /// Whether it has closed a pipe that it inherited.
    pub closed: bool,
    pub attach: Vec<i32>,
    pub files: Vec<i32>,
}

#[derive(Debug, Deserialize)]
struct Guest {
    uid: u32,
    gid: u32,
}

/// All that a group of attacks led to.
#[derive(Default)]
pub struct Outcome {
    pub runs: BTreeMap<String, Run>,
    pub seen: Vec<Seen>,
    /// The files that were made where the hostile environment pointed.
    pub made: Vec<String>,
}

/// A line of `attack.py`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Run(Run),
    Seen { seen: Seen },
    Made { made: Vec<String> },
}

/// A host with the program and a witness in the daemon's place.
pub struct Site {
    pub alice: User,
    witness: Background,
    host: Host,
}

impl Site {
    /// With a socket only root may open.
    pub fn new() -> Self {
        let host = host();
        install(&host, "4755");
        Self::with_witness(host, &["0600"])
    }

    /// With a witness who is started with these arguments.
    #[track_caller]
    pub fn with_witness(host: Host, arguments: &[&str]) -> Self {
        host.run(["mkdir", "-p", "/run/v6pod"]);
        host.write(WITNESS, include_str!("witness.py"));
        host.write(ATTACK, include_str!("attack.py"));
        let witness = host.spawn([PYTHON, WITNESS].iter().chain(arguments));
        eventually(LATER, || if witness.log().contains("ready") { Ok(()) } else { Err(witness.log()) });
        Self { alice: host.user("alice"), witness, host }
    }

    /// Tries a group of attacks. What holds for each of them is looked at here.
    #[track_caller]
    pub fn attack(&self, group: &str) -> Outcome {
        self.attack_through(&[], group)
    }

    /// [`Site::attack`], begun by another program.
    #[track_caller]
    pub fn attack_through(&self, program: &[&str], group: &str) -> Outcome {
        let told = self.alice.run(program.iter().chain(&[PYTHON, ATTACK, group]));
        let mut outcome = Outcome::default();
        for line in told.stdout.lines() {
            match serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{told}")) {
                Line::Run(run) => {
                    self.is_harmless(&run);
                    outcome.runs.insert(run.case.clone(), run);
                }
                Line::Seen { seen } => outcome.seen.push(seen),
                Line::Made { made } => outcome.made = made,
            }
        }
        assert!(!outcome.runs.is_empty(), "{told}");
        self.guests_are_alice();
        self.nothing_runs();
        outcome
    }

    /// Who was given anything got one connection to the witness, of a program that was root no more.
    #[track_caller]
    fn is_harmless(&self, run: &Run) {
        assert!(!run.core, "{run:?}");
        let alice = self.alice.uid();
        // Once it has tried to connect it has nothing of root any more. If it ended before, it never used it.
        if run.passed != 0 || (6..=11).contains(&run.status) {
            assert_eq!((&run.uids, &run.gids), (&vec![alice; 4], &vec![alice; 4]), "{run:?}");
            assert_eq!(run.capabilities, 0, "{run:?}");
        } else if (3..6).contains(&run.status) {
            let [_, effective, _, files] = run.uids[..] else { panic!("{run:?}") };
            assert_eq!((effective, files), (alice, alice), "{run:?}");
        }
        if run.passed != 0 {
            let expected = (1, Some(0), Some("/run/v6pod/v6pod.sock"));
            assert_eq!((run.passed, run.server, run.path.as_deref()), expected, "{run:?}");
        }
    }

    /// Whoever connected was alice, to the witness.
    #[track_caller]
    fn guests_are_alice(&self) {
        let alice = self.alice.uid();
        for line in self.witness.log().lines().filter(|line| *line != "ready") {
            let guest: Guest = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!((guest.uid, guest.gid), (alice, alice));
        }
    }

    /// Nothing of the program is left, neither running nor dead.
    #[track_caller]
    fn nothing_runs(&self) {
        let left = self.host.try_run(["pgrep", "--list-full", "v6pod-connect"]);
        assert_eq!(left.stdout, "");
    }

    /// How many have come.
    pub fn guests(&self) -> usize {
        self.witness.log().lines().count() - 1
    }
}

impl Outcome {
    /// Panics unless this run ended with this status, and handed over a connection if that is 0.
    #[track_caller]
    pub fn is(&self, case: &str, status: i32) {
        let run = self.runs.get(case).unwrap_or_else(|| panic!("{case} was not tried"));
        assert_eq!((run.status, run.passed), (status, usize::from(status == 0)), "{run:?}");
        if status == 0 {
            assert_eq!(run.heard.as_deref(), Some("welcome"), "{run:?}");
        }
    }

    /// [`Outcome::is`] for all there are.
    #[track_caller]
    pub fn are_all(&self, status: i32) {
        self.runs.keys().for_each(|case| self.is(case, status));
    }
}
