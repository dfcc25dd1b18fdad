//! `v6pod attach`.
//!
//! The namespace is opened here, with the user's own rights, and its descriptor passed to the daemon; so
//! is the read end of the lease, if there is a command for whose time it is to last. The write end stays
//! here, closed on exec: what the command leaves running in the background does not prolong the lease,
//! and a command that closes what it inherits (sudo does) does not end it.

use std::{
    ffi::OsStr,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    pipe::{PipeFlags, pipe_with},
};
use v6pod_proto::v1::{ActivateRequest, ActivateResponse, Attachment};

use super::child;
use crate::{
    args::Attach,
    daemon::Daemon,
    error::Error,
    json,
    output::{Output, note},
    ports, resolve, text,
};

/// How often a daemon that hung up is called again, and the pause between.
const AGAIN: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Attaches a namespace.
pub async fn run(socket: &Path, attach: Attach, output: &mut Output) -> Result<u8, Error> {
    let target = Target::parse(&attach.target);
    let namespace = target.open()?;
    let request = request(&attach);
    let Some((program, arguments)) = attach.command.split_first() else {
        let answer = activate(socket, vec![namespace], request, &target).await?;
        if output.json {
            output.document(&json::Activated::from(&answer))?;
        } else {
            output.text(&format!("{}\n", render(&answer, false, &target)?))?;
        }
        tell_unused(&attach, &answer);
        return Ok(0);
    };
    let lease = |errno: rustix::io::Errno| Error::local("cannot make a lease")(errno.into());
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(lease)?;
    let answer = activate(socket, vec![namespace, read], request, &target).await?;
    // Standard output is the command's.
    if output.json {
        output.document(&json::Activated::from(&answer))?;
    } else {
        note(&render(&answer, true, &target)?);
    }
    tell_unused(&attach, &answer);
    let code = child::run(program, arguments).await;
    drop(write);
    code
}

fn request(attach: &Attach) -> ActivateRequest {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    ActivateRequest {
        network: text(&attach.network),
        container_id: text(&attach.container_id),
        name: text(&attach.name),
        interface: text(&attach.interface),
        address: attach.address.map(|address| address.to_string()).unwrap_or_default(),
        no_default_route: attach.no_default_route,
        mac: text(&attach.mac),
        mtu: attach.mtu.unwrap_or_default(),
        aliases: attach.alias.clone(),
        tags: attach.tag.clone(),
        inbound: attach.inbound.clone().unwrap_or_default(),
    }
}

