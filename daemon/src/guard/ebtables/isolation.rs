//! Who reaches whom: at the bridge by ports, and for what is routed by addresses.
//!
//! Both ways a packet is marked with its tenant first, and then compared with the tenant of whom it is for.
//! The marks are on packets from one container to another only.

use super::{
    program::{BRIDGE_FILTER, MANGLE, Program},
    rules::{Admitted, PORTS, Table},
};
use crate::{
    config,
    guard::{Isolation, NOBODY},
    model::Attachment,
};

/// Marks frames with the tenant of the port they come from.
const FROM: &str = "V6POD-FROM";
/// Compares it with the tenant of the port they go to.
const TO: &str = "V6POD-TO";
/// What is routed from any network to any other.
const BETWEEN: &str = "V6POD-BETWEEN";

/// The tables, if there is anything to keep apart.
pub fn tables(networks: &[config::Network], admitted: &Admitted) -> Vec<(Program, Table)> {
    if networks.iter().all(|network| network.isolation == Isolation::Open) {
        return Vec::new();
    }
    vec![(BRIDGE_FILTER, bridged(networks, admitted)), (MANGLE, routed(networks, admitted))]
}

fn bridged(networks: &[config::Network], admitted: &Admitted) -> Table {
    let isolation = |attachment: &Attachment| {
        let network = networks.iter().find(|network| network.name == attachment.network);
        network.map_or(Isolation::Isolated, |network| network.isolation)
    };
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for attachment in admitted.values() {
        let port = attachment.id.host_interface();
        let tenant = match isolation(attachment) {
            Isolation::Open => continue,
            Isolation::User => attachment.uid,
            Isolation::Group if attachment.gid != NOBODY => attachment.gid,
            Isolation::Group | Isolation::Isolated => {
                from.push(format!("-i {port} -j DROP"));
                to.push(format!("-o {port} -j DROP"));
                continue;
            }
        };
        from.push(format!("-i {port} -j mark --mark-set {tenant:#x} --mark-target RETURN"));
        to.push(format!("-o {port} --mark ! {tenant:#x} -j DROP"));
    }
    let hook = |chain| ("FORWARD", format!("-i {PORTS} -o {PORTS} -j {chain}"));
    Table { hooks: vec![hook(FROM), hook(TO)], chains: vec![(FROM.to_owned(), from), (TO.to_owned(), to)] }
}

/// For each pair of networks all that either of them demands. What goes over a bridge may come by here too
/// (br_netfilter).
fn routed(networks: &[config::Network], admitted: &Admitted) -> Table {
    let mut chains = Vec::new();
    let mut between = Vec::new();
    for (isolation, name, tenant) in [
        (Isolation::User, "USER", (|attachment| attachment.uid) as fn(&Attachment) -> u32),
        (Isolation::Group, "GROUP", |attachment| attachment.gid),
    ] {
        if networks.iter().any(|network| network.isolation == isolation) {
            let chain = format!("V6POD-{name}");
            between.extend(pairs(networks, isolation, &chain));
            chains.extend(compare(admitted, chain, tenant));
        }
    }
    between.extend(pairs(networks, Isolation::Isolated, "DROP"));
    chains.push((BETWEEN.to_owned(), between));
    Table { hooks: vec![("FORWARD", format!("-j {BETWEEN}"))], chains }
}

/// What leads packets from one network to another to a target, if one of them says so.
fn pairs(networks: &[config::Network], isolation: Isolation, target: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for one in networks {
        for other in networks {
            if [one, other].iter().any(|network| network.isolation == isolation) {
                rules.push(format!("-s {} -d {} -j {target}", one.prefix, other.prefix));
            }
        }
    }
    rules
}

/// A chain that returns from what is of the same tenant, and drops the rest; before it one that marks.
fn compare(admitted: &Admitted, chain: String, tenant: fn(&Attachment) -> u32) -> [(String, Vec<String>); 2] {
    let marking = format!("{chain}-OF");
    let (mut marks, mut same) = (Vec::new(), vec![format!("-j {marking}")]);
    for attachment in admitted.values().filter(|attachment| tenant(attachment) != NOBODY) {
        let (address, tenant) = (attachment.address, tenant(attachment));
        marks.push(format!("-s {address}/128 -j MARK --set-xmark {tenant:#x}/0xffffffff"));
        same.push(format!("-d {address}/128 -m mark --mark {tenant:#x} -j RETURN"));
    }
    same.push("-j DROP".to_owned());
    [(marking, marks), (chain, same)]
}
