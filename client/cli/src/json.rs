//! The answers as JSON: the messages of `v6pod.v1` with their own field names, every field always there.
//!
//! It is protobuf's JSON mapping with two differences that make it easier on scripts: enums are lower
//! case without their prefix ("active"), and a field that is empty is written too.

use std::{io, time::SystemTime};

use serde::Serialize;
use v6pod_proto::v1::{self, attachment::State, history_entry::Reason, watch_response::Kind};

use crate::text;

/// The document, indented, with its line end.
pub fn document(value: &impl Serialize) -> io::Result<String> {
    Ok(safe(&serde_json::to_string_pretty(value)?))
}

/// The document on one line, with its line end.
pub fn line(value: &impl Serialize) -> io::Result<String> {
    Ok(safe(&serde_json::to_string(value)?))
}

/// serde_json escapes as little as JSON allows; a terminal would act on some of the rest. What is not
/// printable can only stand inside strings, but for the line ends between.
fn safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if character == '\n' || text::is_printable(character) {
            safe.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe.push('\n');
    safe
}

/// `ListResponse`.
#[derive(Serialize)]
pub struct List<'a> {
    attachments: Vec<Attachment<'a>>,
}

/// `GetResponse`, `DeactivateResponse` and `ExposeResponse`.
#[derive(Serialize)]
pub struct One<'a> {
    attachment: Attachment<'a>,
}

/// `ActivateResponse`.
#[derive(Serialize)]
pub struct Activated<'a> {
    attachment: Option<Attachment<'a>>,
    created: bool,
    dns_servers: &'a [String],
}

/// `CheckResponse`.
#[derive(Serialize)]
pub struct Check<'a> {
    problems: &'a [String],
}

/// `WatchResponse`, and when it came.
#[derive(Serialize)]
pub struct Event<'a> {
    time: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment<'a>>,
}

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

#[derive(Serialize)]
struct Quota {
    unlimited: bool,
    limit: u32,
    used: u32,
    left: u32,
}

#[derive(Serialize)]
struct Attachment<'a> {
    id: &'a str,
    network: &'a str,
    uid: u32,
    container_id: &'a str,
    name: &'a str,
    interface: &'a str,
    address: &'a str,
    prefix_length: u32,
    gateway: &'a str,
    mac: &'a str,
    mtu: u32,
    host_interface: &'a str,
    state: String,
    created: Option<String>,
    leased: bool,
    published: &'a [String],
    aliases: &'a [String],
    tags: &'a [String],
    forbidden: &'a str,
    inbound: &'a str,
}

#[derive(Serialize)]
struct Network<'a> {
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

#[derive(Serialize)]
struct Audit<'a> {
    file: bool,
    healthy: bool,
    error: &'a str,
    lost: u64,
}

#[derive(Serialize)]
struct Entry<'a> {
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

#[derive(Serialize)]
struct Registry<'a> {
    kind: &'a str,
    endpoint: &'a str,
    healthy: bool,
    error: &'a str,
    names: u32,
}

impl<'a> From<&'a v1::ListResponse> for List<'a> {
    fn from(list: &'a v1::ListResponse) -> Self {
        Self { attachments: list.attachments.iter().map(Attachment::from).collect() }
    }
}

impl<'a> From<&'a v1::Attachment> for One<'a> {
    fn from(attachment: &'a v1::Attachment) -> Self {
        Self { attachment: attachment.into() }
    }
}

impl<'a> From<&'a v1::ActivateResponse> for Activated<'a> {
    fn from(activated: &'a v1::ActivateResponse) -> Self {
        Self {
            attachment: activated.attachment.as_ref().map(Attachment::from),
            created: activated.created,
            dns_servers: &activated.dns_servers,
        }
    }
}

impl<'a> From<&'a v1::CheckResponse> for Check<'a> {
    fn from(check: &'a v1::CheckResponse) -> Self {
        Self { problems: &check.problems }
    }
}

