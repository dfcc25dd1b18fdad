//! The stand-in for slirp4netns.
//!
//! An engine starts it as if it were slirp4netns. It asks the daemon for an attachment of the same
//! namespace and then becomes the real slirp4netns, which goes on giving IPv4. To the engine nothing may
//! look different:
//!
//! - the pid stays (`exec`), every inherited descriptor stays, standard output stays empty, and nothing
//!   is written to the ready descriptor;
//! - the name it is called by stays, and the arguments stay, but for those that would make slirp4netns offer
//!   IPv6 beside ours;
//! - `--help` stays complete, because engines look for options there;
//! - whatever goes wrong costs one line and the address, not the container, unless somebody has said that
//!   the address is `required`.
//!
//! One descriptor is added: the lease's write end. slirp4netns closes nothing it inherits, so it lives
//! exactly as long as slirp4netns, and the attachment with it.

pub mod container;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
pub mod options;
pub mod real;
pub mod storage;

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::ExitCode,
};

use v6pod_proto::v1::ActivateRequest;

use self::{
    container::{Who, World},
    options::{CommandLine, Order, Target},
};
use crate::{
    activate::{self, Activated, Activation},
    connect, files,
    lease::Lease,
    say,
    settings::{self, Environment, Settings},
};

/// What shells use for a command that cannot be found or executed.
const CANNOT_EXECUTE: u8 = 127;

/// Runs as slirp4netns, `called` so, with `arguments`. Returns only if it cannot become the real one, or must
/// not.
pub fn run(called: &OsStr, arguments: &[OsString]) -> ExitCode {
    let environment: Environment<'_> = &|name| env::var_os(name);
    let root = connect::root_here();
    let (settings, mistakes) = Settings::load(settings::FILE, root.unwrap_or(0), environment);
    let own = fs::metadata("/proc/self/exe").ok();
    let real = match real::find(settings.slirp4netns.as_deref(), own.as_ref(), environment) {
        Ok(real) => real,
        Err(error) => return cannot_execute(&error),
    };
    let pass_on = |arguments: &[OsString]| cannot_execute(&real::become_real(&real, called, arguments));
    let order = environment("POSIXLY_CORRECT").map_or(Order::Permuted, |_| Order::Posix);
    let Ok(line) = options::parse(arguments, order) else { return pass_on(arguments) };
    let Who::Container { id, name } = container::find(World { root: Path::new("/"), environment }, &line)
    else {
        return pass_on(arguments);
    };
    let request =
        ActivateRequest { network: settings.network.clone(), container_id: id, name, ..Default::default() };
    match attach(&line, request, &settings) {
        Ok((activated, lease)) => {
            tell(mistakes.map(|mistakes| mistakes.to_string()).into_iter().chain(nameless(&activated)));
            let failed = pass_on(&line.passed);
            drop(lease);
            failed
        }
        // slirp4netns opens it in the same way, and has its own words for that.
        Err(Problem::Namespace { .. }) if !settings.required => pass_on(arguments),
        Err(problem) => {
            let meaning = match settings.required {
                true => "the container does not start, for an address is required",
                false => "the container starts without IPv6 from v6pod",
            };
            let mistakes = mistakes.map(|mistakes| mistakes.to_string());
            tell([format!("{problem}; {meaning}")].into_iter().chain(mistakes));
            if settings.required {
                return ExitCode::FAILURE;
            }
            pass_on(arguments)
        }
    }
}

/// Why there is no attachment.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot open the network namespace {path}: {source}", path = .path.display())]
    Namespace { path: PathBuf, source: io::Error },
    #[error("cannot make the lease: {0}")]
    Lease(#[source] rustix::io::Errno),
    #[error("{0}")]
    Activate(#[from] activate::Error),
}

/// Attaches the namespace that slirp4netns is about to serve. The descriptor returned is the lease: while
/// anything holds it open, the attachment lives.
fn attach(
    line: &CommandLine,
    request: ActivateRequest,
    settings: &Settings,
) -> Result<(Activated, OwnedFd), Problem> {
    let path = match &line.target {
        Target::Path(path) => path.clone(),
        Target::Pid(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
    };
    let namespace = files::open_any(&path).map_err(|source| Problem::Namespace { path, source })?;
    let lease = Lease::new(&line.named).map_err(Problem::Lease)?;
    let activated = activate::activate(Activation {
        socket: connect::socket().map_err(activate::Error::Away)?,
        namespace: namespace.into(),
        lease: Some(lease.read),
        request,
        timeout: settings.timeout,
    })?;
    Ok((activated, lease.write))
}

/// What to tell about an attachment that did not get its name.
fn nameless(activated: &Activated) -> Option<String> {
    let why = activated.unnamed.as_ref()?;
    Some(format!("the container has {} but no name: {}", activated.attachment.address, why.message()))
}

/// Says all there is to say in one line, if anything.
fn tell(notes: impl Iterator<Item = String>) {
    let notes: Vec<String> = notes.collect();
    if !notes.is_empty() {
        say::line(&notes.join("; "));
    }
}

fn cannot_execute(error: &real::Error) -> ExitCode {
    say::line(&error.to_string());
    ExitCode::from(CANNOT_EXECUTE)
}
