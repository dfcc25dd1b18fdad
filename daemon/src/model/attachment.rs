//! An attachment: one network namespace on one network, as it is kept in memory and on disk.

use std::{fmt, net::Ipv6Addr, str::FromStr, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::{ContainerId, Inbound, InterfaceName, Mac, Name, NetworkName, Tag};

/// The daemon's own id of an attachment: 48 bits, shown as 12 lower-case hexadecimal digits.
///
/// The host's interface is named after it (`v6p` and the id: 15 octets, IFNAMSIZ less one), and the
/// link's alias is `v6pod:` and the id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttachmentId(u64);

impl AttachmentId {
    /// The id made of the low 48 bits.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & 0xffff_ffff_ffff)
    }

    /// The name of the host's end of the link.
    pub fn host_interface(self) -> String {
        format!("v6p{self}")
    }

    /// The index that the host's end is given: 30 bits of the id, above those that the kernel counts up.
    ///
    /// It has to differ from the far end's index in its own namespace. Where they are equal, Linux does
    /// not see that the ends are linked (`linkwatch_urgent_event` in net/core/link_watch.c compares
    /// `dev_get_iflink` with the index) and takes up to a second to notice that the link is up.
    pub fn host_index(self) -> u32 {
        const ABOVE: u32 = 1 << 30;
        let [.., a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d]) & (ABOVE - 1) | ABOVE
    }

    /// The mark that every link of ours carries as its alias.
    pub fn alias(self) -> String {
        format!("v6pod:{self}")
    }

    /// The id in a link's alias, if it is one of ours.
    pub fn from_alias(alias: &str) -> Option<Self> {
        alias.strip_prefix("v6pod:")?.parse().ok()
    }
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 12 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("an attachment's id is 12 lower-case hexadecimal digits")]
pub struct NotAnId;

impl FromStr for AttachmentId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 12 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NotAnId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAnId)
    }
}

impl TryFrom<String> for AttachmentId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<AttachmentId> for String {
    fn from(id: AttachmentId) -> Self {
        id.to_string()
    }
}

/// What tells one network namespace from another while both live: the device and inode of its nsfs
/// file (namespaces(7)). The kernel uses an inode again once a namespace is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NamespaceId {
    /// The device of nsfs (on 3.10: of procfs).
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

/// What finds a lease pipe again after a restart: the process that held its write end, and the pipe's
/// inode, which proves that a pipe found there is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseId {
    /// The client's process, which became slirp4netns. A hint only.
    pub pid: i32,
    /// The pipe's inode in pipefs.
    pub pipe: u64,
}

/// Where an attachment stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Recorded; the kernel is being changed.
    Attaching,
    /// In use.
    Active,
    /// Being removed.
    Detaching,
}

/// One network namespace on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// The network.
    pub network: NetworkName,
    /// Its owner, from SO_PEERCRED.
    pub uid: u32,
    /// Its owner's primary group, likewise. Of records that do not say: nobody's.
    #[serde(default = "nobody")]
    pub gid: u32,
    /// The container, if the client knew.
    pub container_id: Option<ContainerId>,
    /// The name it is published under.
    pub name: Option<Name>,
    /// Further names.
    #[serde(default)]
    pub aliases: Vec<Name>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// The interface inside.
    pub interface: InterfaceName,
    /// Its address.
    pub address: Ipv6Addr,
    /// The MAC of the interface inside: the low 48 bits of the address.
    pub mac: Mac,
    /// The MTU in octets.
    pub mtu: u32,
    /// Whether it has a default route through the gateway.
    pub default_route: bool,
    /// What may reach it.
    #[serde(default)]
    pub inbound: Inbound,
    /// The namespace it is the attachment of.
    pub namespace: NamespaceId,
    /// The lease that holds it, if any.
    pub lease: Option<LeaseId>,
    /// When it was made.
    pub created: SystemTime,
    /// Where it stands.
    pub state: State,
    /// The user it is charged to, where that is another than the owner: see `auth::subid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<u32>,
    /// Those groups of the owner's process that rules speak of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// Whether the owner chose the address.
    #[serde(default)]
    pub fixed: bool,
    /// Why the rules in force forbid it, if they do. Found out anew at each start and reload.
    #[serde(skip)]
    pub forbidden: Option<String>,
}

/// `(gid_t) -1`, which no process can have.
fn nobody() -> u32 {
    u32::MAX
}

impl Attachment {
    /// The user whose quota it uses; none: root, who has none.
    pub fn account(&self) -> Option<u32> {
        (self.uid != 0).then(|| self.charged.unwrap_or(self.uid))
    }

    /// What stays the same of it over restarts: the name, else the container's id, else nothing.
    pub fn label(&self) -> &str {
        let container = || self.container_id.as_ref().map_or("", ContainerId::as_str);
        self.name.as_ref().map_or_else(container, Name::as_str)
    }

    /// What registries publish of it: nothing without a name, nothing before it is committed.
    pub fn record(&self) -> Option<Record> {
        if self.state != State::Active {
            return None;
        }
        Some(Record {
            id: self.id,
            name: self.name.clone()?,
            aliases: self.aliases.clone(),
            tags: self.tags.clone(),
            address: self.address,
            uid: self.uid,
            container_id: self.container_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            network: self.network.to_string(),
        })
    }
}

#[cfg(test)]
impl Attachment {
    /// An attachment for unit tests.
    pub fn made_up(bits: u64, uid: u32) -> Self {
        Self {
            id: AttachmentId::from_bits(bits),
            network: NetworkName::from_str("default").unwrap(),
            uid,
            gid: uid,
            inbound: Default::default(),
            container_id: None,
            name: None,
            aliases: Vec::new(),
            tags: Vec::new(),
            interface: InterfaceName::from_str("v6pod0").unwrap(),
            address: Ipv6Addr::UNSPECIFIED,
            mac: Mac::from_bits(bits),
            mtu: 1500,
            default_route: true,
            namespace: NamespaceId { device: 4, inode: bits },
            lease: None,
            created: SystemTime::UNIX_EPOCH,
            state: State::Active,
            charged: None,
            groups: Vec::new(),
            fixed: false,
            forbidden: None,
        }
    }
}

/// What a registry publishes: a committed attachment that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The attachment.
    pub id: AttachmentId,
    /// Its name, unique among all records of the daemon, but for networks that share names.
    pub name: Name,
    /// Further names, which several records of one owner may share. For the built-in DNS.
    pub aliases: Vec<Name>,
    /// Tags, for registries that have such a thing.
    pub tags: Vec<Tag>,
    /// Its address.
    pub address: Ipv6Addr,
    /// Its owner.
    pub uid: u32,
    /// The container's id, empty if unknown.
    pub container_id: String,
    /// The network's name.
    pub network: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_an_interface_name_and_come_back() {
        let id = AttachmentId::from_bits(u64::MAX);
        assert_eq!(id.host_interface().len(), 15);
        assert_eq!(AttachmentId::from_alias(&id.alias()), Some(id));
        for text in ["", "v6pod:", "v6pod:xyz", "v6pod:0123456789AB", "v6pod:0123456789abc", "other"] {
            assert_eq!(AttachmentId::from_alias(text), None, "{text}");
        }
    }
}
