//! The configuration: one TOML file, read into [`file::File`] and checked into [`Config`].
//!
//! Everything has a default, so that a prefix is all one must write, and not even that: without one a
//! unique local /80 is made and remembered. Unknown keys are refused. All checks happen here, before
//! anything is touched; `v6podd --check-config` runs exactly this.

mod difference;
mod file;

use std::{
    fs, io,
    net::Ipv6Addr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::Ipv6Net;

use crate::{
    audit,
    auth::{Proof, users},
    guard::{Choice, Isolation},
    ipam::Mode,
    model::{InterfaceName, NetworkName},
    policy::{self, Collision, Policy},
    registry,
};

/// Where the configuration is unless the command line says otherwise.
pub const PATH: &str = "/etc/v6pod/v6podd.toml";

/// The shortest and the longest prefix that leaves room for a MAC.
pub const LENGTHS: std::ops::RangeInclusive<u8> = 64..=80;
/// What IPv6 asks of a link at least (RFC 8200, section 5), and the most that a veth takes.
const MTUS: std::ops::RangeInclusive<u32> = 1280..=65_535;
/// The kernel's limit of ports per bridge (BR_MAX_PORTS, net/bridge/br_private.h) less one for an uplink.
const CAPACITIES: std::ops::RangeInclusive<usize> = 1..=1023;

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket.
    pub socket: Socket,
    /// Where records are kept.
    pub state_dir: PathBuf,
    /// The networks, by name; at least one.
    pub networks: Vec<Network>,
    /// The name of the default network.
    pub default_network: NetworkName,
    /// A group whose members are administrators, by number.
    pub admin_group: Option<u32>,
    /// How ownership of a namespace is proven.
    pub proof: Proof,
    /// What keeps containers from forging addresses.
    pub guard: Choice,
    /// The registries.
    pub registry: registry::Config,
    /// What is kept of who had which address.
    pub audit: audit::Config,
    /// The rules.
    pub policy: Policy,
}

/// Where and for whom the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The path.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Its group, by number.
    pub group: Option<u32>,
}

/// A checked network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name.
    pub name: NetworkName,
    /// The driver.
    pub driver: Driver,
    /// The prefix. The unspecified /80 stands for "make one": see [`Config::needs_prefix`].
    pub prefix: Ipv6Net,
    /// The gateway; none on an internal network.
    pub gateway: Option<Ipv6Addr>,
    /// The bridge.
    pub bridge: String,
    /// Whether the bridge is somebody else's.
    pub join: bool,
    /// The MTU in octets.
    pub mtu: u32,
    /// How addresses are chosen.
    pub mode: Mode,
    /// Whether callers may choose a fixed address.
    pub allow_static: bool,
    /// The most attachments.
    pub capacity: usize,
    /// How long a freed address rests.
    pub rest: Duration,
    /// Who may reach whom.
    pub isolation: Isolation,
    /// What becomes of a name that is taken, where it is not as everywhere.
    pub collision: Option<Collision>,
}

/// The drivers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A veth pair into a bridge.
    Bridge,
}

/// Why a configuration was refused: every reason at once, with file, line and column where the text
/// itself is at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else than root may write to it.
    #[error("{0}: others than root may write to it: chown root and chmod go-w, then start again")]
    Writable(PathBuf),
    /// Not TOML, an unknown key, a value of the wrong type.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// Values that make no sense.
    #[error("{path}: {}", reasons.join("\n"))]
    Values {
        /// The file.
        path: PathBuf,
        /// Each one's reason.
        reasons: Vec<String>,
    },
}

