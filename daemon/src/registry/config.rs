//! The `[dns]` and `[consul]` tables: as written, and checked.
//!
//! Unknown keys are refused by serde, values by [`Config::check`], which reports everything that is wrong
//! at once.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{consul, dns};

/// A value that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// `dns.zone`
    #[error("dns.zone: {0:?} is not a domain of RFC 1123 labels below the root and outside arpa")]
    Zone(String),
    /// `dns.forward`
    #[error("dns.forward: {0:?} is not an IP address, with or without a port (\"[2001:db8::53]:5353\")")]
    Forward(String),
    /// `dns.ttl`
    #[error("dns.ttl: {0} s is more than a day")]
    Ttl(u32),
    /// `consul.address`
    #[error("consul.address: {address:?} {reason}")]
    Address {
        /// As written.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `consul.mode = "node"`
    #[error("consul.mode: \"node\" is not supported yet; \"service\" publishes NAME.service.consul")]
    NodeMode,
    /// `consul.mode`
    #[error("consul.mode: {0:?} is not a mode; \"service\" is")]
    Mode(String),
    /// `consul.domain`
    #[error("consul.domain: {0:?} is not a domain of RFC 1123 labels")]
    Domain(String),
    /// `consul.tags`
    #[error("consul.tags: {0:?} is empty, longer than 255 bytes, or holds control characters")]
    Tag(String),
    /// `consul.tags`
    #[error("consul.tags: {0} tags are more than 32")]
    Tags(usize),
    /// `consul.ca_file`
    #[error("consul.ca_file: needs an address that begins with https://")]
    NeedlessCa,
    /// `consul.probation`
    #[error("consul.probation: {0} s is more than an hour")]
    Probation(u64),
    /// `consul.sync`
    #[error("consul.sync: {0} s is not within 1 to 300")]
    Sync(u64),
}

/// `[dns]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawDns {
    /// Whether the built-in DNS runs.
    pub enabled: bool,
    /// The domain the names live in.
    pub zone: String,
    /// Name servers for everything else; absent: those of resolv.conf; empty: none.
    pub forward: Option<Vec<String>>,
    /// How long, in seconds, a client may remember an answer.
    pub ttl: u32,
}

impl Default for RawDns {
    fn default() -> Self {
        Self { enabled: true, zone: "v6pod".to_owned(), forward: None, ttl: 0 }
    }
}

/// `[consul]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawConsul {
    /// `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH` of the agent on this host.
    pub address: String,
    /// The certificates to trust for https, in PEM; absent: the system's.
    pub ca_file: Option<PathBuf>,
    /// Holds the ACL token; read again for every request.
    pub token_file: Option<PathBuf>,
    /// `service`: names are `NAME.service.consul`.
    pub mode: String,
    /// The domain Consul answers for.
    pub domain: String,
    /// Tags for each service, besides `v6pod`.
    pub tags: Vec<String>,
    /// Whether tags that callers ask for are published too. A load balancer that is steered by tags then
    /// obeys whoever may start a container.
    pub caller_tags: bool,
    /// How long after the start, in seconds, entries of ours that nobody wants are left alone.
    pub probation: u64,
    /// How often, in seconds, the agent's list is compared with what should be there.
    pub sync: u64,
}

impl Default for RawConsul {
    fn default() -> Self {
        Self {
            address: "http://127.0.0.1:8500".to_owned(),
            ca_file: None,
            token_file: None,
            mode: "service".to_owned(),
            domain: "consul".to_owned(),
            tags: Vec::new(),
            caller_tags: false,
            probation: 60,
            sync: 30,
        }
    }
}

/// Both tables, checked. `None` is switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The built-in DNS.
    pub dns: Option<dns::Config>,
    /// Consul.
    pub consul: Option<consul::Config>,
}

impl Config {
    /// Checks both tables and reports all that is wrong. `resolv_conf` names the file whose name servers
    /// are asked when `dns.forward` is absent.
    pub fn check(dns: &RawDns, consul: Option<&RawConsul>, resolv_conf: &Path) -> Result<Self, Vec<Invalid>> {
        let mut wrong = Vec::new();
        let dns_config = dns::Config::check(dns, resolv_conf, &mut wrong);
        let consul_config = consul.and_then(|raw| consul::Config::check(raw, &mut wrong));
        if wrong.is_empty() {
            Ok(Self { dns: dns_config.filter(|_| dns.enabled), consul: consul_config })
        } else {
            Err(wrong)
        }
    }
}

/// Whether this is a domain of lower- or upper-case RFC 1123 labels, without the final dot, short enough
/// (190 of the 255 octets of RFC 1035) to hold one more label.
pub(super) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 190 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dns: &str, consul: &str) -> Result<Config, Vec<String>> {
        let dns: RawDns = toml::from_str(dns).unwrap();
        let consul: RawConsul = toml::from_str(consul).unwrap();
        Config::check(&dns, Some(&consul), Path::new("/nowhere"))
            .map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_fine_and_dns_alone() {
        let config = Config::check(&RawDns::default(), None, Path::new("/etc/resolv.conf")).unwrap();
        assert!(config.dns.is_some() && config.consul.is_none());
        assert!(check("enabled = false", "").unwrap().dns.is_none());
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<RawDns>("zones = \"x\"").is_err());
        assert!(toml::from_str::<RawConsul>("script = \"x\"").is_err());
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let dns = "zone = \"a b\"\nforward = [\"1.2.3\", \"::1\"]\nttl = 100000";
        let consul = "address = \"ftp://x\"\nmode = \"node\"\ntags = [\"\", \"a\\nb\"]\nsync = 0\n\
                      probation = 9999\ndomain = \"-\"";
        let wrong = check(dns, consul).unwrap_err();
        assert_eq!(wrong.len(), 10, "{wrong:#?}");
        assert!(wrong.iter().all(|line| !line.contains('\n')));
    }

    #[test]
    fn zones_of_others_are_refused() {
        for zone in ["", ".", "arpa", "ip6.arpa", "a..b", "-a", "ünï", &"a".repeat(64), &"a.".repeat(100)] {
            assert!(check(&format!("zone = {zone:?}"), "").is_err(), "{zone:?}");
        }
        for zone in ["v6pod", "Pods.Example.org", "v6pod."] {
            assert!(check(&format!("zone = {zone:?}"), "").is_ok(), "{zone:?}");
        }
    }
}
