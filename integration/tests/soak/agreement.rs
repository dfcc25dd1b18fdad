//! Whether everything that could know of an attachment knows the same ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv6Addr,
};

use serde_json::Value;
use v6pod_integration::{Consul, Host};

use crate::users::Life;

const GATEWAY: &str = "2001:db8:1::1";
/// The guard's sets that are not about attachments.
const CONSTANT: [&str; 6] = ["bridges", "messages", "protocols", "transports", "discovery", "errors"];
/// The guard's sets of a limited container's conversations, before its id: what is in them is the container's doing.
const CONVERSATIONS: [&str; 2] = ["with_", "served_"];
/// The guard's chains of a limited container, before its id.
const CHAINS: [&str; 3] = ["in_", "out_", "serves_"];

/// Where to look.
pub struct Agreement<'a> {
    pub host: &'a Host,
    pub consul: &'a Consul,
    /// Every name that may have been published.
    pub names: Vec<String>,
}

/// An attachment as the daemon tells it.
#[derive(Debug)]
pub struct Told {
    address: String,
    name: String,
    mac: String,
    uid: String,
    inbound: String,
}

impl Agreement<'_> {
    /// The attachments there are, if all agree on them, and each of these lives is among them unless its link
    /// was cut.
    pub fn reached(&self, lives: &[Life], cut: &[String]) -> Result<Vec<Told>, String> {
        let list = self.host.run(["v6pod", "list", "--json"]).json();
        let told: BTreeMap<String, Told> =
            list["attachments"].as_array().into_iter().flatten().map(as_told).collect();
        let ids: BTreeSet<&str> = told.keys().map(String::as_str).collect();
        let expected: BTreeSet<&str> = lives.iter().map(|life| life.attached.id.as_str()).collect();
        let lost: Vec<_> = expected.difference(&ids).filter(|id| !cut.iter().any(|cut| cut == *id)).collect();
        if !lost.is_empty() {
            return Err(format!("lost: {lost:?}"));
        }
        let left: Vec<_> = ids.difference(&expected).collect();
        if !left.is_empty() {
            return Err(format!("nobody has these any more: {left:?}"));
        }
        self.kernel(&told, &ids)?;
        self.guard(&told)?;
        self.dns(&told)?;
        self.in_consul(&told)?;
        Ok(told.into_values().collect())
    }

    fn kernel(&self, told: &BTreeMap<String, Told>, ids: &BTreeSet<&str>) -> Result<(), String> {
        let addresses: BTreeSet<&str> = told.values().map(|told| told.address.as_str()).collect();
        same("records", ids, "ls /var/lib/v6pod/attachments | sed 's/[.]json$//'", self.host)?;
        same("links", ids, "ip -o link show type veth | grep -oP '(?<=v6p)[0-9a-f]{12}(?=@)'", self.host)?;
        same("marks", ids, "ip -d link | grep -oP '(?<=alias v6pod:)[0-9a-f]{12}$'", self.host)?;
        let entries = "bridge fdb show | grep static | grep -oP '(?<=dev v6p)[0-9a-f]{12}' | sort -u";
        same("forwarding entries", ids, entries, self.host)?;
        let neighbours = "ip -6 neigh show nud permanent dev v6pod0 | cut -d' ' -f1";
        same("neighbours", &addresses, neighbours, self.host)
    }

    /// Every set of the guard's tables has the elements of these attachments and no others, and who is limited has
    /// sets and chains of its own.
    fn guard(&self, told: &BTreeMap<String, Told>) -> Result<(), String> {
        let ruleset = self.host.run(["nft", "--json", "--numeric", "list", "ruleset"]).json();
        let objects = || ruleset["nftables"].as_array().into_iter().flatten();
        let sets = objects()
            .flat_map(|object| [&object["set"], &object["map"]])
            .filter(|set| !set["name"].is_null() && !CONSTANT.contains(&text(set, "name").as_str()));
        let elements = |set| elements(set).map(move |element| format!("{} {element}", text(set, "name")));
        let chains = objects().map(|object| text(&object["chain"], "name"));
        let own = |name: &String, kinds: &[&str]| kinds.iter().any(|kind| name.starts_with(kind));
        let (talk, sets): (Vec<_>, Vec<_>) = sets.partition(|set| own(&text(set, "name"), &CONVERSATIONS));
        let found: BTreeSet<String> = sets
            .into_iter()
            .flat_map(elements)
            .chain(talk.into_iter().map(|set| text(set, "name")))
            .chain(chains.filter(|name| own(name, &CHAINS)))
            .collect();
        let expected: BTreeSet<String> = told.iter().flat_map(|(id, told)| told.elements(id)).collect();
        let surplus: Vec<_> = found.difference(&expected).collect();
        let missing: Vec<_> = expected.difference(&found).collect();
        if surplus.is_empty() && missing.is_empty() {
            return Ok(());
        }
        Err(format!("nftables has {surplus:?} too much and lacks {missing:?}"))
    }

    /// Each name stands for its address, the address for the name, and no other name for anything.
    fn dns(&self, told: &BTreeMap<String, Told>) -> Result<(), String> {
        let named: BTreeMap<&str, &str> = told
            .values()
            .filter(|told| !told.name.is_empty())
            .map(|t| (t.name.as_str(), t.address.as_str()))
            .collect();
        for name in &self.names {
            let found = self.dig(&[&format!("{name}.v6pod"), "AAAA"]);
            let expected = named.get(name.as_str()).copied().unwrap_or_default();
            if found != expected {
                return Err(format!("DNS: {name} is {found:?} and not {expected:?}"));
            }
        }
        for (name, address) in named {
            let found = self.dig(&["-x", address]);
            if found != format!("{name}.v6pod.") {
                return Err(format!("DNS: {address} is {found:?} and not {name}"));
            }
        }
        Ok(())
    }

    fn dig(&self, question: &[&str]) -> String {
        let server = format!("@{GATEWAY}");
        let start = ["dig", &server, "+short", "+time=2", "+tries=2"];
        self.host.try_run(start.iter().chain(question)).text().to_owned()
    }

    fn in_consul(&self, told: &BTreeMap<String, Told>) -> Result<(), String> {
        let services = self.consul.get("agent/services");
        let pair = |service: &Value| format!("{} {}", text(service, "Service"), text(service, "Address"));
        let found: BTreeSet<String> =
            services.as_object().into_iter().flatten().map(|(_, s)| pair(s)).collect();
        let named = told.values().filter(|told| !told.name.is_empty());
        let expected: BTreeSet<String> =
            named.map(|told| format!("{} {}", told.name, told.address)).collect();
        if found == expected { Ok(()) } else { Err(format!("Consul has {found:?} and not {expected:?}")) }
    }
}

