//! What v6podd made for networks that are configured otherwise now, or no longer are.
//!
//! Addresses go before any network is made, because a prefix may have moved. Bridges go only when the records
//! are reconciled: until then ports may be on them, and a port without its bridge would lead past the guard's
//! rules to the host. Both are known by their marks and not by records: a bridge by its alias, a gateway's
//! address by a form that nobody else chooses.

use std::{io, net::Ipv6Addr};

use ipnet::Ipv6Net;
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags},
};
use rustix::io::Errno;

use super::{MARK, gone_is_fine, is};
use crate::{
    config,
    network::{
        netlink::{Link, Socket, v6},
        request,
    },
};

/// Whether v6podd made this bridge, for whichever network.
pub fn is_marked(link: &Link) -> bool {
    link.kind == "bridge" && link.alias.starts_with(MARK)
}

/// Takes the gateways' addresses off bridges of ours that no network names, and so their routes.
pub fn take_off_addresses(networks: &[config::Network]) {
    let outcome = Socket::open().and_then(|mut socket| {
        for bridge in unnamed(&mut socket, networks)? {
            keep_one_gateway(&mut socket, &bridge, None)?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        tracing::error!(%error, "taking addresses off the bridges of networks that are no longer configured");
    }
}

/// Removes bridges of ours that no network names. One with a port stays, and that is told.
pub fn remove(networks: &[config::Network]) {
    let outcome = Socket::open().and_then(|mut socket| {
        let links = socket.links()?;
        for bridge in unnamed(&mut socket, networks)? {
            if let Some(port) = links.iter().find(|link| link.controller == bridge.index) {
                tracing::warn!(bridge = bridge.name, port = port.name,
                    "the bridge of a network that is no longer configured stays: it has a port; take that off and start again");
                continue;
            }
            tracing::info!(bridge = bridge.name, "removing the bridge of a network that is no longer configured");
            gone_is_fine(socket.delete_link(bridge.index))?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        tracing::error!(%error, "removing the bridges of networks that are no longer configured");
    }
}

fn unnamed(socket: &mut Socket, networks: &[config::Network]) -> io::Result<Vec<Link>> {
    let is_named = |link: &Link| networks.iter().any(|network| network.bridge == link.name);
    let links = socket.links()?;
    Ok(links.into_iter().filter(|link| is_marked(link) && !is_named(link)).collect())
}

/// Takes off a bridge of ours every gateway's address but this one, whose length counts, too.
///
/// # Errors
/// What the kernel answered.
pub fn keep_one_gateway(socket: &mut Socket, bridge: &Link, kept: Option<(Ipv6Addr, u8)>) -> io::Result<()> {
    for (address, length) in gateways(socket, bridge.index)? {
        if kept != Some((address, length)) {
            tracing::info!(%address, length, bridge = bridge.name, "removing the address of an earlier configuration");
            let removed = socket.one(request::no_address(bridge.index, address, length));
            match gone_is_fine(removed) {
                Err(error) if is(&error, Errno::ADDRNOTAVAIL) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// The addresses of a link that look as v6podd writes a gateway's: the first of a prefix that a network may have,
/// without duplicate address detection.
fn gateways(socket: &mut Socket, link: u32) -> io::Result<Vec<(Ipv6Addr, u8)>> {
    let mut found = Vec::new();
    for message in socket.dump(&request::addresses())? {
        let RouteNetlinkMessage::NewAddress(message) = message else { continue };
        let header = &message.header;
        if header.index != link || !header.flags.contains(AddressHeaderFlags::Nodad) {
            continue;
        }
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => v6(*address),
            _ => None,
        });
        found.extend(address.map(|address| (address, header.prefix_len)).filter(|one| is_gateway(*one)));
    }
    Ok(found)
}

fn is_gateway((address, length): (Ipv6Addr, u8)) -> bool {
    let prefix = Ipv6Net::new(address, length).ok().filter(|_| config::LENGTHS.contains(&length));
    !address.is_unicast_link_local() && prefix.is_some_and(|prefix| config::first_address(prefix) == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_known_by_its_form() {
        let is = |address: &str, length| is_gateway((address.parse().unwrap(), length));
        assert!(is("2001:db8:1:2:3::1", 80) && is("2001:db8:1:2::1", 64) && is("fd00::1", 72));
        assert!(!is("2001:db8:1:2:3::1", 64), "not the first of the prefix");
        assert!(!is("2001:db8:1:2:3::2", 80) && !is("2001:db8:1:2:3::1", 112) && !is("2001:db8::1", 48));
        assert!(!is("fe80::1", 64));
    }
}