impl Config {
    /// Reads and checks a file. A missing file at the default place is an empty one.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && path == Path::new(PATH) => String::new(),
            Err(error) => return Err(read(error)),
        };
        if !text.is_empty() {
            let metadata = fs::metadata(path).map_err(read)?;
            let euid = rustix::process::geteuid().as_raw();
            let owner_is_fine = metadata.uid() == 0 || metadata.uid() == euid;
            if metadata.is_file() && (metadata.mode() & 0o022 != 0 || !owner_is_fine) {
                return Err(Error::Writable(path.to_owned()));
            }
        }
        Self::parse(&text, path)
    }

    /// Checks a text; `path` is for messages.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let file: file::File = toml::from_str(text)
            .map_err(|source| Error::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        let mut reasons = Vec::new();
        let config = check(file, (text, path), &mut reasons);
        match config {
            Some(config) if reasons.is_empty() => Ok(config),
            _ => Err(Error::Values { path: path.to_owned(), reasons }),
        }
    }

    /// The network that still needs a prefix: the default one, if nothing was written.
    pub fn needs_prefix(&mut self) -> Option<&mut Network> {
        self.networks.iter_mut().find(|network| network.prefix.network().is_unspecified())
    }
}

impl Network {
    /// Sets the prefix, and the gateway with it.
    pub fn set_prefix(&mut self, prefix: Ipv6Net) {
        self.prefix = prefix;
        self.gateway = self.gateway.map(|_| first_address(prefix));
    }
}

/// The first address of a prefix but for the subnet-router anycast address: the gateway's.
pub fn first_address(prefix: Ipv6Net) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.network().to_bits() | 1)
}

fn check(mut file: file::File, source: (&str, &Path), reasons: &mut Vec<String>) -> Option<Config> {
    let socket = check_socket(&file.socket, reasons);
    let admin_group = file.admin_group.as_deref().and_then(|group| note(gid(group), reasons));
    if !file.state_dir.is_absolute() {
        reasons.push(format!("state_dir: {} is not an absolute path", file.state_dir.display()));
    }
    let registry = registry::Config::check(&file.dns, file.consul.as_ref(), Path::new("/etc/resolv.conf"))
        .map_err(|wrong| reasons.extend(wrong.iter().map(ToString::to_string)));
    reasons.extend(file.audit.reasons());
    let networks = check_networks(&file, reasons);
    let default_network = networks.iter().find(|(_, default)| *default).or(networks.first())?.0.name.clone();
    let networks: Vec<_> = networks.into_iter().map(|(network, _)| network).collect();
    let policy = check_policy(&mut file, source, &networks, reasons);
    Some(Config {
        socket: socket?,
        state_dir: file.state_dir,
        networks,
        default_network,
        policy,
        admin_group,
        proof: file.namespace_proof,
        guard: file.guard,
        registry: registry.ok()?,
        audit: file.audit,
    })
}

fn check_policy(
    file: &mut file::File,
    (text, path): (&str, &Path),
    networks: &[Network],
    reasons: &mut Vec<String>,
) -> Policy {
    let raw = policy::Raw {
        rules: std::mem::take(&mut file.rule),
        reservations: std::mem::take(&mut file.reservation),
        reserved_names: std::mem::take(&mut file.reserved_names),
        collision: file.collision,
        policy: std::mem::take(&mut file.policy),
    };
    let directory = policy::Directory::default();
    Policy::check(&raw, policy::Check { text, path, networks, directory, reasons })
}

/// Notes a failure, so that all of them can be told at once.
fn note<T, E: ToString>(result: Result<T, E>, reasons: &mut Vec<String>) -> Option<T> {
    result.map_err(|error| reasons.push(error.to_string())).ok()
}

fn check_socket(socket: &file::Socket, reasons: &mut Vec<String>) -> Option<Socket> {
    if !socket.path.is_absolute() {
        reasons.push(format!("socket.path: {} is not an absolute path", socket.path.display()));
    }
    let mode = u32::from_str_radix(&socket.mode, 8).ok().filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        reasons.push(format!("socket.mode: {:?} is not an octal mode such as \"0660\"", socket.mode));
    }
    let group = socket.group.as_deref().and_then(|group| note(gid(group), reasons));
    Some(Socket { path: socket.path.clone(), mode: mode?, group })
}

