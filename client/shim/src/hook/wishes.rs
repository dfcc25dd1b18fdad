//! What the hook is asked for: its arguments, the container's state, and its annotations.
//!
//! | argument | annotation | means |
//! |---|---|---|
//! | `--network NAME` | `v6pod.network` | the daemon's network; empty: its default one |
//! | | `v6pod.name` | the name to publish; else podman's name of the container |
//! | `--iface NAME` | `v6pod.interface` | the interface inside; else `v6pod0` |
//! | `--mtu OCTETS` | `v6pod.mtu` | the MTU; else the network's |
//! | `--ip ADDRESS` | `v6pod.address` | a fixed address |
//! | | `v6pod.mac` | a fixed MAC, and so a fixed address |
//! | | `v6pod.aliases` | further names, separated by commas |
//! | | `v6pod.tags` | tags for registries, separated by commas |
//! | `--ipfile PATH` | `v6pod.ipfile` | where to write the address; see below |
//! | `--required` | any of these | no address, no container |
//! | | `v6pod.inbound` | what may reach it: `open`, `established`, or ports (`80/tcp,443/tcp`) |
//! | | `v6pod.ports` | the same, if it is not empty |
//!
//! The hook may run as root for a container whose annotations are somebody else's. So an annotation names
//! a file in the bundle and nowhere else; an argument may name any, relative to the bundle.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use v6pod_proto::v1::{ActivateRequest, Attachment};

use crate::input::{self, Object};

/// All annotations of ours begin so.
const PREFIX: &str = "v6pod.";

/// What is wrong with what the hook was given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stage is none that means anything here.
    #[error("there is nothing to do in the stage {0:?}: use createRuntime and poststop")]
    Stage(String),
    /// There is no such argument.
    #[error("there is no argument {0:?}")]
    Argument(String),
    /// An argument is the last one, and should not be.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A value cannot be meant.
    #[error("{0} cannot be {1:?}")]
    Value(String, String),
    /// An annotation is misspelt.
    #[error("there is no annotation {0:?}")]
    Annotation(String),
    /// The state is not as the OCI has it.
    #[error("the container's state: {0}")]
    State(String),
    /// The state tells of no process.
    #[error("the container's state has no pid")]
    NoPid,
}

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The namespace is there, and the program not yet.
    CreateRuntime,
    /// The container is over.
    Poststop,
}

impl Stage {
    fn named(name: &str) -> Result<Self, Error> {
        match name {
            // The older name for it; podman itself turns the one into the other.
            "createRuntime" | "prestart" => Ok(Self::CreateRuntime),
            "poststop" => Ok(Self::Poststop),
            other => Err(Error::Stage(other.to_owned())),
        }
    }
}

/// The container's state, as far as it matters here.
#[derive(Debug)]
pub struct State {
    /// The container's id.
    pub id: String,
    /// Its first process.
    pub pid: Option<u32>,
    /// Its bundle.
    pub bundle: PathBuf,
    is_stopped: bool,
    annotations: Object,
}

impl State {
    /// Reads it.
    pub fn read(object: &Object) -> Result<Self, Error> {
        let wrong = |wrong: input::Wrong| Error::State(wrong.to_string());
        let id = input::text(object, "id").map_err(wrong)?.to_owned();
        if id.is_empty() {
            return Err(Error::State("it has no id".to_owned()));
        }
        Ok(Self {
            id,
            pid: Some(input::number(object, "pid").map_err(wrong)?).filter(|pid| *pid != 0),
            bundle: PathBuf::from(input::text(object, "bundle").map_err(wrong)?),
            is_stopped: input::text(object, "status").map_err(wrong)? == "stopped",
            annotations: input::object(object, "annotations").map_err(wrong)?.cloned().unwrap_or_default(),
        })
    }

    /// The stage that this is the state of: a container that is over has no process.
    pub fn stage(&self) -> Stage {
        if self.is_stopped || self.pid.is_none() { Stage::Poststop } else { Stage::CreateRuntime }
    }
}

/// All that can be asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The daemon's network.
    pub network: String,
    /// Whether a container without an address must not start.
    pub required: bool,
    /// Where to write the address, relative to the bundle.
    pub ip_file: Option<PathBuf>,
    name: String,
    interface: String,
    address: String,
    mac: String,
    mtu: u32,
    aliases: Vec<String>,
    tags: Vec<String>,
    inbound: String,
}

