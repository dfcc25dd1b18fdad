//! What the host itself needs, done so that it loses nothing: forwarding without losing the default
//! route, and no prefix on two links.
//!
//! Every change to a sysctl is remembered with its old value, in a file, so that `v6pod cleanup` can
//! put it back.

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::Ipv6Net;
use netlink_packet_route::{RouteNetlinkMessage, address::AddressAttribute};
use serde::{Deserialize, Serialize};

use super::{
    Error,
    netlink::{Link, Socket},
    request,
};

const CONF: &str = "/proc/sys/net/ipv6/conf";

/// The sysctls that were changed, by path, with the value each had before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    #[serde(skip)]
    file: PathBuf,
    #[serde(flatten)]
    before: BTreeMap<String, String>,
}

impl Changes {
    /// The changes remembered in `file`, which need not exist.
    ///
    /// # Errors
    /// The file cannot be read or is not what we wrote.
    pub fn load(file: &Path) -> io::Result<Self> {
        let mut changes: Self = match fs::read(file) {
            Ok(octets) => serde_json::from_slice(&octets)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error),
        };
        file.clone_into(&mut changes.file);
        Ok(changes)
    }

    /// Sets a sysctl if it is not so already, remembering what it was before the first change.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), Error> {
        let fail = |source| Error::Sysctl { path: path.to_owned(), source };
        let before = fs::read_to_string(path).map_err(fail)?;
        if before.trim() == value {
            return Ok(());
        }
        if !self.before.contains_key(path) {
            self.before.insert(path.to_owned(), before.trim().to_owned());
            // Remembered first: a crash in between must not make us forget.
            let text = serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(fail)?;
            crate::store::replace(&self.file, &text).map_err(fail)?;
        }
        tracing::info!(path, from = before.trim(), to = value, "changed a sysctl");
        fs::write(path, value).map_err(fail)
    }
}

/// Turns on IPv6 forwarding without losing default routes.
///
/// With forwarding on, Linux no longer honours router advertisements unless `accept_ra` is 2, and
/// drops the routes it has from them the moment it is turned on (`rt6_purge_dflt_routers` from
/// `addrconf_forward_change`). So every interface that listens to routers now is first told to go on.
///
/// # Errors
/// A sysctl cannot be set, or a default route was lost all the same; then forwarding is off again.
pub fn forward(changes: &mut Changes) -> Result<(), Error> {
    let all = format!("{CONF}/all/forwarding");
    let on = fs::read_to_string(&all).is_ok_and(|value| value.trim() != "0");
    if on {
        return Ok(());
    }
    let learned = advertised_defaults()?;
    for link in listeners()? {
        changes.set(&format!("{CONF}/{link}/accept_ra"), "2")?;
    }
    changes.set(&all, "1")?;
    let left = advertised_defaults()?;
    if let Some(lost) = learned.iter().find(|link| !left.contains(link)) {
        changes.set(&all, "0")?;
        return Err(Error::DefaultRoute(lost.clone()));
    }
    Ok(())
}

/// Says so if frames that a bridge forwards are also sent through ip6tables: then a DROP policy of
/// somebody else's, Docker's for one, keeps containers of this host from each other.
pub fn warn_of_bridge_filter() {
    const FILE: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
    if fs::read_to_string(FILE).is_ok_and(|value| value.trim() == "1") {
        tracing::warn!(
            sysctl = FILE,
            "ip6tables' FORWARD chain decides what containers of this host may send each other"
        );
    }
}

/// The interfaces that listen to routers: `accept_ra` is 1 and they do not forward.
fn listeners() -> Result<Vec<String>, Error> {
    let fail = |source| Error::Sysctl { path: CONF.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(CONF).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
        let value = |key: &str| fs::read_to_string(format!("{CONF}/{name}/{key}")).unwrap_or_default();
        let real = !matches!(name.as_str(), "all" | "default" | "lo");
        if real && value("accept_ra").trim() == "1" && value("forwarding").trim() == "0" {
            found.push(name);
        }
    }
    Ok(found)
}

/// The links with a default route from a router advertisement.
fn advertised_defaults() -> Result<Vec<String>, Error> {
    let fail = || Error::step("reading the routes", "the host");
    let mut socket = Socket::open().map_err(fail())?;
    let links = socket.links().map_err(fail())?;
    let routes = socket.dump(request::routes()).map_err(fail())?;
    Ok(routes
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) if request::is_advertised_default(route) => {
                let (_, index) = request::destination(route)?;
                Some(links.iter().find(|link| link.index == index)?.name.clone())
            }
            _ => None,
        })
        .collect())
}

/// Refuses a prefix that is on another link, whole or in part. A wider one there (the uplink's /64
/// that ours was cut from) is no conflict: the longer prefix wins.
///
/// # Errors
/// [`Error::Overlap`], or the kernel would not say.
pub fn no_overlap(prefix: Ipv6Net, own_link: u32) -> Result<(), Error> {
    let fail = || Error::step("reading addresses and routes", "the host");
    let mut socket = Socket::open().map_err(fail())?;
    let links = socket.links().map_err(fail())?;
    let mut present: Vec<(Ipv6Net, u32)> = Vec::new();
    for message in socket.dump(request::routes()).map_err(fail())? {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            present.extend(request::destination(&route));
        }
    }
    for message in socket.dump(request::addresses()).map_err(fail())? {
        let RouteNetlinkMessage::NewAddress(found) = message else { continue };
        let address = found.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(IpAddr::V6(address)) => Some(*address),
            _ => None,
        });
        if let Some(net) = address.and_then(|a| Ipv6Net::new(a, 128).ok()) {
            present.push((net, found.header.index));
        }
    }
    let conflict = present.into_iter().find(|(net, link)| *link != own_link && prefix.contains(net));
    let name =
        |index| links.iter().find(|l: &&Link| l.index == index).map_or("?".to_owned(), |l| l.name.clone());
    conflict.map_or(Ok(()), |(other, link)| Err(Error::Overlap { prefix, other, link: name(link) }))
}