/// Calls, and hangs up: nothing but the lease is to stay. A daemon that hangs up is being replaced, and called
/// again.
async fn activate(
    socket: &Path,
    descriptors: Vec<OwnedFd>,
    request: ActivateRequest,
    target: &Target,
) -> Result<ActivateResponse, Error> {
    for _ in 0..AGAIN {
        let copies = descriptors.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>();
        let copies = copies.map_err(Error::local("cannot pass the namespace"))?;
        match call(socket, copies, request.clone(), target).await {
            Err(error) if error.is_passing() => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
    call(socket, descriptors, request, target).await
}

async fn call(
    socket: &Path,
    descriptors: Vec<OwnedFd>,
    request: ActivateRequest,
    target: &Target,
) -> Result<ActivateResponse, Error> {
    Daemon::connect(socket, descriptors).await?.activate(request, &target.to_string()).await
}

/// Says what was asked for and did not come about, for the namespace was attached already.
fn tell_unused(attach: &Attach, answer: &ActivateResponse) {
    let unused = match &answer.attachment {
        Some(attachment) if !answer.created => unused(attach, attachment),
        _ => return,
    };
    if !unused.is_empty() {
        let were = if unused.len() == 1 { "was" } else { "were" };
        note(&text::escape(&format!("v6pod: {} {were} not used: detach it first", unused.join(" and "))));
    }
}

/// The options that an attachment does not agree with. What it was asked for at first it may have under another
/// spelling.
fn unused(attach: &Attach, is: &Attachment) -> Vec<String> {
    let other = |option: &str, wanted: &Option<String>, fits: &dyn Fn(&str) -> bool| {
        wanted.as_deref().filter(|wanted| !fits(wanted)).map(|wanted| format!("--{option} {wanted}"))
    };
    let inbound = |wanted: &str| wanted == is.inbound || ports::same(wanted, &is.inbound);
    let mut unused: Vec<String> = [
        other("network", &attach.network, &|wanted| wanted == is.network),
        other("name", &attach.name, &|wanted| resolve::label(wanted) == is.name),
        other("container-id", &attach.container_id, &|wanted| wanted == is.container_id),
        other("interface", &attach.interface, &|wanted| wanted == is.interface),
        other("address", &attach.address.map(|address| address.to_string()), &|wanted| wanted == is.address),
        other("mac", &attach.mac, &|wanted| wanted.eq_ignore_ascii_case(&is.mac)),
        other("mtu", &attach.mtu.map(|mtu| mtu.to_string()), &|wanted| wanted == is.mtu.to_string()),
        other("inbound", &attach.inbound, &inbound),
    ]
    .into_iter()
    .flatten()
    .collect();
    let aliases = attach.alias.iter().filter(|alias| !is.aliases.contains(&resolve::label(alias)));
    unused.extend(aliases.map(|alias| format!("--alias {alias}")));
    unused.extend(attach.tag.iter().filter(|tag| !is.tags.contains(tag)).map(|tag| format!("--tag {tag}")));
    unused
}

/// "process 42: attached as 2001:db8::2 (v6pod0, web.v6pod)".
fn render(answer: &ActivateResponse, leased: bool, target: &Target) -> Result<String, Error> {
    let incomplete = || Error::Incomplete(format!("attaching {target}"));
    let attachment = answer.attachment.as_ref().ok_or_else(incomplete)?;
    let how = match (answer.created, leased) {
        (true, _) => "attached as",
        (false, false) => "is attached already, as",
        (false, true) => "was attached already, and is now until the command ends, as",
    };
    let details: Vec<&str> =
        std::iter::once(&attachment.interface).chain(&attachment.published).map(String::as_str).collect();
    let line = format!("{target}: {how} {} ({})", attachment.address, details.join(", "));
    Ok(text::escape(&line))
}

/// What is to be attached.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Process(u32),
    Path(PathBuf),
}

impl Target {
    /// A number is a process.
    fn parse(text: &OsStr) -> Self {
        let digits = text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(pid) => Self::Process(pid),
            None => Self::Path(PathBuf::from(text)),
        }
    }

    /// Opens it. A path may be anything: nothing is waited for, no terminal is taken.
    fn open(&self) -> Result<OwnedFd, Error> {
        let path = match self {
            Self::Process(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
            Self::Path(path) => path.clone(),
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| match (self, errno) {
            (Self::Process(pid), rustix::io::Errno::NOENT) => Error::NoProcess(*pid),
            (Self::Path(_), rustix::io::Errno::NOENT) => Error::NoNamespace(path),
            _ => Error::Open { path, source: errno.into() },
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::web, *};

    #[test]
    fn numbers_are_processes() {
        let parse = |text: &str| Target::parse(OsStr::new(text));
        assert_eq!(parse("42"), Target::Process(42));
        for path in ["./42", "/run/netns/x", "-1", "99999999999", "4 2", ""] {
            assert_eq!(parse(path), Target::Path(path.into()));
        }
    }

    #[test]
    fn what_is_absent_is_named() {
        let error = Target::Process(4_000_000_000).open().unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("there is no process 4000000000", 3));
        let error = Target::Path("/nonexistent".into()).open().unwrap_err();
        assert!(error.to_string().starts_with("there is no /nonexistent: "), "{error}");
    }

    #[test]
    fn how_it_is_attached_is_said() {
        let mut answer = ActivateResponse { attachment: Some(web()), created: true, ..Default::default() };
        let target = Target::Process(42);
        let says = |answer: &_, leased| render(answer, leased, &target).unwrap();
        let place = "2001:db8::242:ac11:2 (v6pod0, web.v6pod, web.service.consul)";
        assert_eq!(says(&answer, false), format!("process 42: attached as {place}"));
        answer.created = false;
        assert_eq!(says(&answer, false), format!("process 42: is attached already, as {place}"));
        assert!(says(&answer, true).contains(" until the command ends, as 2001:"));
        answer.attachment = None;
        assert!(matches!(render(&answer, false, &target), Err(Error::Incomplete(_))));
    }
}