impl Wishes {
    /// What the settings say.
    pub fn new(network: String, required: bool) -> Self {
        Self { network, required, ..Self::default() }
    }

    /// Reads the arguments after the program's name; they may name the stage.
    pub fn take_arguments(&mut self, arguments: &[OsString]) -> Result<Option<Stage>, Error> {
        let mut stage = None;
        let mut rest = arguments.iter().map(|argument| argument.to_string_lossy().into_owned());
        while let Some(argument) = rest.next() {
            if !argument.starts_with("--") {
                stage = Some(Stage::named(&argument)?);
                continue;
            }
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            if name == "--required" && attached.is_none() {
                self.required = true;
                continue;
            }
            if !["--network", "--iface", "--mtu", "--ip", "--ipfile"].contains(&name.as_str()) {
                return Err(Error::Argument(name));
            }
            let value = attached.or_else(|| rest.next()).ok_or_else(|| Error::NoValue(name.clone()))?;
            self.set_argument(&name, value)?;
        }
        Ok(stage)
    }

    fn set_argument(&mut self, name: &str, value: String) -> Result<(), Error> {
        match name {
            "--network" => self.network = value,
            "--iface" => self.interface = value,
            "--mtu" => self.mtu = number(name, &value)?,
            "--ip" => self.address = value,
            _ => self.ip_file = Some(PathBuf::from(value)),
        }
        Ok(())
    }

    /// Reads the annotations. Whoever writes one of ours wants an address.
    pub fn take_annotations(&mut self, state: &State) -> Result<(), Error> {
        let ours = || state.annotations.iter().filter(|(key, _)| key.starts_with(PREFIX));
        self.required |= ours().next().is_some();
        for (key, value) in ours() {
            let wrong = || Error::Value(key.clone(), value.to_string());
            self.set_annotation(key, value.as_str().ok_or_else(wrong)?)?;
        }
        Ok(())
    }

    fn set_annotation(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let text = value.to_owned();
        let list = || value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
        match &key[PREFIX.len()..] {
            "network" => self.network = text,
            "name" => self.name = text,
            "interface" => self.interface = text,
            "address" => self.address = text,
            "mac" => self.mac = text,
            "mtu" => self.mtu = number(key, value)?,
            "aliases" => self.aliases = list().collect(),
            "tags" => self.tags = list().collect(),
            "ipfile" if is_file_name(value) => self.ip_file = Some(PathBuf::from(value)),
            "ipfile" => return Err(Error::Value(key.to_owned(), text)),
            "ports" if value.trim().is_empty() => {}
            "inbound" | "ports" => self.inbound = text,
            _ => return Err(Error::Annotation(key.to_owned())),
        }
        Ok(())
    }

    /// What to ask the daemon for.
    pub fn request(&self, container_id: String) -> ActivateRequest {
        ActivateRequest {
            network: self.network.clone(),
            container_id,
            name: self.name.clone(),
            interface: self.interface.clone(),
            address: self.address.clone(),
            no_default_route: false,
            mac: self.mac.clone(),
            mtu: self.mtu,
            aliases: self.aliases.clone(),
            tags: self.tags.clone(),
            inbound: self.inbound.clone(),
        }
    }

    /// The first wish that an attachment of another's making does not fulfil.
    pub fn differs(&self, attachment: &Attachment) -> Option<&'static str> {
        let is = |wish: &str, found: &str| wish.is_empty() || wish.eq_ignore_ascii_case(found);
        let address = || self.address.parse() == attachment.address.parse::<std::net::Ipv6Addr>();
        if !is(&self.network, &attachment.network) {
            Some("the network")
        } else if !is(&self.interface, &attachment.interface) {
            Some("the interface")
        } else if !self.address.is_empty() && !address() {
            Some("the address")
        } else if !is(&self.mac, &attachment.mac) {
            Some("the MAC")
        } else if self.mtu != 0 && self.mtu != attachment.mtu {
            Some("the MTU")
        } else if !is(&self.inbound, &attachment.inbound) && attachment.inbound == "open" {
            Some("the inbound traffic")
        } else {
            None
        }
    }
}

fn number(name: &str, value: &str) -> Result<u32, Error> {
    value.parse().map_err(|_| Error::Value(name.to_owned(), value.to_owned()))
}

/// Whether this is a name in a folder, and no way out of it.
fn is_file_name(text: &str) -> bool {
    Path::new(text).file_name() == Some(OsStr::new(text))
}

#[cfg(test)]
mod tests;