impl<'a> Event<'a> {
    /// An event that came at `time`.
    pub fn new(event: &'a v1::WatchResponse, time: SystemTime) -> Self {
        Self {
            time: text::date(time),
            kind: kind(event.kind),
            attachment: event.attachment.as_ref().map(Attachment::from),
        }
    }
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

impl<'a> From<&'a v1::Attachment> for Attachment<'a> {
    fn from(attachment: &'a v1::Attachment) -> Self {
        Self {
            id: &attachment.id,
            network: &attachment.network,
            uid: attachment.uid,
            container_id: &attachment.container_id,
            name: &attachment.name,
            interface: &attachment.interface,
            address: &attachment.address,
            prefix_length: attachment.prefix_length,
            gateway: &attachment.gateway,
            mac: &attachment.mac,
            mtu: attachment.mtu,
            host_interface: &attachment.host_interface,
            state: state(attachment.state),
            created: attachment.created.as_ref().map(ToString::to_string),
            leased: attachment.leased,
            published: &attachment.published,
            aliases: &attachment.aliases,
            tags: &attachment.tags,
            forbidden: &attachment.forbidden,
            inbound: &attachment.inbound,
        }
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

/// "active"; the number if it is newer than this program.
pub fn state(state: i32) -> String {
    let known = State::try_from(state).ok().and_then(|state| state.as_str_name().strip_prefix("STATE_"));
    known.map_or_else(|| state.to_string(), str::to_ascii_lowercase)
}

/// "added"; the number if it is newer than this program.
pub fn kind(kind: i32) -> String {
    let known = Kind::try_from(kind).ok().and_then(|kind| kind.as_str_name().strip_prefix("KIND_"));
    known.map_or_else(|| kind.to_string(), str::to_ascii_lowercase)
}

/// "lease"; the number if it is newer than this program.
pub fn reason(reason: i32) -> String {
    let known = Reason::try_from(reason).ok().and_then(|reason| reason.as_str_name().strip_prefix("REASON_"));
    known.map_or_else(|| reason.to_string(), str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use serde_json::{Value, json};

    use super::*;

    /// The field names of a message of the contract.
    fn fields(message: &str) -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(v6pod_proto::DESCRIPTORS).unwrap();
        let ours = set.file.iter().filter(|file| file.package() == "v6pod.v1");
        let found = ours.flat_map(|file| &file.message_type).find(|found| found.name() == message);
        found.expect(message).field.iter().map(|field| field.name().to_owned()).collect()
    }

    fn keys(value: &impl Serialize) -> BTreeSet<String> {
        let Ok(Value::Object(object)) = serde_json::to_value(value) else { panic!("no object") };
        object.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_fields_are_the_contracts() {
        let attachment = v1::Attachment::default();
        assert_eq!(keys(&Attachment::from(&attachment)), fields("Attachment"));
        assert_eq!(keys(&Network::from(&v1::Network::default())), fields("Network"));
        assert_eq!(keys(&Registry::from(&v1::RegistryStatus::default())), fields("RegistryStatus"));
        assert_eq!(keys(&Status::from(&v1::StatusResponse::default())), fields("StatusResponse"));
        assert_eq!(keys(&Audit::from(&v1::AuditStatus::default())), fields("AuditStatus"));
        assert_eq!(keys(&History::from(&v1::HistoryResponse::default())), fields("HistoryResponse"));
        assert_eq!(keys(&Entry::from(&v1::HistoryEntry::default())), fields("HistoryEntry"));
        assert_eq!(keys(&Explain::from(&v1::ExplainResponse::default())), fields("ExplainResponse"));
        assert_eq!(keys(&Quota::from(&v1::Quota::default())), fields("Quota"));
        assert_eq!(keys(&List::from(&v1::ListResponse::default())), fields("ListResponse"));
        assert_eq!(keys(&Check::from(&v1::CheckResponse::default())), fields("CheckResponse"));
        assert_eq!(keys(&Activated::from(&v1::ActivateResponse::default())), fields("ActivateResponse"));
        assert_eq!(keys(&One::from(&attachment)), fields("GetResponse"));
        assert_eq!(keys(&One::from(&attachment)), fields("DeactivateResponse"));
        let event = v1::WatchResponse { kind: 3, attachment: Some(attachment) };
        let mut expected = fields("WatchResponse");
        expected.insert("time".to_owned());
        assert_eq!(keys(&Event::new(&event, SystemTime::UNIX_EPOCH)), expected);
    }

    #[test]
    fn values_are_readable() {
        let attachment = v1::Attachment {
            name: "web".to_owned(),
            state: State::Detaching.into(),
            created: Some(prost_types::Timestamp { seconds: 1_795_259_534, nanos: 250_000_000 }),
            ..Default::default()
        };
        let value = serde_json::to_value(Attachment::from(&attachment)).unwrap();
        assert_eq!(value["name"], "web");
        assert_eq!(value["state"], "detaching");
        assert_eq!(value["created"], "2026-11-21T11:12:14.250Z");
        assert_eq!(value["published"], json!([]));
        assert_eq!((state(99), kind(5)), ("99".to_owned(), "removed".to_owned()));
        let synced = v1::WatchResponse { kind: 2, attachment: None };
        let value = line(&Event::new(&synced, SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(value, "{\"time\":\"1970-01-01T00:00:00Z\",\"kind\":\"synced\"}\n");
    }

    #[test]
    fn terminals_have_nothing_to_act_on_and_programs_lose_nothing() {
        let problem = "\x1b]0;x\x07 \u{9b}31m \u{7f}\u{202e}\u{e0001}é\n\"\\".to_owned();
        let written = document(&Check { problems: std::slice::from_ref(&problem) }).unwrap();
        assert!(written.chars().all(|c| c == '\n' || text::is_printable(c)), "{written:?}");
        let read: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["problems"][0], problem);
    }
}
