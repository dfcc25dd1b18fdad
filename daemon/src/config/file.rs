//! The configuration file as it is written: v6podd.toml(5).

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::Ipv6Net;
use serde::Deserialize;
use toml::Spanned;

use crate::{
    audit,
    auth::Proof,
    guard::{Choice, Isolation},
    ipam::Mode,
    policy::{Collision, RawPolicy, RawReservation, RawRule},
    registry,
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// The prefix of the one network, if there are no `[network.NAME]` tables.
    pub prefix: Option<Ipv6Net>,
    /// Where records are kept.
    pub state_dir: PathBuf,
    /// A group, by name or number, whose members are administrators.
    pub admin_group: Option<String>,
    /// How ownership of a namespace is proven; for tests.
    pub namespace_proof: Proof,
    /// What keeps containers from forging addresses.
    pub guard: Choice,
    /// `[socket]`.
    pub socket: Socket,
    /// `[network.NAME]`.
    pub network: BTreeMap<String, Network>,
    /// `[dns]`.
    pub dns: registry::RawDns,
    /// `[consul]`; absent: not used.
    pub consul: Option<registry::RawConsul>,
    /// `[audit]`.
    pub audit: audit::Config,
    /// `[[rule]]`.
    pub rule: Vec<Spanned<RawRule>>,
    /// `[[reservation]]`.
    pub reservation: Vec<Spanned<RawReservation>>,
    /// Patterns of names that nobody may have.
    pub reserved_names: Vec<Spanned<String>>,
    /// What becomes of a name that is taken.
    pub collision: Collision,
    /// `[policy]`.
    pub policy: RawPolicy,
}

impl Default for File {
    fn default() -> Self {
        Self {
            prefix: None,
            state_dir: PathBuf::from("/var/lib/v6pod"),
            admin_group: None,
            namespace_proof: Proof::default(),
            guard: Choice::default(),
            socket: Socket::default(),
            network: BTreeMap::new(),
            dns: registry::RawDns::default(),
            consul: None,
            audit: audit::Config::default(),
            rule: Vec::new(),
            reservation: Vec::new(),
            reserved_names: Vec::new(),
            collision: Collision::default(),
            policy: RawPolicy::default(),
        }
    }
}

/// `[socket]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Socket {
    /// The path.
    pub path: PathBuf,
    /// The mode, octal, as text.
    pub mode: String,
    /// The group, by name or number.
    pub group: Option<String>,
}

impl Default for Socket {
    fn default() -> Self {
        Self { path: PathBuf::from(v6pod_proto::SOCKET), mode: "0666".to_owned(), group: None }
    }
}

/// `[network.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The prefix.
    pub prefix: Option<Ipv6Net>,
    /// The name of a bridge that the daemon makes.
    pub bridge: Option<String>,
    /// The name of a bridge that is there.
    pub join: Option<String>,
    /// Whether there is no gateway.
    pub internal: bool,
    /// Octets.
    pub mtu: u32,
    /// How addresses are chosen.
    pub addresses: Mode,
    /// Whether callers may choose their address.
    pub allow_static: bool,
    /// The most attachments.
    pub capacity: usize,
    /// Seconds that a freed address rests.
    pub rest: u64,
    /// What becomes of a name that is taken, where it is not as everywhere.
    pub collision: Option<Collision>,
    /// Whether callers that name no network get this one.
    pub default: bool,
    /// Who may reach whom.
    pub isolation: Isolation,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            prefix: None,
            bridge: None,
            join: None,
            internal: false,
            mtu: 1500,
            addresses: Mode::default(),
            allow_static: false,
            capacity: 1000,
            rest: 60,
            collision: None,
            default: false,
            isolation: Isolation::default(),
        }
    }
}
