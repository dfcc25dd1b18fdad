//! The OCI hook, for the stages `createRuntime` and `poststop`.
//!
//! Every runtime (runc, crun, youki) and every engine that can name hooks can use it; nothing else has to be
//! v6pod's. The runtime writes the container's state to standard input. In `createRuntime` the namespace
//! exists and the container's program does not run yet: it starts with its address. `poststop` gives the
//! address back, which matters where the namespace is kept; otherwise it ends with the namespace. There is
//! no lease.
//!
//! What the settings say is overridden by the hook's own arguments, which are the administrator's, and those
//! by the container's annotations. See [`wishes`] for both.
//!
//! A failure keeps the container from starting if somebody has asked for v6pod: by an annotation, by
//! `--required` or in the settings. A hook that is installed for all containers says so and lets them start.

#[cfg(fuzzing)]
pub(crate) mod fuzz;
pub mod wishes;

use std::{
    env,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use rustix::{
    fs::{FileType, OFlags, fstat, makedev},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, getppid, pidfd_getfd, pidfd_open},
};
use tonic::Code;
use v6pod_proto::v1::{Attachment, DeactivateRequest, deactivate_request};

use self::wishes::{Stage, State, Wishes};
use crate::{
    activate::{self, Activated, Activation},
    connect, files, find, input, rpc, say,
    settings::{self, Environment, Settings},
    slirp4netns::storage,
};

/// Why the hook could not do its work.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Input(#[from] input::Error),
    #[error("{0}")]
    Wishes(#[from] wishes::Error),
    #[error("cannot open the network namespace {path}: {source}", path = .path.display())]
    Namespace { path: PathBuf, source: io::Error },
    #[error("the container has no network namespace of its own")]
    HostNetwork,
    #[error("cannot write the address to {path}: {source}", path = .path.display())]
    IpFile { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Activate(#[from] activate::Error),
    #[error(
        "the namespace is attached already, with {address} as {interface} on the network {network}: \
         {what} comes too late"
    )]
    TooLate { address: String, interface: String, network: String, what: &'static str },
}

impl From<connect::Error> for Problem {
    fn from(error: connect::Error) -> Self {
        Self::Activate(activate::Error::Away(error))
    }
}

/// Runs as a hook with `arguments`, the program's name left out.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let environment: Environment<'_> = &|name| env::var_os(name);
    let root = connect::root_here().unwrap_or(0);
    let (settings, mistakes) = Settings::load(settings::FILE, root, environment);
    let mut wishes = Wishes::new(settings.network, settings.required);
    let hook = Hook { environment, timeout: settings.timeout };
    let outcome = hook.run(arguments, &mut wishes);
    let mistakes = mistakes.map(|mistakes| mistakes.to_string());
    let (told, code) = match outcome {
        Ok(note) => (note, ExitCode::SUCCESS),
        Err((problem, Stage::Poststop)) => (Some(problem.to_string()), ExitCode::SUCCESS),
        Err((problem, Stage::CreateRuntime)) if wishes.required => {
            let line = format!("{problem}; the container does not start, for an address is required");
            (Some(line), ExitCode::FAILURE)
        }
        // What asks for nothing and has none of its own, such as --network host.
        Err((Problem::HostNetwork, Stage::CreateRuntime)) => (None, ExitCode::SUCCESS),
        Err((problem, Stage::CreateRuntime)) => {
            (Some(format!("{problem}; the container starts without IPv6 from v6pod")), ExitCode::SUCCESS)
        }
    };
    let lines: Vec<String> = told.into_iter().chain(mistakes).collect();
    if !lines.is_empty() {
        tell(&lines.join("; "));
    }
    code
}

/// Says it where people look. crun gives hooks no standard error but the null device, and would show
/// nothing but an exit code; what is said must then go to crun's own.
fn tell(text: &str) {
    if !is_null(io::stderr().as_fd()) {
        return say::line(text);
    }
    if let Some(mut stderr) = getppid().and_then(stderr_of) {
        // There is nobody left to tell.
        let _ = stderr.write_all(format!("v6pod: {}\n", say::plain(text)).as_bytes());
    }
}

/// The standard error of another process: the very same, so that two who write to a file share their
/// place in it; or, where the kernel is older or stricter, the file anew.
fn stderr_of(pid: Pid) -> Option<File> {
    let same = pidfd_open(pid, PidfdFlags::empty())
        .and_then(|process| pidfd_getfd(process, 2, PidfdGetfdFlags::empty()));
    let anew = || OpenOptions::new().append(true).open(format!("/proc/{}/fd/2", pid.as_raw_nonzero()));
    same.map(File::from).or_else(|_| anew()).ok()
}

fn is_null(file: BorrowedFd<'_>) -> bool {
    let is = |found: rustix::fs::Stat| {
        FileType::from_raw_mode(found.st_mode).is_char_device() && found.st_rdev == makedev(1, 3)
    };
    fstat(file).is_ok_and(is)
}

