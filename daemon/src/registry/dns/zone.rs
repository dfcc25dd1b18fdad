//! What the built-in DNS knows itself: the zone of names and the reverse zones of the prefixes.
//!
//! A map from attachments to names and addresses, kept in both directions. Names are served as AAAA below
//! the zone's apex, addresses as PTR below `ip6.arpa` (RFC 3596). The apex of the zone is its own name
//! server: a label such as `ns` might be a container's. Its AAAA are the listening addresses.
//!
//! A reverse zone begins at the first whole nibble at or after the prefix's length. A prefix that is not
//! nibble-aligned (/66) thus makes several zones next to each other, none of which covers an address
//! outside the prefix.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv6Addr;

use hickory_proto::rr::{
    self, RData, RecordType,
    rdata::{AAAA, NS, PTR, SOA},
};
use ipnet::Ipv6Net;

use super::reverse::Reverse;
use crate::model::{AttachmentId, Name, Record};

/// What the zones say about a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Not our zone: ask upstream.
    Elsewhere,
    /// Our zone, but no such name.
    Absent {
        /// The zone.
        apex: rr::Name,
    },
    /// Our zone and such a name, perhaps with nothing of the type asked for.
    Exists {
        /// The zone.
        apex: rr::Name,
        /// What is there of the type.
        data: Vec<RData>,
    },
}

/// What is served of one attachment: its name, which its address leads back to, its other names.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: Name,
    aliases: Vec<Name>,
    address: Ipv6Addr,
}

impl Entry {
    fn of(record: &Record) -> Self {
        Self { name: record.name.clone(), aliases: record.aliases.clone(), address: record.address }
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.name).chain(&self.aliases)
    }
}

/// The zones' contents.
#[derive(Debug)]
pub struct Zone {
    origin: rr::Name,
    prefixes: Vec<Ipv6Net>,
    servers: Vec<Ipv6Addr>,
    serial: u32,
    ttl: u32,
    records: HashMap<AttachmentId, Entry>,
    names: HashMap<Name, BTreeMap<AttachmentId, Ipv6Addr>>,
    addresses: BTreeMap<Ipv6Addr, BTreeMap<AttachmentId, Name>>,
}

impl Zone {
    /// Empty zones: `origin` for names, `prefixes` for addresses, served from the addresses `servers`.
    pub fn new(origin: rr::Name, ttl: u32, prefixes: Vec<Ipv6Net>, servers: Vec<Ipv6Addr>) -> Self {
        Self {
            origin,
            prefixes,
            servers,
            ttl,
            serial: 1,
            records: HashMap::new(),
            names: HashMap::new(),
            addresses: BTreeMap::new(),
        }
    }

    /// Time to live of every answer, in seconds.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// How many attachments are in the zone.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether exactly this is served.
    pub fn holds(&self, record: &Record) -> bool {
        self.records.get(&record.id) == Some(&Entry::of(record))
    }

    /// Adds or changes a record.
    pub fn insert(&mut self, record: &Record) {
        if self.holds(record) {
            return;
        }
        self.remove(record.id);
        self.serial = self.serial.wrapping_add(1);
        let entry = Entry::of(record);
        for name in entry.names() {
            self.names.entry(name.clone()).or_default().insert(record.id, record.address);
        }
        self.records.insert(record.id, entry);
        self.addresses.entry(record.address).or_default().insert(record.id, record.name.clone());
    }

