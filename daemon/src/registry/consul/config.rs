//! The checked `[consul]` table.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use crate::registry::config::{Invalid, RawConsul, is_domain};

/// Every service of ours has it.
const OWN_TAG: &str = "v6pod";

/// Where the agent's HTTP API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// HTTP over TCP.
    Http {
        /// A name or an address (IPv6 in brackets, as in a URL) with a port.
        authority: String,
    },
    /// HTTP over TLS.
    Https {
        /// A name or an address, without brackets: what the certificate is for.
        host: String,
        /// As above.
        authority: String,
    },
    /// HTTP over a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { authority } => write!(f, "http://{authority}"),
            Self::Https { authority, .. } => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Consul, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the agent is.
    pub(super) endpoint: Endpoint,
    /// Whom to trust for https.
    pub(super) ca_file: Option<PathBuf>,
    /// Where the ACL token is.
    pub(super) token_file: Option<PathBuf>,
    /// Without dots at the ends.
    pub(super) domain: String,
    /// Tags of every service.
    pub(super) tags: Vec<String>,
    /// Whether callers' own tags are published too.
    pub(super) caller_tags: bool,
    /// How long after the start unwanted entries of ours stay.
    pub(super) probation: Duration,
    /// Between comparisons.
    pub(super) sync: Duration,
}

impl Config {
    /// Checks the table, adding what is wrong to `wrong`.
    pub(in crate::registry) fn check(raw: &RawConsul, wrong: &mut Vec<Invalid>) -> Option<Self> {
        let endpoint = endpoint(&raw.address)
            .map_err(|reason| wrong.push(Invalid::Address { address: raw.address.clone(), reason }))
            .ok();
        if raw.ca_file.is_some() && matches!(endpoint, Some(Endpoint::Http { .. } | Endpoint::Unix(_))) {
            wrong.push(Invalid::NeedlessCa);
        }
        match raw.mode.as_str() {
            "service" => {}
            "node" => wrong.push(Invalid::NodeMode),
            other => wrong.push(Invalid::Mode(other.to_owned())),
        }
        let domain = raw.domain.trim_end_matches('.');
        if !is_domain(domain) {
            wrong.push(Invalid::Domain(raw.domain.clone()));
        }
        if raw.probation > 3600 {
            wrong.push(Invalid::Probation(raw.probation));
        }
        if !(1..=300).contains(&raw.sync) {
            wrong.push(Invalid::Sync(raw.sync));
        }
        Some(Self {
            tags: tags(&raw.tags, wrong),
            caller_tags: raw.caller_tags,
            endpoint: endpoint?,
            ca_file: raw.ca_file.clone(),
            token_file: raw.token_file.clone(),
            domain: domain.to_owned(),
            probation: Duration::from_secs(raw.probation),
            sync: Duration::from_secs(raw.sync),
        })
    }
}

fn tags(raw: &[String], wrong: &mut Vec<Invalid>) -> Vec<String> {
    if raw.len() > 32 {
        wrong.push(Invalid::Tags(raw.len()));
    }
    let mut tags = vec![OWN_TAG.to_owned()];
    for tag in raw {
        if tag.is_empty() || tag.len() > 255 || tag.chars().any(char::is_control) {
            wrong.push(Invalid::Tag(tag.clone()));
        } else if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

/// Reads an address in Consul's own spelling (`CONSUL_HTTP_ADDR`).
fn endpoint(text: &str) -> Result<Endpoint, &'static str> {
    if let Some(path) = text.strip_prefix("unix://") {
        let path = PathBuf::from(path);
        return if path.is_absolute() { Ok(Endpoint::Unix(path)) } else { Err("is not an absolute path") };
    }
    let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err("does not begin with http://, https:// or unix://"),
    };
    let authority = uri.authority().ok_or("names no host")?;
    if authority.as_str().contains('@') {
        return Err("holds credentials; use token_file");
    }
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
        return Err("has a path after the port");
    }
    let host = authority.host().to_owned();
    if host.is_empty() {
        return Err("names no host");
    }
    let default: u16 = if tls { 8501 } else { 8500 };
    let port = match authority.as_str().strip_prefix(&host).and_then(|rest| rest.strip_prefix(':')) {
        None => default,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("has no usable port")?,
    };
    let authority = format!("{host}:{port}");
    if !tls {
        return Ok(Endpoint::Http { authority });
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Endpoint::Https { host, authority })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_all_spellings() {
        let shown = |text| endpoint(text).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("http://127.0.0.1:8500").unwrap(), "http://127.0.0.1:8500");
        assert_eq!(shown("http://[::1]/").unwrap(), "http://[::1]:8500");
        assert_eq!(shown("https://consul.example").unwrap(), "https://consul.example:8501");
        assert_eq!(shown("unix:///run/consul/http.sock").unwrap(), "unix:///run/consul/http.sock");
        let https = endpoint("https://[2001:db8::1]:1").unwrap();
        let authority = "[2001:db8::1]:1".to_owned();
        assert_eq!(https, Endpoint::Https { host: "2001:db8::1".to_owned(), authority });
    }

    #[test]
    fn addresses_that_are_refused() {
        for text in [
            "",
            "127.0.0.1:8500",
            "ftp://x",
            "http://",
            "http://u:p@x",
            "http://x/v1",
            "http://x?y",
            "http://x:0",
            "http://x:99999",
            "unix://run/x",
            "http://a b",
        ] {
            assert!(endpoint(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn our_tag_comes_first_and_once() {
        let raw = ["a", "v6pod", "a"].map(str::to_owned);
        assert_eq!(tags(&raw, &mut Vec::new()), ["v6pod", "a"]);
    }
}
