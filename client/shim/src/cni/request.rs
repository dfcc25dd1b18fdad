//! What a runtime asks for: `CNI_*` variables, and the network configuration.

use std::{ffi::OsString, net::IpAddr, os::fd::OwnedFd, path::PathBuf};

use serde_json::Value;
use v6pod_proto::v1::ActivateRequest;

use super::{
    error::{Code, Error},
    result,
    version::Version,
};
use crate::{
    files,
    input::{self, Object},
    settings::Environment,
};

/// The interface inside where another plugin of the chain has made the one that was asked for.
const SECOND_INTERFACE: &str = "v6pod0";

/// What the contract allows as a tag, and as a container's id.
const LONGEST_TAG: usize = 64;
const LONGEST_ID: usize = 128;

/// `CNI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// Compare.
    Check,
    /// Detach what nobody needs.
    Gc,
    /// Could a container be attached?
    Status,
    /// Which versions?
    Version,
}

impl Command {
    /// Reads it.
    pub fn read(environment: Environment<'_>) -> Result<Self, Error> {
        Ok(match variable(environment, "CNI_COMMAND")?.as_str() {
            "ADD" => Self::Add,
            "DEL" => Self::Del,
            "CHECK" => Self::Check,
            "GC" => Self::Gc,
            "STATUS" => Self::Status,
            "VERSION" => Self::Version,
            "" => return Err(missing("CNI_COMMAND")),
            other => {
                let wanted = "it has to be ADD, DEL, CHECK, GC, STATUS or VERSION";
                return Err(invalid("CNI_COMMAND", other, wanted));
            }
        })
    }

    /// The version that introduced it.
    fn since(self) -> Version {
        match self {
            Self::Add | Self::Del | Self::Version => Version::V0_3_1,
            Self::Check => Version::V0_4_0,
            Self::Gc | Self::Status => Version::V1_1_0,
        }
    }
}

/// The network configuration.
#[derive(Debug)]
pub struct Config {
    /// All of it.
    pub object: Object,
    /// `cniVersion`.
    pub version: Version,
    /// CNI's name of the network.
    pub name: String,
    /// The daemon's.
    pub network: String,
}

impl Config {
    /// Checks what every command needs.
    pub fn check(object: Object, command: Command) -> Result<Self, Error> {
        let version = Version::of(&object)?;
        if version < command.since() {
            let details = format!("{command:?} came with {}", command.since().as_str());
            return Err(Error::new(Code::Version, "incompatible CNI versions", details));
        }
        let name = input::text(&object, "name")?.to_owned();
        if !is_name(&name, usize::MAX) {
            return Err(Error::config(format!("the network's name {name:?} is not valid")));
        }
        let network = input::text(&object, "network")?.to_owned();
        Ok(Self { object, version, name, network })
    }

    /// The attachments that were made for this network of CNI's have tags that begin so.
    pub fn tag_prefix(&self) -> String {
        format!("cni={}/", self.name)
    }

    /// What earlier plugins, or an earlier ADD, came to.
    pub fn previous(&self) -> Result<Option<&Object>, Error> {
        Ok(input::object(&self.object, "prevResult")?)
    }
}

/// One container on one network: `CNI_CONTAINERID`, `CNI_IFNAME`, `CNI_NETNS`.
#[derive(Debug)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The interface that the runtime means.
    pub interface: String,
    /// The path of its namespace; empty if it has none any more.
    pub namespace: String,
}

impl Container {
    /// Reads the variables; only DEL can do without a namespace.
    pub fn read(environment: Environment<'_>, needs_namespace: bool) -> Result<Self, Error> {
        let id = variable(environment, "CNI_CONTAINERID")?;
        let interface = variable(environment, "CNI_IFNAME")?;
        let namespace = variable(environment, "CNI_NETNS")?;
        let all = [("CNI_CONTAINERID", &id), ("CNI_IFNAME", &interface), ("CNI_NETNS", &namespace)];
        let empty =
            |(name, value): &(&str, &String)| value.is_empty() && (needs_namespace || *name != "CNI_NETNS");
        let absent: Vec<&str> = all.iter().filter(|pair| empty(pair)).map(|(name, _)| *name).collect();
        if !absent.is_empty() {
            return Err(missing(&absent.join(", ")));
        }
        if !is_name(&id, LONGEST_ID) {
            let wanted = "it has to be 1 to 128 of A-Z, a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or a digit";
            return Err(invalid("CNI_CONTAINERID", &id, wanted));
        }
        if !is_name(&interface, 15) {
            let wanted = "it has to be 1 to 15 of A-Z, a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or a digit";
            return Err(invalid("CNI_IFNAME", &interface, wanted));
        }
        Ok(Self { id, interface, namespace })
    }