impl Told {
    /// Whether not everything may reach it.
    pub fn is_limited(&self) -> bool {
        self.inbound != "open"
    }

    /// Its elements on a network that keeps users apart: the name of the set, and the element's parts.
    fn elements(&self, id: &str) -> Vec<String> {
        let Self { address, mac, uid, .. } = self;
        let octets: Vec<u8> = mac.split(':').map(|o| u8::from_str_radix(o, 16).expect("an octet")).collect();
        let [a, b, c, d, e, f] = octets[..] else { panic!("not a MAC: {mac}") };
        // RFC 4291, appendix A.
        let link_local = Ipv6Addr::from_bits(
            0xfe80 << 112 | u128::from(u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])),
        );
        let mut elements = vec![
            format!("addresses v6p{id} {mac} {address}"),
            format!("addresses v6p{id} {mac} {link_local}"),
            format!("senders v6p{id} {mac}"),
            format!("isolation v6p{id} same_tenant"),
            format!("tenant_of v6p{id} {uid}"),
            format!("tenants {uid} v6p{id}"),
            format!("user_of {address} {uid}"),
            format!("users {uid} {address}"),
        ];
        if self.is_limited() {
            elements.extend(CONVERSATIONS.iter().chain(&CHAINS).map(|kind| format!("{kind}{id}")));
            elements.push(format!("outgoing v6p{id} out_{id}"));
            elements.push(format!("incoming v6p{id} in_{id}"));
        }
        elements
    }
}

fn as_told(attachment: &Value) -> (String, Told) {
    let [address, name, mac, inbound] =
        ["address", "name", "mac", "inbound"].map(|key| text(attachment, key));
    let uid = attachment["uid"].to_string();
    (text(attachment, "id"), Told { address, name, mac, uid, inbound })
}

/// The elements of a set as nft(8) prints it, each as its parts with spaces between.
fn elements(set: &Value) -> impl Iterator<Item = String> {
    set["elem"].as_array().into_iter().flatten().map(|element| {
        let mut parts = Vec::new();
        leaves(element, &mut parts);
        parts.join(" ")
    })
}

fn leaves(value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| leaves(value, parts)),
        Value::Object(values) => values.values().for_each(|value| leaves(value, parts)),
        Value::String(text) => parts.push(text.clone()),
        other => parts.push(other.to_string()),
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Whether a script prints exactly these lines, in any order.
fn same(what: &str, expected: &BTreeSet<&str>, script: &str, host: &Host) -> Result<(), String> {
    let output = host.try_run(["bash", "-c", script]);
    let found: BTreeSet<&str> = output.stdout.lines().collect();
    if found == *expected { Ok(()) } else { Err(format!("{what}: {found:?} and not {expected:?}")) }
}
