//! What is amiss with an attachment on the host.

use std::{io, net::Ipv6Addr};

use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState},
};

use super::Bridge;
use crate::{
    model::{Attachment, Mac},
    network::{Error, netlink::Socket, request},
};

impl Bridge {
    pub(super) fn problems(&self, attachment: &Attachment) -> Result<Vec<String>, Error> {
        let host = attachment.id.host_interface();
        let mut socket = Socket::open().map_err(Error::step("opening netlink", &host))?;
        // Looking changes nothing: a bridge that is gone is told, not made.
        let Some(bridge) = self.present(&mut socket)? else {
            return Ok(vec![format!("the bridge {} is gone", self.name)]);
        };
        let mut problems = Vec::new();
        match socket.link_by_name(&host) {
            Err(_) => problems.push(format!("the link {host} is gone")),
            Ok(port) => {
                if port.controller != bridge.index {
                    problems.push(format!("{host} is not a port of {}", self.name));
                }
                if !port.up {
                    problems.push(format!("{host} is down"));
                }
                if port.alias != attachment.id.alias() {
                    problems.push(format!("{host} has lost its mark, the alias {}", attachment.id.alias()));
                }
            }
        }
        let neighbours = permanent_neighbours(&mut socket, bridge.index)
            .map_err(Error::step("reading the neighbours", &self.name))?;
        if !neighbours.contains(&(attachment.address, attachment.mac)) {
            problems.push(format!("{} has no neighbour entry on {}", attachment.address, self.name));
        }
        if !bridge.up {
            problems.push(format!("the bridge {} is down", self.name));
        }
        Ok(problems)
    }
}

/// The permanent neighbours of a link.
///
/// # Errors
/// The kernel would not say.
pub fn permanent_neighbours(socket: &mut Socket, link: u32) -> io::Result<Vec<(Ipv6Addr, Mac)>> {
    let mut found = Vec::new();
    for message in socket.dump(&request::neighbours())? {
        let RouteNetlinkMessage::NewNeighbour(message) = message else { continue };
        if message.header.ifindex != link || message.header.state != NeighbourState::Permanent {
            continue;
        }
        let mut address = None;
        let mut mac = None;
        for attribute in message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => address = Some(found),
                NeighbourAttribute::LinkLayerAddress(octets) => mac = octets.try_into().ok().map(Mac),
                _ => {}
            }
        }
        found.extend(address.zip(mac));
    }
    Ok(found)
}