    /// The tag by which DEL and GC know the attachment again: nobody else's is touched.
    pub fn tag(&self, config: &Config) -> String {
        config.tag_prefix() + &self.interface
    }

    /// Opens the namespace.
    pub fn open(&self) -> Result<OwnedFd, Error> {
        let file = files::open_any(self.namespace.as_ref()).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let details = format!("CNI_NETNS is {:?}: {error}", self.namespace);
                Error::new(Code::NoContainer, "the network namespace does not exist", details)
            }
            _ => invalid("CNI_NETNS", &self.namespace, &error.to_string()),
        })?;
        if !files::is_namespace(&file) {
            return Err(invalid("CNI_NETNS", &self.namespace, "it is not a network namespace"));
        }
        Ok(file.into())
    }

    /// Whether the namespace has ended: what the daemon knows of it is over, or will be when it starts.
    pub fn is_gone(&self) -> bool {
        self.namespace.is_empty() || self.open().is_err()
    }
}

/// What to ask the daemon for.
pub fn wish(config: &Config, container: &Container, args: &Args) -> Result<ActivateRequest, Error> {
    refuse_unsupported(config)?;
    let nothing = Object::new();
    let runtime = input::object(&config.object, "runtimeConfig")?.unwrap_or(&nothing);
    let generic = input::object(&config.object, "args")?.unwrap_or(&nothing);
    let generic = input::object(generic, "cni")?.unwrap_or(&nothing);
    let previous = config.previous()?;
    // The conventions' order: capabilities, then "args", then CNI_ARGS.
    let mut wanted = input::texts(runtime, "ips")?;
    if wanted.is_empty() {
        wanted = input::texts(generic, "ips")?;
    }
    if wanted.is_empty() {
        wanted.extend(args.ip.clone());
    }
    let mac = Some(input::text(runtime, "mac")?).filter(|mac| !mac.is_empty());
    let tag = container.tag(config);
    if tag.len() > LONGEST_TAG {
        let most = LONGEST_TAG + config.name.len() - tag.len();
        return Err(Error::config(format!(
            "the network's name is longer than {most}, which v6podd can note"
        )));
    }
    Ok(ActivateRequest {
        network: config.network.clone(),
        container_id: container.id.clone(),
        name: args.name.clone(),
        interface: interface(config, container, previous)?,
        address: address(&wanted, previous.is_some())?,
        mac: mac.map(str::to_owned).or_else(|| args.mac.clone()).unwrap_or_default(),
        mtu: input::number(&config.object, "mtu")?,
        aliases: aliases(runtime, &config.name)?,
        tags: vec![tag],
        inbound: String::new(),
        no_default_route: false,
    })
}

/// The daemon gives the addresses; a configuration that expects otherwise would be surprised.
fn refuse_unsupported(config: &Config) -> Result<(), Error> {
    match input::object(&config.object, "ipam")? {
        Some(ipam) if !ipam.is_empty() => {
            let msg = format!("\"ipam\" is not supported, and is {}", Value::Object(ipam.clone()));
            Err(Error::new(Code::Unsupported, msg, "v6podd chooses the addresses: leave \"ipam\" out"))
        }
        _ => Ok(()),
    }
}

/// `CNI_IFNAME`, unless the configuration has another, or an earlier plugin has made that one.
fn interface(config: &Config, container: &Container, previous: Option<&Object>) -> Result<String, Error> {
    let configured = input::text(&config.object, "interface")?;
    if !configured.is_empty() {
        return Ok(configured.to_owned());
    }
    let taken = match previous {
        Some(previous) => result::has_interface(previous, &container.interface, None)?,
        None => false,
    };
    Ok(if taken { SECOND_INTERFACE } else { &container.interface }.to_owned())
}