fn check_networks(file: &file::File, reasons: &mut Vec<String>) -> Vec<(Network, bool)> {
    let mut networks = Vec::new();
    if file.network.is_empty() {
        let only = file::Network { prefix: file.prefix, ..file::Network::default() };
        networks.extend(check_network("default", &only, reasons).map(|network| (network, true)));
    } else if file.prefix.is_some() {
        reasons.push("prefix: write it inside [network.NAME] when there are such tables".to_owned());
    }
    for (name, network) in &file.network {
        if network.prefix.is_none() {
            reasons.push(format!("network.{name}.prefix is missing: write the /80 this network may use"));
        }
        networks.extend(check_network(name, network, reasons).map(|checked| (checked, network.default)));
    }
    if networks.iter().filter(|(_, default)| *default).count() > 1 {
        reasons.push("network: more than one network has default = true".to_owned());
    }
    for (position, (network, _)) in networks.iter().enumerate() {
        for (other, _) in &networks[..position] {
            if network.prefix.contains(&other.prefix) || other.prefix.contains(&network.prefix) {
                reasons.push(format!("network: the prefixes of {} and {} overlap", other.name, network.name));
            }
            if network.bridge == other.bridge {
                reasons.push(format!("network: {} and {} have the same bridge", other.name, network.name));
            }
        }
    }
    networks
}

fn check_network(name: &str, network: &file::Network, reasons: &mut Vec<String>) -> Option<Network> {
    let at = |key: &str, reason: String| format!("network.{name}.{key}: {reason}");
    let checked_name: Option<NetworkName> = note(name.parse(), reasons);
    let prefix = network.prefix.unwrap_or_default();
    if let Some(Err(reason)) = network.prefix.map(usable) {
        reasons.push(at("prefix", reason));
    }
    if !MTUS.contains(&network.mtu) {
        reasons.push(at("mtu", format!("{} is not within 1280 to 65535", network.mtu)));
    }
    if !CAPACITIES.contains(&network.capacity) {
        reasons.push(at("capacity", format!("{} is not within 1 to 1023", network.capacity)));
    }
    if network.bridge.is_some() && network.join.is_some() {
        reasons.push(at("join", "give either bridge (an own one) or join (an existing one)".to_owned()));
    }
    let bridge = network.join.as_ref().or(network.bridge.as_ref()).cloned();
    let bridge =
        bridge.unwrap_or_else(|| if name == "default" { "v6pod0".into() } else { format!("v6b-{name}") });
    if let Err(error) = bridge.parse::<InterfaceName>() {
        reasons.push(at("bridge", error.to_string()));
    }
    Some(Network {
        name: checked_name?,
        driver: Driver::Bridge,
        prefix,
        gateway: (!network.internal).then(|| first_address(prefix)),
        bridge,
        join: network.join.is_some(),
        mtu: network.mtu,
        mode: network.addresses,
        allow_static: network.allow_static || network.addresses == Mode::Static,
        capacity: network.capacity,
        rest: Duration::from_secs(network.rest),
        isolation: network.isolation,
        collision: network.collision,
    })
}

fn usable(prefix: Ipv6Net) -> Result<(), String> {
    if !LENGTHS.contains(&prefix.prefix_len()) {
        return Err(format!(
            "{prefix} is a /{}: a bridge needs a /64 to a /80, because the last 48 bits of an address are the MAC",
            prefix.prefix_len()
        ));
    }
    if prefix.trunc() != prefix {
        return Err(format!("{prefix} has bits set after the prefix: write {}", prefix.trunc()));
    }
    let network = prefix.network();
    if network.is_unspecified()
        || network.is_multicast()
        || network.is_loopback()
        || network.is_unicast_link_local()
    {
        return Err(format!("{prefix} is not a prefix of unicast addresses that can be routed"));
    }
    Ok(())
}

/// A group by number, or by its name.
fn gid(group: &str) -> Result<u32, String> {
    let known = group.parse().ok().or_else(|| users::gid(group));
    known.ok_or_else(|| format!("there is no group {group:?}: create it with groupadd, or write its number"))
}

impl Network {
    /// Where the built-in DNS answers this network: on the gateway, if that is ours.
    pub fn resolver(&self) -> Option<Ipv6Addr> {
        self.gateway.filter(|_| !self.join)
    }
}

#[cfg(test)]
mod tests;