struct Hook<'a> {
    environment: Environment<'a>,
    timeout: Duration,
}

impl Hook<'_> {
    /// Does what the stage asks for. What comes back is to be told.
    fn run(&self, arguments: &[OsString], wishes: &mut Wishes) -> Result<Option<String>, (Problem, Stage)> {
        // Until the stage is known, a failure is one of the stage that can keep a container from starting.
        let unknown = |error: wishes::Error| (error.into(), Stage::CreateRuntime);
        let told = wishes.take_arguments(arguments).map_err(unknown)?;
        let object = input::read(io::stdin().lock())
            .map_err(|error| (error.into(), told.unwrap_or(Stage::CreateRuntime)))?;
        let state =
            State::read(&object).map_err(|error| (error.into(), told.unwrap_or(Stage::CreateRuntime)))?;
        match told.unwrap_or(state.stage()) {
            Stage::CreateRuntime => wishes
                .take_annotations(&state)
                .map_err(Problem::from)
                .and_then(|()| self.create_runtime(&state, wishes))
                .map_err(|problem| (problem, Stage::CreateRuntime)),
            Stage::Poststop => {
                self.poststop(&state).map(|()| None).map_err(|problem| (problem, Stage::Poststop))
            }
        }
    }

    fn create_runtime(&self, state: &State, wishes: &Wishes) -> Result<Option<String>, Problem> {
        let namespace = namespace(state)?;
        // Opened first: an attachment nobody can be told of is not made.
        let file = wishes.ip_file.as_ref().map(|path| IpFile::open(state.bundle.join(path))).transpose()?;
        let mut request = wishes.request(state.id.clone());
        if request.name.is_empty() {
            request.name = name(state).unwrap_or_default();
        }
        let activated = activate::activate(Activation {
            socket: find::socket(Path::new("/"), self.environment)?,
            namespace,
            lease: None,
            request,
            timeout: self.timeout,
        })?;
        let attachment = &activated.attachment;
        if let Some(what) = wishes.differs(attachment).filter(|_| !activated.created) {
            let Attachment { address, interface, network, .. } = attachment.clone();
            return Err(Problem::TooLate { address, interface, network, what });
        }
        if let Some(file) = file {
            file.write(&attachment.address)?;
        }
        Ok(nameless(&activated))
    }

    /// The container is over; its attachment may be, too.
    fn poststop(&self, state: &State) -> Result<(), Problem> {
        let socket = find::socket(Path::new("/"), self.environment)?;
        let target = Some(deactivate_request::Target::ContainerId(state.id.clone()));
        Ok(activate::ask(&socket, self.timeout, |channel| async move {
            match rpc::call(&channel, rpc::DEACTIVATE, &DeactivateRequest { target }).await {
                // An id that is malformed has no attachment either.
                Err(status) if !matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                    Err(status)
                }
                _ => Ok(()),
            }
        })?)
    }
}

/// The namespace of the container's first process.
fn namespace(state: &State) -> Result<OwnedFd, Problem> {
    let path = PathBuf::from(format!("/proc/{}/ns/net", state.pid.ok_or(wishes::Error::NoPid)?));
    let identity = |file: &File| file.metadata().map(|data| (data.dev(), data.ino()));
    let own = File::open("/proc/self/ns/net").and_then(|own| identity(&own));
    let opened = files::open_any(&path).and_then(|file| Ok((identity(&file)?, file)));
    let (identity, file) = opened.map_err(|source| Problem::Namespace { path, source })?;
    // Hooks run in the runtime's own namespace.
    if own.is_ok_and(|own| own == identity) {
        return Err(Problem::HostNetwork);
    }
    Ok(file.into())
}

/// The container's name: podman's bundle, `<graphroot>/<driver>-containers/<id>/userdata`, leads to it.
fn name(state: &State) -> Option<String> {
    storage::name_in_folder(state.bundle.parent()?.parent()?, &state.id)
}

/// What to tell about an attachment that did not get its name.
fn nameless(activated: &Activated) -> Option<String> {
    let why = activated.unnamed.as_ref()?;
    Some(format!("the container has {} but no name: {}", activated.attachment.address, why.message()))
}

/// A file for the address.
struct IpFile {
    path: PathBuf,
    file: File,
}

impl IpFile {
    fn open(path: PathBuf) -> Result<Self, Problem> {
        // What others may have put there is not followed, nor waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let opened =
            OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(&path);
        match opened {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(Problem::IpFile { path, source }),
        }
    }

    fn write(mut self, address: &str) -> Result<(), Problem> {
        let written = self.file.write_all(format!("{address}\n").as_bytes());
        written.map_err(|source| Problem::IpFile { path: self.path, source })
    }
}