    /// Removes a record, if it is there.
    pub fn remove(&mut self, id: AttachmentId) {
        let Some(entry) = self.records.remove(&id) else {
            return;
        };
        self.serial = self.serial.wrapping_add(1);
        for name in entry.names() {
            if let Some(ids) = self.names.get_mut(name) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.names.remove(name);
                }
            }
        }
        if let Some(ids) = self.addresses.get_mut(&entry.address) {
            ids.remove(&id);
            if ids.is_empty() {
                self.addresses.remove(&entry.address);
            }
        }
    }

    /// Looks a name up, without regard to case.
    pub fn find(&self, name: &rr::Name, kind: RecordType) -> Found {
        let lower = name.to_lowercase();
        let labels: Vec<&[u8]> = lower.iter().collect();
        let origin: Vec<&[u8]> = self.origin.iter().collect();
        if let Some(below) = labels.strip_suffix(origin.as_slice()) {
            return self.find_name(below, kind);
        }
        match Reverse::parse(&labels) {
            Some(reverse) => self.find_address(&lower, &reverse, kind),
            None => Found::Elsewhere,
        }
    }

    fn find_name(&self, below: &[&[u8]], kind: RecordType) -> Found {
        let apex = self.origin.clone();
        let addresses: Vec<Ipv6Addr> = match below {
            [] => self.servers.clone(),
            [label] => {
                let name = std::str::from_utf8(label).ok().and_then(|text| text.parse::<Name>().ok());
                match name.and_then(|name| self.names.get(&name)) {
                    Some(ids) => ids.values().copied().collect(),
                    None => return Found::Absent { apex },
                }
            }
            _ => return Found::Absent { apex },
        };
        let mut data = if below.is_empty() { self.authority(kind) } else { Vec::new() };
        if matches!(kind, RecordType::AAAA | RecordType::ANY) {
            data.extend(addresses.into_iter().map(|address| RData::AAAA(AAAA(address))));
        }
        Found::Exists { apex, data }
    }

    fn find_address(&self, name: &rr::Name, reverse: &Reverse, kind: RecordType) -> Found {
        let Some(cut) = self.prefixes.iter().find_map(|prefix| reverse.cut(prefix)) else {
            return Found::Elsewhere;
        };
        let apex = name.trim_to(cut + Reverse::SUFFIX);
        let mut data = if reverse.is_apex(cut) { self.authority(kind) } else { Vec::new() };
        if let Some(address) = reverse.address() {
            let Some(names) = self.pointers(address) else {
                return Found::Absent { apex };
            };
            if matches!(kind, RecordType::PTR | RecordType::ANY) {
                data.extend(names.into_iter().map(|name| RData::PTR(PTR(name))));
            }
        } else if !reverse.is_apex(cut) && !self.any_below(reverse) {
            return Found::Absent { apex };
        }
        Found::Exists { apex, data }
    }

    /// The names of an address, `None` if it has none.
    fn pointers(&self, address: Ipv6Addr) -> Option<Vec<rr::Name>> {
        if let Some(ids) = self.addresses.get(&address) {
            let full = |name: &Name| rr::Name::from_labels([name.as_str().as_bytes()]).ok();
            let names = ids.values().filter_map(full);
            let mut names: Vec<_> = names.filter_map(|name| name.append_domain(&self.origin).ok()).collect();
            names.sort();
            names.dedup();
            return Some(names);
        }
        self.servers.contains(&address).then(|| vec![self.origin.clone()])
    }

    /// Whether any address lies below an inner node of a reverse zone. Such a node exists although it
    /// holds nothing, and denying it would deny everything below (RFC 8020).
    fn any_below(&self, reverse: &Reverse) -> bool {
        let Some(range) = reverse.range() else {
            return false;
        };
        self.addresses.range(range.clone()).next().is_some()
            || self.servers.iter().any(|server| range.contains(server))
    }

    /// What stands at an apex.
    fn authority(&self, kind: RecordType) -> Vec<RData> {
        let mut data = Vec::new();
        if matches!(kind, RecordType::SOA | RecordType::ANY) {
            data.push(RData::SOA(self.soa()));
        }
        if matches!(kind, RecordType::NS | RecordType::ANY) {
            data.push(RData::NS(NS(self.origin.clone())));
        }
        data
    }

    /// The start of authority (RFC 1035, 3.3.13). Its minimum, the time to live of negative answers
    /// (RFC 2308), is that of positive ones: a name must appear as quickly as it goes.
    pub fn soa(&self) -> SOA {
        let mailbox = self.origin.prepend_label("hostmaster").unwrap_or_else(|_| self.origin.clone());
        SOA::new(self.origin.clone(), mailbox, self.serial, 3600, 600, 86_400, self.ttl)
    }
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