/// The IPv6 address among those asked for. The others are for other plugins, if there are any.
fn address(wanted: &[String], is_chained: bool) -> Result<String, Error> {
    let mut found = None;
    for text in wanted {
        let number = text.split('/').next().unwrap_or_default();
        match number.parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) if found.is_none() => found = Some(number.to_owned()),
            Ok(IpAddr::V6(_)) => return Err(Error::config("v6podd gives a container one IPv6 address")),
            Ok(IpAddr::V4(_)) if is_chained => {}
            Ok(IpAddr::V4(_)) => {
                let msg = format!("\"ips\" has {text:?}, which is not supported");
                return Err(Error::new(Code::Unsupported, msg, "v6podd gives IPv6 addresses only"));
            }
            Err(_) => return Err(Error::config(format!("{text:?} is not an address"))),
        }
    }
    Ok(found.unwrap_or_default())
}

/// A list as the conventions have it, or, as in dnsname and podman, a list for each network's name.
fn aliases(runtime: &Object, network: &str) -> Result<Vec<String>, Error> {
    Ok(match input::get(runtime, "aliases") {
        Some(Value::Object(by_network)) => input::strings("aliases", by_network.get(network))?,
        aliases => input::strings("aliases", aliases)?,
    })
}

/// `CNI_ARGS`, as far as anything here is of use to us.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// `K8S_POD_NAME`: kubelets set it, and podman, to the container's name.
    pub name: String,
    /// `IP`.
    pub ip: Option<String>,
    /// `MAC`.
    pub mac: Option<String>,
}

impl Args {
    /// Reads them. Keys that nobody here knows are refused unless `IgnoreUnknown` says otherwise.
    pub fn read(environment: Environment<'_>) -> Result<Self, Error> {
        let text = variable(environment, "CNI_ARGS")?;
        let mut args = Self::default();
        let mut unknown = Vec::new();
        let mut ignore = false;
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| invalid("CNI_ARGS", pair, "expected KEY=VALUE"))?;
            match key {
                "IgnoreUnknown" => {
                    ignore = match value.to_ascii_lowercase().as_str() {
                        "1" | "true" => true,
                        "0" | "false" => false,
                        _ => return Err(invalid("CNI_ARGS", pair, "it has to be 1, 0, true or false")),
                    }
                }
                "K8S_POD_NAME" => value.clone_into(&mut args.name),
                "IP" => args.ip = Some(value.to_owned()),
                "MAC" => args.mac = Some(value.to_owned()),
                _ => unknown.push(key),
            }
        }
        if !unknown.is_empty() && !ignore {
            return Err(invalid("CNI_ARGS", &unknown.join(", "), "unknown, and IgnoreUnknown=1 is not set"));
        }
        Ok(args)
    }
}

/// The socket that the configuration names, if it does.
pub fn socket(config: &Config) -> Result<Option<PathBuf>, Error> {
    match input::text(&config.object, "socket")? {
        "" => Ok(None),
        path if path.starts_with('/') => Ok(Some(PathBuf::from(path))),
        path => Err(Error::config(format!("\"socket\" must be an absolute path, not {path:?}"))),
    }
}

/// The rule for networks, containers and, here, interfaces.
fn is_name(text: &str, longest: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= longest && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

/// A variable's text; absent, it is empty.
fn variable(environment: Environment<'_>, name: &str) -> Result<String, Error> {
    let text = environment(name).map_or(Ok(String::new()), OsString::into_string);
    text.map_err(|text| invalid(name, &text.to_string_lossy(), "it is not UTF-8"))
}

fn missing(names: &str) -> Error {
    Error::new(
        Code::Variables,
        format!("{names} missing from the environment"),
        "the runtime has to set them",
    )
}

fn invalid(name: &str, value: &str, why: &str) -> Error {
    let shown: String = value.chars().take(64).collect();
    Error::new(Code::Variables, format!("{name} is not valid"), format!("{shown:?}: {why}"))
}
