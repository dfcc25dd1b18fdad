//! What a daemon leaves on the host: links, bridges, neighbours, rules, sysctls.

use std::{collections::HashMap, io, net::Ipv6Addr};

use super::{Done, Error, Found, Task};
use crate::{
    guard,
    model::{Attachment, AttachmentId, Mac},
    network::{
        self,
        bridge::{self, permanent_neighbours},
        host::Changes,
        netlink::{Link, Socket},
        request,
    },
    registry::Instance,
};

/// Everything there is, in the order in which it has to go: links before the rules that watch them, bridges
/// after their ports.
pub fn tasks<'a>(found: &Found<'a>) -> Result<Vec<Task<'a>>, Error> {
    let mut socket = Socket::open().map_err(Error::look("opening netlink"))?;
    let links = socket.links().map_err(Error::look("reading the links"))?;
    let known: HashMap<_, _> = found.remains.attachments.iter().map(|one| (one.id, one)).collect();
    let (ours, others): (Vec<_>, Vec<_>) =
        links.into_iter().partition(|link| is_bridge_of_ours(link, instance(found)));
    let mut tasks: Vec<_> = others.iter().filter_map(|link| port(link, &known)).collect();
    let ports = tasks.len();
    for link in &others {
        tasks.extend(neighbours(&mut socket, link, found).map_err(Error::look("reading the neighbours"))?);
    }
    tasks.extend(ours.iter().map(|link| {
        Task::remove("bridge", &link.name, gone_with(link.index)).with("with its addresses and routes")
    }));
    tasks.extend(rules(found, ports + ours.len() > 0)?);
    tasks.extend(sysctls(found));
    Ok(tasks)
}

fn instance(found: &Found<'_>) -> Option<Instance> {
    super::state::instance(found.config)
}

/// By its mark; or, if the daemon died before marking it, by the MAC that no other program gives.
fn is_bridge_of_ours(link: &Link, instance: Option<Instance>) -> bool {
    let has_our_mac = || {
        let start = instance.map(|instance| [&[0x0e], &instance.number().to_be_bytes()[..]].concat());
        start.is_some_and(|start| link.address.starts_with(&start))
    };
    link.kind == "bridge" && (link.alias.starts_with(bridge::MARK) || has_our_mac())
}

/// The host's end of an attachment: by its mark, or a veth of that name which a record tells of.
fn port<'a>(link: &Link, known: &HashMap<AttachmentId, &Attachment>) -> Option<Task<'a>> {
    let id = network::mark(link).or_else(|| {
        let id = link.name.strip_prefix("v6p")?.parse().ok()?;
        (link.kind == "veth" && known.contains_key(&id)).then_some(id)
    })?;
    let detail =
        known.get(&id).map_or_else(|| "of an attachment without a record".to_owned(), |one| describe(one));
    Some(Task::remove("link", &link.name, gone_with(link.index)).with(detail))
}

fn describe(attachment: &Attachment) -> String {
    format!("{} of uid {}", attachment.address, attachment.uid)
}

fn gone_with(index: u32) -> impl FnOnce() -> Result<(), String> + 'static {
    move || {
        bridge::gone_is_fine(Socket::open().and_then(|mut socket| socket.delete_link(index)))
            .map_err(|error| error.to_string())
    }
}

/// Entries on a bridge that was only joined: of attachments that have a record, or of our form on a link that
/// the configuration names. On our own bridge they go with it.
fn neighbours<'a>(socket: &mut Socket, link: &Link, found: &Found<'a>) -> io::Result<Vec<Task<'a>>> {
    let joined: Vec<_> =
        found.config.networks.iter().filter(|network| network.join && network.bridge == link.name).collect();
    let records = &found.remains.attachments;
    let is_ours = |address: Ipv6Addr, mac: Mac| {
        let recorded = records.iter().any(|one| one.address == address && one.mac == mac);
        recorded
            || (Mac::of(address) == mac && joined.iter().any(|network| network.prefix.contains(&address)))
    };
    if records.is_empty() && joined.is_empty() {
        return Ok(Vec::new());
    }
    let entries = permanent_neighbours(socket, link.index)?;
    let index = link.index;
    Ok(entries
        .into_iter()
        .filter(|(address, mac)| is_ours(*address, *mac))
        .map(|(address, _)| {
            let remove = move || {
                let mut socket = Socket::open().map_err(|error| error.to_string())?;
                bridge::gone_is_fine(socket.one(request::no_neighbour(index, address)))
                    .map_err(|error| error.to_string())
            };
            Task::remove("neighbour", address.to_string(), remove).with(format!("on {}", link.name))
        })
        .collect())
}

/// The guard's. They refer to nothing that others have, and go at once.
fn rules<'a>(found: &Found<'a>, was_at_work: bool) -> Result<Option<Task<'a>>, Error> {
    let note = found.config.state_dir.join("guard");
    let rules =
        guard::remains(&note, was_at_work && !note.exists()).map_err(Error::look("asking nf_tables"))?;
    Ok((!rules.is_empty()).then(|| {
        let object = rules.join(", ");
        Task::remove("rules", object, move || guard::remove(&rules).map_err(|error| error.to_string()))
    }))
}

fn sysctls<'a>(found: &Found<'a>) -> Vec<Task<'a>> {
    let file = found.config.state_dir.join("sysctls.json");
    let changes = match Changes::load(&file, found.boot) {
        Ok(changes) => changes,
        Err(error) => {
            let detail = format!("what sysctls were before cannot be read: {error}");
            return vec![Task::tell("sysctl", file.display().to_string(), Done::Failed, detail)];
        }
    };
    let changes = std::rc::Rc::new(changes);
    let task = |changed: network::host::Changed| {
        let name = changed.path.trim_start_matches("/proc/sys/").replace('/', ".");
        if !changed.is_ours() {
            let detail = format!("somebody set it to {} since: it was {}", changed.now, changed.before);
            return Task::tell("sysctl", name, Done::Kept, detail);
        }
        let detail = format!("{} again, from {}", changed.before, changed.now);
        let changes = std::rc::Rc::clone(&changes);
        let undo = move || changes.undo(&changed).map_err(|error| error.to_string());
        Task { done: Done::Restored, ..Task::remove("sysctl", name, undo).with(detail) }
    };
    changes.to_undo().into_iter().map(task).collect()
}
