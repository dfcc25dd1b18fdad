//! Attachments: what attachments.proto answers.

use std::time::SystemTime;

use serde::Serialize;
use v6pod_proto::v1::{self, attachment::State, watch_response::Kind};

use crate::text;

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

/// `Attachment`.
#[derive(Serialize)]
pub struct Attachment<'a> {
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
