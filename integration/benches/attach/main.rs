//! `make bench`: how long it takes until a namespace's interface is usable, by v6pod, by CNI and by nothing
//! but the kernel.
//!
//! # How it is measured
//! All ways work in one throw-away host, each with a bridge and a prefix of its own, on namespaces that an
//! ordinary user made in a user namespace, a new one for each round. A round goes once through every way, so
//! what else the machine does meets all of them; ratios are medians of the rounds' own ratios.
//!
//! "Usable" is the same for all: the way says that it is done, and from then on a socket inside sends a UDP
//! packet to the gateway every 0.1 ms until the host's echo comes back. The clock starts before the client's
//! process is made and stops at that first reply.
//!
//! Nothing here fails because it is slow; a target that was missed is shown as missed.

mod bare;
mod cni;
mod load;
mod namespace;
mod report;
mod rounds;
mod stats;
mod v6pod;

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::ExitCode,
    time::Duration,
};

use v6pod_integration::{Host, UNLIMITED};

/// How the program is called when it is in the host, and there again for one attachment.
const INSIDE: &str = "inside";
const BARE_ONCE: &str = "bare";
/// Where it is then.
const COPY: &str = "/usr/libexec/v6pod/bench";
/// How many rounds, if not the usual number.
const ROUNDS: &str = "V6POD_BENCH_ROUNDS";
/// A prefix for each way.
const V6POD: &str = "2001:db8:1::";
const CNI: &str = "2001:db8:2::";
const BARE: &str = "2001:db8:3::";
const LIMIT: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let text = match arguments.as_slice() {
        [place, uid] if place == INSIDE => rounds::run(uid.parse().expect("a uid")),
        [place, number, namespace] if place == BARE_ONCE => {
            bare::program(number.parse().expect("a number"), namespace);
            String::new()
        }
        _ => in_a_host(),
    };
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Makes a host and runs this program in it. What it prints is the report.
fn in_a_host() -> String {
    let host = Host::new("bench", &["alice"]);
    let daemon = host.daemon(&format!("prefix = \"{V6POD}/80\"\n{UNLIMITED}"));
    let own = env::current_exe().and_then(fs::read).expect("the running program can be read");
    host.write(COPY, own);
    fs::set_permissions(host.path(COPY), fs::Permissions::from_mode(0o755)).expect("its own file");
    let uid = host.user("alice").uid().to_string();
    let rounds = env::var(ROUNDS).unwrap_or_default();
    let output = host.command([COPY, INSIDE, &uid]).env(ROUNDS, rounds).limit(LIMIT).run();
    drop(daemon);
    format!("{}{}", output.stderr, output.stdout)
}
