//! The CNI plugin: `"type": "v6pod"`.
//!
//! A runtime starts it with a command and a container in `CNI_*` variables, and a network configuration on
//! standard input. It answers with JSON on standard output: a result, or an error and a non-zero exit.
//! Versions 0.3.1 to 1.1.0 of the specification are spoken; see [`error::Code`] for the codes.
//!
//! The configuration may have, beside what every plugin's has: `network` (the daemon's network; else its
//! default one), `mtu`, `interface` (inside; else `CNI_IFNAME`, and `v6pod0` if an earlier plugin of the
//! chain has made that one), `dns`, `socket`. Of `runtimeConfig`, `ips`, `mac` and `aliases` are honoured.
//!
//! - An attachment made here has no lease: it ends with DEL or with its namespace.
//! - It carries the tag `cni=NAME/IFNAME`. DEL and GC touch nothing without it: a container that has its
//!   address by another way in keeps it, and so does one on another network of CNI's.
//! - The daemon gives a namespace one attachment. A second one is an error, never a silent yes.

pub mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod request;
mod result;
mod version;

use std::{
    env,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::Value;
use tonic::{Code as Grpc, Status};
use v6pod_proto::v1::{
    Attachment, CheckRequest, DeactivateRequest, GetRequest, ListRequest, Network, StatusRequest,
    deactivate_request, get_request,
};

use self::{
    error::{Code, Error},
    request::{Args, Command, Config, Container},
    version::Version,
};
use crate::{
    activate::{self, Activation},
    channel::Channel,
    connect, find,
    input::{self, Object},
    rpc, say,
    settings::{self, Environment, Settings},
};

/// CHECK waits for what takes a moment to become true (a registry), and looks this often.
const PAUSE: Duration = Duration::from_millis(100);

/// How much longer GC may take than anything else: it can have a thousand things to do.
const GC_FACTOR: u32 = 30;

/// Whether a runtime has started this program: no other caller of a program named `v6pod` says so.
pub fn is_called() -> bool {
    env::var_os("CNI_COMMAND").is_some()
}

/// Runs as the plugin.
pub fn run() -> ExitCode {
    let answer = answer(&|name| env::var_os(name), io::stdin().lock());
    let (json, code) = match answer {
        Ok(json) => (json, ExitCode::SUCCESS),
        Err(json) => (Some(json), ExitCode::FAILURE),
    };
    match json.map_or(Ok(()), |json| io::stdout().write_all(format!("{json}\n").as_bytes())) {
        Ok(()) => code,
        Err(error) => {
            say::line(&format!("cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What goes to standard output: a result, if the command has one; or an error.
fn answer(environment: Environment<'_>, input: impl Read) -> Result<Option<Value>, Value> {
    let config = input::read(input);
    let version = config.as_ref().ok().and_then(|config| Version::of(config).ok());
    handle(environment, config).map_err(|error| error.to_json(version.unwrap_or(Version::NEWEST)))
}

fn handle(
    environment: Environment<'_>,
    config: Result<Object, input::Error>,
) -> Result<Option<Value>, Error> {
    let command = Command::read(environment)?;
    if command == Command::Version {
        return Ok(Some(Version::answer(&config.unwrap_or_default())));
    }
    let container = match command {
        Command::Add | Command::Check => Some(Container::read(environment, true)?),
        Command::Del => Some(Container::read(environment, false)?),
        _ => None,
    };
    let config = Config::check(config?, command)?;
    let daemon = Daemon::of(&config, environment)?;
    match (command, container) {
        (Command::Add, Some(container)) => {
            let args = Args::read(environment)?;
            daemon.add(&config, &container, &args).map(Some)
        }
        (Command::Del, Some(container)) => daemon.del(&config, &container).map(|()| None),
        (Command::Check, Some(container)) => daemon.check(&config, &container).map(|()| None),
        (Command::Gc, _) => daemon.gc(&config).map(|()| None),
        _ => daemon.status(&config.network).map(|()| None),
    }
}

/// Where the daemon is, and how long it may take.
struct Daemon {
    socket: PathBuf,
    timeout: Duration,
}

impl Daemon {
    fn of(config: &Config, environment: Environment<'_>) -> Result<Self, Error> {
        let root = connect::root_here().unwrap_or(0);
        let (settings, mistakes) = Settings::load(settings::FILE, root, environment);
        if let Some(mistakes) = mistakes {
            say::line(&mistakes.to_string());
        }
        let socket = match request::socket(config)? {
            Some(socket) => socket,
            None => find::socket(Path::new("/"), environment).map_err(activate::Error::Away)?,
        };
        Ok(Self { socket, timeout: settings.timeout })
    }

    fn add(&self, config: &Config, container: &Container, args: &Args) -> Result<Value, Error> {
        let request = request::wish(config, container, args)?;
        let activated = activate::activate(Activation {
            socket: self.socket.clone(),
            namespace: container.open()?,
            lease: None,
            request,
            timeout: self.timeout,
        })?;
        let attachment = &activated.attachment;
        if !activated.created {
            let Attachment { id, interface, network, .. } = attachment;
            let details = format!(
                "v6podd gives a namespace one attachment, and this one has {id}, {interface} on the network {network}"
            );
            return Err(Error::new(Code::Attached, "the namespace is attached already", details));
        }
        if let Some(why) = &activated.unnamed {
            say::line(&format!("the container has {} but no name: {}", attachment.address, why.message()));
        }
        result::of(config, container, &activated)
    }

    fn del(&self, config: &Config, container: &Container) -> Result<(), Error> {
        match self.ask(Question::Del(container, &container.tag(config))) {
            // A namespace takes its attachment along, whether or not the daemon sees it at once.
            Err(error) if error.code == Code::Later && container.is_gone() => {
                say::line(&format!("{}; the network namespace is gone, which is enough", error.details));
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }

    fn check(&self, config: &Config, container: &Container) -> Result<(), Error> {
        let previous = config.previous()?.ok_or_else(|| Error::config("CHECK needs \"prevResult\""))?;
        container.open()?;
        let tag = &container.tag(config);
        let Answer { found, mut problems, .. } =
            self.ask(Question::Check(container, tag, self.timeout / 2))?;
        match found {
            Some(attachment) => problems.extend(result::differs(previous, container, &attachment)?),
            None => problems.push(format!("{} has no attachment {tag}", container.id)),
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::Amiss, "the container is not as ADD left it", problems.join("; ")))
    }

    fn gc(&self, config: &Config) -> Result<(), Error> {
        let Some(valid) = valid_attachments(config)? else {
            say::line("GC without \"cni.dev/valid-attachments\": nothing is removed");
            return Ok(());
        };
        let prefix = &config.tag_prefix();
        let stale = |attachment: &Attachment| {
            let interface = attachment.tags.iter().find_map(|tag| tag.strip_prefix(prefix));
            let is_valid = |interface| valid.contains(&(attachment.container_id.as_str(), interface));
            interface.is_some_and(|interface| !is_valid(interface))
        };
        let patient = Self { socket: self.socket.clone(), timeout: self.timeout * GC_FACTOR };
        let problems = patient.ask(Question::Gc(&stale))?.problems;
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::Internal, "not everything could be removed", problems.join("; ")))
    }

    fn status(&self, network: &str) -> Result<(), Error> {
        // The resolver that containers ask is the daemon's.
        let away = |error: Error| Error { code: Code::Limited, ..error };
        let networks = self.ask(Question::Status).map_err(away)?.networks;
        let is_meant = |name: &str, is_default| if network.is_empty() { is_default } else { name == network };
        let Some(found) = networks.iter().find(|found| is_meant(&found.name, found.default)) else {
            // Its attachments went with it.
            let details = format!("there is no network {network:?}: v6pod status lists those there are");
            return Err(Error::new(Code::Limited, "v6podd has no such network", details));
        };
        // An older daemon does not tell; then only ADD finds out.
        if found.capacity != 0 && found.attachments >= found.capacity {
            let details = format!("all {} places on the network {} are taken", found.capacity, found.name);
            return Err(Error::new(Code::Unavailable, "the network is full", details));
        }
        Ok(())
    }

    fn ask(&self, question: Question<'_>) -> Result<Answer, Error> {
        Ok(activate::ask(&self.socket, self.timeout, |channel| converse(channel, question))?)
    }
}

/// What is to be done with the daemon for a command. (One conversation for all of them: each kind would
/// add a connection's code to the program.)
enum Question<'a> {
    /// Detach what ADD made for this container under this tag.
    Del(&'a Container, &'a str),
    /// Look at that, for so long if there are problems.
    Check(&'a Container, &'a str, Duration),
    /// Detach those of the caller's attachments that are stale.
    Gc(&'a dyn Fn(&Attachment) -> bool),
    /// See which networks there are.
    Status,
}

/// What came of it.
#[derive(Default)]
struct Answer {
    found: Option<Attachment>,
    problems: Vec<String>,
    networks: Vec<Network>,
}

async fn converse(channel: Channel, question: Question<'_>) -> Result<Answer, Status> {
    let mut answer = Answer::default();
    match question {
        Question::Del(container, tag) => {
            if let Some(attachment) = ours(&channel, container, tag).await? {
                deactivate(&channel, attachment).await?;
            }
        }
        Question::Check(container, tag, patience) => {
            answer.found = ours(&channel, container, tag).await?;
            if let Some(attachment) = &answer.found {
                answer.problems = problems(&channel, &attachment.id, patience).await?;
            }
        }
        Question::Gc(stale) => {
            let own = rpc::call(&channel, rpc::STATUS, &StatusRequest {}).await?.caller_uid;
            let list = rpc::call(&channel, rpc::LIST, &ListRequest::default()).await?.attachments;
            for attachment in list.into_iter().filter(|attachment| attachment.uid == own && stale(attachment))
            {
                let failure = deactivate(&channel, attachment).await.err();
                answer.problems.extend(failure.map(|failure| failure.message().to_owned()));
            }
        }
        Question::Status => {
            answer.networks = rpc::call(&channel, rpc::STATUS, &StatusRequest {}).await?.networks;
        }
    }
    Ok(answer)
}

/// The attachment of this container that ADD made.
async fn ours(channel: &Channel, container: &Container, tag: &str) -> Result<Option<Attachment>, Status> {
    let target = Some(get_request::Target::ContainerId(container.id.clone()));
    let found = or_gone(rpc::call(channel, rpc::GET, &GetRequest { target }).await)?;
    let attachment = found.and_then(|found| found.attachment);
    Ok(attachment.filter(|attachment| attachment.tags.iter().any(|found| found == tag)))
}

async fn deactivate(channel: &Channel, attachment: Attachment) -> Result<(), Status> {
    let target = Some(deactivate_request::Target::Id(attachment.id));
    or_gone(rpc::call(channel, rpc::DEACTIVATE, &DeactivateRequest { target }).await).map(drop)
}

/// What is gone is none, and no failure.
fn or_gone<T>(answer: Result<T, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == Grpc::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

/// What the daemon finds amiss, and still does after a while.
async fn problems(channel: &Channel, id: &str, patience: Duration) -> Result<Vec<String>, Status> {
    let start = Instant::now();
    let request = CheckRequest { id: id.to_owned() };
    loop {
        let problems = rpc::call(channel, rpc::CHECK, &request).await?.problems;
        if problems.is_empty() || start.elapsed() > patience {
            return Ok(problems);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Containers and their interfaces that are to stay, if the runtime says so at all.
fn valid_attachments(config: &Config) -> Result<Option<Vec<(&str, &str)>>, Error> {
    const KEY: &str = "cni.dev/valid-attachments";
    if !config.object.contains_key(KEY) {
        return Ok(None);
    }
    let list: Option<_> = input::list(&config.object, KEY)?.iter().map(pair).collect();
    list.map(Some).ok_or_else(|| Error::config(format!("{KEY:?} must be a list of containerID and ifname")))
}

fn pair(value: &Value) -> Option<(&str, &str)> {
    Some((value.get("containerID")?.as_str()?, value.get("ifname")?.as_str()?))
}

#[cfg(test)]
mod tests;
