//! The netavark plugin: `podman network create -d v6pod`.
//!
//! podman calls `create` once for a network, netavark `setup` and `teardown` for every container on it; what
//! they say and expect is JSON (netavark's plugin-API.md). A failure is `{"error": "..."}` and an exit code,
//! which podman shows to the user.
//!
//! - `create` settles which of the daemon's networks is meant, and writes its prefix down for people to see.
//!   Addresses stay the daemon's business: podman's own address management is switched off, for it would hand
//!   the same ones to every user.
//! - `setup` attaches the namespace, without a lease: it ends with the namespace, or with
//! - `teardown`, for which a container that is not attached is a success. So it is when the daemon is away:
//!   an error would make `podman stop` and `podman rm` fail, and the end of the namespace, which follows, is
//!   the end of the attachment in any case. (After `podman network disconnect` it does not follow.)
//!
//! Under rootless podman all but `create` run where `/run` is hidden; see [`find`].

mod container;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod network;
mod options;

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use serde_json::{Value, json};
use tonic::Code;
use v6pod_proto::v1::{
    DeactivateRequest, GetRequest, Network, NetworksGetRequest, deactivate_request, get_request,
};

use self::{container::Container, network::Asked};
use crate::{
    activate::{self, Activation},
    connect, files, find,
    input::{self, Object},
    rpc, say,
    settings::{self, Environment, Settings},
};

/// What netavark calls the version of its interface.
const API: &str = "1.0.0";

/// How long the daemon may take at least: its answer decides whether the container starts at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("this is a netavark plugin: call it with create, setup PATH, teardown PATH or info")]
    Usage,
    #[error("{0}")]
    Input(#[from] input::Error),
    #[error("{0}")]
    Network(#[from] network::Error),
    #[error("{0}")]
    Container(#[from] container::Error),
    #[error("cannot open the network namespace {path}: {source}", path = .path.display())]
    Namespace { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Daemon(#[from] activate::Error),
}

/// Whether a first argument is one of netavark's. The name `v6pod` is shared with other ways in.
pub(crate) fn is_command(argument: Option<&OsString>) -> bool {
    ["create", "setup", "teardown", "info"].iter().any(|command| argument.is_some_and(|a| a == command))
}

/// Runs with `arguments`, the program's name left out.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let (answer, code) = match answer(arguments) {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(error) => (json!({ "error": say::plain(&error.to_string()) }), ExitCode::FAILURE),
    };
    // A command without an answer says nothing.
    let written = if answer.is_null() { Ok(()) } else { writeln!(io::stdout(), "{answer}") };
    if written.is_ok() { code } else { ExitCode::FAILURE }
}

/// Does what the arguments say.
fn answer(arguments: &[OsString]) -> Result<Value, Error> {
    let (command, rest) = arguments.split_first().ok_or(Error::Usage)?;
    match (command.to_str(), rest) {
        (Some("info"), []) => Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "api_version": API })),
        (Some("create"), []) => create(input::read(io::stdin().lock())?),
        (Some("setup"), [namespace]) => setup(Path::new(namespace), &input::read(io::stdin().lock())?),
        (Some("teardown"), [_]) => teardown(&input::read(io::stdin().lock())?),
        _ => Err(Error::Usage),
    }
}

/// Makes podman's network one of the daemon's.
fn create(input: Object) -> Result<Value, Error> {
    let asked = Asked::new(input)?;
    let daemon = Daemon::find()?;
    let network = daemon.network(asked.network().unwrap_or(&daemon.settings.network))?;
    Ok(asked.settle(&network)?)
}

/// Attaches a container.
fn setup(namespace: &Path, input: &Object) -> Result<Value, Error> {
    let container = Container::read(input)?;
    let daemon = Daemon::find()?;
    let mut request = container.request()?;
    if request.network.is_empty() {
        request.network.clone_from(&daemon.settings.network);
    }
    let opened = files::open_any(namespace)
        .map_err(|source| Error::Namespace { path: namespace.to_path_buf(), source })?;
    let activated = activate::activate(Activation {
        socket: daemon.socket,
        namespace: opened.into(),
        lease: None,
        request,
        timeout: daemon.timeout,
    })?;
    if let Some(why) = &activated.unnamed {
        say::line(&format!(
            "{} has {} but no name: {}",
            container.name,
            activated.attachment.address,
            why.message()
        ));
    }
    Ok(container.status(&activated)?)
}

/// Detaches a container from this network, if it is on it.
fn teardown(input: &Object) -> Result<Value, Error> {
    let container = Container::read(input)?;
    Daemon::find()?.detach(&container)?;
    Ok(Value::Null)
}

/// Where the daemon is, and how it is asked.
struct Daemon {
    socket: PathBuf,
    timeout: Duration,
    settings: Settings,
}

impl Daemon {
    fn find() -> Result<Self, Error> {
        let environment: Environment<'_> = &|name| env::var_os(name);
        let root = connect::root_here().unwrap_or(0);
        let (settings, mistakes) = Settings::load(settings::FILE, root, environment);
        if let Some(mistakes) = mistakes {
            say::line(&mistakes.to_string());
        }
        let socket = find::socket(Path::new("/"), environment).map_err(activate::Error::Away)?;
        Ok(Self { socket, timeout: settings.timeout.max(PATIENCE), settings })
    }

    /// One of its networks; with an empty name, its default one.
    fn network(&self, name: &str) -> Result<Network, Error> {
        let request = NetworksGetRequest { name: name.to_owned() };
        let response = activate::ask(&self.socket, self.timeout, |channel| async move {
            rpc::call(&channel, rpc::NETWORK, &request).await
        })?;
        Ok(response.network.unwrap_or_default())
    }

    /// Ends the attachment that `setup` made for this container, and no other that it may have.
    fn detach(&self, container: &Container) -> Result<(), Error> {
        let target = get_request::Target::ContainerId(container.id.clone());
        let gone = activate::ask(&self.socket, self.timeout, |channel| async move {
            let found = rpc::call(&channel, rpc::GET, &GetRequest { target: Some(target) }).await?.attachment;
            let Some(found) = found.filter(|found| found.interface == container.interface) else {
                return Ok(());
            };
            let target = Some(deactivate_request::Target::Id(found.id));
            rpc::call(&channel, rpc::DEACTIVATE, &DeactivateRequest { target }).await.map(|_| ())
        });
        match gone {
            Err(activate::Error::Refused(status)) if status.code() == Code::NotFound => Ok(()),
            Err(error) if is_away(&error) => {
                say::line(&format!("{error}; the container's attachment ends with its network namespace"));
                Ok(())
            }
            gone => Ok(gone?),
        }
    }
}

/// Whether nobody has said anything.
fn is_away(error: &activate::Error) -> bool {
    use activate::Error::{Away, HungUp, Local, Refused, Slow};
    match error {
        Away(_) | HungUp(_) | Slow(_) => true,
        Refused(status) => status.code() == Code::Unavailable,
        Local(_) => false,
    }
}
