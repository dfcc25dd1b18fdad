//! The daemon, its networks and registries, the rules and the audit: what daemon.proto answers.

use serde::Serialize;
use v6pod_proto::v1::{self, history_entry::Reason};

/// `StatusResponse`.
#[derive(Serialize)]
pub struct Status<'a> {
    version: &'a str,
    started: Option<String>,
    networks: Vec<Network<'a>>,
    registries: Vec<Registry<'a>>,
    attachments: u32,
    caller_uid: u32,
    caller_is_admin: bool,
    guard: &'a str,
    audit: Option<Audit<'a>>,
}

/// `HistoryResponse`.
#[derive(Serialize)]
pub struct History<'a> {
    entries: Vec<Entry<'a>>,
    more: bool,
    since: Option<String>,
}

/// `ExplainResponse`.
#[derive(Serialize)]
pub struct Explain<'a> {
    allowed: bool,
    reason: &'a str,
    rule: &'a str,
    network: &'a str,
    name: &'a str,
    reserved_address: &'a str,
    own_prefix: &'a str,
    uid: u32,
    charged_uid: u32,
    attachments: Option<Quota>,
    addresses: Option<Quota>,
    activations: Option<Quota>,
    forbidden: u32,
}

/// `Quota`.
#[derive(Serialize)]
pub struct Quota {
    unlimited: bool,
    limit: u32,
    used: u32,
    left: u32,
}

/// `Network`.
#[derive(Serialize)]
pub struct Network<'a> {
    name: &'a str,
    driver: &'a str,
    prefix: &'a str,
    gateway: &'a str,
    bridge: &'a str,
    mtu: u32,
    addresses: &'a str,
    default: bool,
    attachments: u32,
    capacity: u32,
    isolation: &'a str,
}

/// `AuditStatus`.
#[derive(Serialize)]
pub struct Audit<'a> {
    file: bool,
    healthy: bool,
    error: &'a str,
    lost: u64,
}

/// `HistoryEntry`.
#[derive(Serialize)]
pub struct Entry<'a> {
    id: &'a str,
    uid: u32,
    container_id: &'a str,
    name: &'a str,
    address: &'a str,
    mac: &'a str,
    network: &'a str,
    start: Option<String>,
    end: Option<String>,
    reason: String,
    approximate: bool,
    clock_stepped: i64,
}

/// `RegistryStatus`.
#[derive(Serialize)]
pub struct Registry<'a> {
    kind: &'a str,
    endpoint: &'a str,
    healthy: bool,
    error: &'a str,
    names: u32,
}

impl<'a> From<&'a v1::StatusResponse> for Status<'a> {
    fn from(status: &'a v1::StatusResponse) -> Self {
        Self {
            version: &status.version,
            started: status.started.as_ref().map(ToString::to_string),
            networks: status.networks.iter().map(Network::from).collect(),
            registries: status.registries.iter().map(Registry::from).collect(),
            attachments: status.attachments,
            caller_uid: status.caller_uid,
            caller_is_admin: status.caller_is_admin,
            audit: status.audit.as_ref().map(Audit::from),
            guard: &status.guard,
        }
    }
}

impl<'a> From<&'a v1::HistoryResponse> for History<'a> {
    fn from(history: &'a v1::HistoryResponse) -> Self {
        Self {
            entries: history.entries.iter().map(Entry::from).collect(),
            more: history.more,
            since: history.since.as_ref().map(ToString::to_string),
        }
    }
}

impl<'a> From<&'a v1::ExplainResponse> for Explain<'a> {
    fn from(told: &'a v1::ExplainResponse) -> Self {
        Self {
            allowed: told.allowed,
            reason: &told.reason,
            rule: &told.rule,
            network: &told.network,
            name: &told.name,
            reserved_address: &told.reserved_address,
            own_prefix: &told.own_prefix,
            uid: told.uid,
            charged_uid: told.charged_uid,
            attachments: told.attachments.as_ref().map(Quota::from),
            addresses: told.addresses.as_ref().map(Quota::from),
            activations: told.activations.as_ref().map(Quota::from),
            forbidden: told.forbidden,
        }
    }
}

impl<'a> From<&'a v1::HistoryEntry> for Entry<'a> {
    fn from(entry: &'a v1::HistoryEntry) -> Self {
        Self {
            id: &entry.id,
            uid: entry.uid,
            container_id: &entry.container_id,
            name: &entry.name,
            address: &entry.address,
            mac: &entry.mac,
            network: &entry.network,
            start: entry.start.as_ref().map(ToString::to_string),
            end: entry.end.as_ref().map(ToString::to_string),
            reason: reason(entry.reason),
            approximate: entry.approximate,
            clock_stepped: entry.clock_stepped,
        }
    }
}

impl<'a> From<&'a v1::AuditStatus> for Audit<'a> {
    fn from(audit: &'a v1::AuditStatus) -> Self {
        Self { file: audit.file, healthy: audit.healthy, error: &audit.error, lost: audit.lost }
    }
}

impl From<&v1::Quota> for Quota {
    fn from(quota: &v1::Quota) -> Self {
        Self { unlimited: quota.unlimited, limit: quota.limit, used: quota.used, left: quota.left }
    }
}

impl<'a> From<&'a v1::Network> for Network<'a> {
    fn from(network: &'a v1::Network) -> Self {
        Self {
            name: &network.name,
            driver: &network.driver,
            prefix: &network.prefix,
            gateway: &network.gateway,
            bridge: &network.bridge,
            mtu: network.mtu,
            addresses: &network.addresses,
            default: network.default,
            attachments: network.attachments,
            capacity: network.capacity,
            isolation: &network.isolation,
        }
    }
}

impl<'a> From<&'a v1::RegistryStatus> for Registry<'a> {
    fn from(registry: &'a v1::RegistryStatus) -> Self {
        Self {
            kind: &registry.kind,
            endpoint: &registry.endpoint,
            healthy: registry.healthy,
            error: &registry.error,
            names: registry.names,
        }
    }
}

/// "lease"; the number if it is newer than this program.
pub fn reason(reason: i32) -> String {
    let known = Reason::try_from(reason).ok().and_then(|reason| reason.as_str_name().strip_prefix("REASON_"));
    known.map_or_else(|| reason.to_string(), str::to_ascii_lowercase)
}
