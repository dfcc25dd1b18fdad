//! What the host itself needs, done so that it loses nothing: forwarding without losing the default
//! route, and no prefix on two links.
//!
//! Every change to a sysctl is remembered with its old value, in a file, so that `v6pod cleanup --all` can
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

/// What is written to sysctls, by the last part of their path.
const VALUES: [(&str, &str); 2] = [("forwarding", "1"), ("accept_ra", "2")];

/// The sysctls that were changed, by path, with the value each had before the first change of this boot.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    #[serde(skip)]
    file: PathBuf,
    /// The boot in which they were; absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    #[serde(flatten)]
    before: BTreeMap<String, String>,
}

/// A sysctl that was changed, and how it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its path.
    pub path: String,
    /// What it was before the first change.
    pub before: String,
    /// What it is.
    pub now: String,
}

impl Changed {
    /// Whether it is as v6podd left it.
    pub fn is_ours(&self) -> bool {
        value(&self.path) == Some(&self.now)
    }
}

/// What is written to a sysctl.
fn value(path: &str) -> Option<&'static str> {
    let key = path.rsplit('/').next()?;
    VALUES.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
}

fn read_value(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

impl Changes {
    /// The changes of this boot that are remembered in `file`, which need not exist. A start of the host puts
    /// its own values everywhere, so what an earlier boot had is of no interest.
    ///
    /// # Errors
    /// The file cannot be read or is not what we wrote.
    pub fn load(file: &Path, boot: &str) -> io::Result<Self> {
        let mut changes: Self = match fs::read(file) {
            Ok(octets) => serde_json::from_slice(&octets)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error),
        };
        if changes.boot.as_deref().is_some_and(|earlier| earlier != boot) {
            changes.before.clear();
        }
        file.clone_into(&mut changes.file);
        changes.boot = Some(boot.to_owned());
        Ok(changes)
    }

    /// The sysctls that are not as they were before, in the order in which they are to be put back: the
    /// forwarding of all interfaces first, so that listening to routers never ends in between.
    pub fn to_undo(&self) -> Vec<Changed> {
        let mut found: Vec<_> = self
            .before
            .iter()
            .filter(|(path, _)| !is_of_one(path))
            // Those of an interface that is gone went with it.
            .filter_map(|(path, before)| {
                let now = read_value(path).ok()?;
                (now != *before).then(|| Changed { path: path.clone(), before: before.clone(), now })
            })
            .collect();
        found.sort_by_key(|changed| !changed.path.ends_with("/forwarding"));
        found
    }

    /// Puts one back. The forwarding of all interfaces takes that of each along.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn undo(&self, changed: &Changed) -> io::Result<()> {
        fs::write(&changed.path, &changed.before)?;
        if changed.path != format!("{CONF}/all/forwarding") {
            return Ok(());
        }
        let each = self.before.iter().filter(|(path, _)| is_of_one(path));
        each.filter(|(path, _)| Path::new(path).exists())
            .try_for_each(|(path, before)| fs::write(path, before))
    }

    /// Sets a sysctl if it is not so already, remembering what it was before the first change.
    ///
    /// # Errors
    /// The file cannot be read or written.
    fn set(&mut self, path: &str, also: Vec<(String, String)>) -> Result<(), Error> {
        let fail = |source| Error::Sysctl { path: path.to_owned(), source };
        let to = value(path).unwrap_or_default();
        let before = read_value(path).map_err(fail)?;
        if before == to {
            return Ok(());
        }
        if !self.before.contains_key(path) {
            self.before.extend(also);
            self.before.insert(path.to_owned(), before.clone());
            // Remembered first: a crash in between must not make us forget.
            let text = serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(fail)?;
            crate::store::replace(&self.file, &text).map_err(fail)?;
        }
        // Whoever set it while that was written knows better.
        if read_value(path).map_err(fail)? != before {
            return Ok(());
        }
        tracing::info!(path, from = before, to, "changed a sysctl");
        fs::write(path, to).map_err(fail)
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
        changes.set(&format!("{CONF}/{link}/accept_ra"), Vec::new())?;
    }
    changes.set(&all, forwarders()?)?;
    let left = advertised_defaults()?;
    if let Some(lost) = learned.iter().find(|link| !left.contains(link)) {
        fs::write(&all, "0").map_err(|source| Error::Sysctl { path: all.clone(), source })?;
        return Err(Error::DefaultRoute(lost.clone()));
    }
    Ok(())
}

/// Tells a link that came up after forwarding was turned on to go on listening to routers. It does so only if it
/// would, but for us: `accept_ra` is 1, and it was v6podd that turned forwarding on, for this link too.
///
/// # Errors
/// The sysctl cannot be set.
pub fn keep_listening(changes: &mut Changes, link: &str) -> Result<(), Error> {
    let before = |of: &str| changes.before.get(&format!("{CONF}/{of}/forwarding")).map(String::as_str);
    // Of interfaces only those that forwarded by themselves are remembered, and what new ones were to do.
    if before("all") != Some("0") || before("default").is_some() || before(link).is_some() {
        return Ok(());
    }
    let now = |key: &str| read_value(&format!("{CONF}/{link}/{key}")).unwrap_or_default();
    if now("accept_ra") != "1" || now("forwarding") == "0" {
        return Ok(());
    }
    changes.set(&format!("{CONF}/{link}/accept_ra"), Vec::new())
}

/// Whether there may be routers on a link. Behind the host's ends of veths and taps there are containers and
/// virtual machines, which are no routers of the host's.
pub fn is_uplink(link: &Link) -> bool {
    let is_real = !matches!(link.name.as_str(), "all" | "default" | "lo");
    is_real && !matches!(link.kind.as_str(), "veth" | "tun")
}

/// The names of the links on which there may be routers.
///
/// # Errors
/// The kernel would not say.
pub fn uplinks() -> io::Result<Vec<String>> {
    let links = Socket::open()?.links()?;
    Ok(links.into_iter().filter(is_uplink).map(|link| link.name).collect())
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

/// Whether this is the forwarding of one interface, or of those to come.
fn is_of_one(path: &str) -> bool {
    path.ends_with("/forwarding") && path != format!("{CONF}/all/forwarding")
}

/// The interfaces that forward by themselves, with the value that says so. Turning off all of them would take
/// these along (`addrconf_fixup_forwarding`, net/ipv6/addrconf.c).
fn forwarders() -> Result<Vec<(String, String)>, Error> {
    let fail = |source| Error::Sysctl { path: CONF.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(CONF).map_err(fail)? {
        let path = format!("{CONF}/{}/forwarding", entry.map_err(fail)?.file_name().to_string_lossy());
        let now = read_value(&path).unwrap_or_default();
        if is_of_one(&path) && !now.is_empty() && now != "0" {
            found.push((path, now));
        }
    }
    Ok(found)
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
    let routes = socket.dump(&request::routes()).map_err(fail())?;
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
    for message in socket.dump(&request::routes()).map_err(fail())? {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            present.extend(request::destination(&route));
        }
    }
    for message in socket.dump(&request::addresses()).map_err(fail())? {
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
