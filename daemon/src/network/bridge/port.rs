//! The steps of an attach: the pair, the port, the host's entries, the interface inside.

use std::{fs, io, os::fd::BorrowedFd};

use netlink_packet_route::route::RouteHeader;
use rustix::io::Errno;

use super::{Bridge, LINK_LOCAL_LENGTH, all, is};
use crate::{
    fault::Fault,
    model::Attachment,
    network::{
        Error, inside,
        netlink::{Link, Socket},
        request, source_routing,
    },
};

/// How long the kernel may take to make its own local route of an address, in seconds.
const PASSING: u32 = 10;

impl Bridge {
    fn create_link(
        &self,
        socket: &mut Socket,
        attachment: &Attachment,
        namespace: BorrowedFd<'_>,
        bridge: &Link,
    ) -> Result<u32, Error> {
        let host = attachment.id.host_interface();
        let veth = |index| request::Veth {
            host: &host,
            index,
            bridge: bridge.index,
            inside: attachment.interface.as_str(),
            mac: attachment.mac,
            mtu: attachment.mtu,
            namespace: &namespace,
        };
        let index = attachment.id.host_index();
        match socket.one(veth(index).create()) {
            Ok(()) => return Ok(index),
            // Perhaps it is the index that is taken. Then the kernel may choose one.
            Err(error) if is(&error, Errno::EXIST) || is(&error, Errno::BUSY) => {}
            Err(error) => return Err(self.not_created(attachment, error)),
        }
        socket.one(veth(0).create()).map_err(|error| self.not_created(attachment, error))?;
        Ok(socket.link_by_name(&host).map_err(Error::step("finding the port", &host))?.index)
    }

    fn not_created(&self, attachment: &Attachment, error: io::Error) -> Error {
        match Errno::from_io_error(&error) {
            // Our own name is unique, so it is the other one that is taken.
            Some(Errno::EXIST) => Error::InterfaceTaken(attachment.interface.to_string()),
            Some(Errno::XFULL) => Error::NoPort(self.name.clone()),
            _ => Error::step("creating the veth pair", &attachment.id.host_interface())(error),
        }
    }

    /// Marks the host's end and makes it a port without ears. To some group addresses the bridge does not
    /// listen itself (01:80:c2:00:00:0e, `br_handle_frame` in net/bridge/br_input.c): such frames go on to
    /// the port, which would take them for the host's.
    pub(super) fn make_port(&self, socket: &mut Socket, attachment: &Attachment) -> Result<(), Error> {
        let host = attachment.id.host_interface();
        socket
            .one(request::port(&host, &attachment.id.alias()))
            .map_err(Error::step("setting up the port", &host))?;
        let path = format!("/proc/sys/net/ipv6/conf/{host}/disable_ipv6");
        fs::write(&path, "1").map_err(|source| Error::Sysctl { path, source })
    }

    /// Enters where the attachment's MAC is, unless the bridge has it elsewhere: at another port, or as its
    /// own. Whoever may choose an address must not draw another's frames.
    fn claim_mac(socket: &mut Socket, attachment: &Attachment, port: u32) -> Result<(), Error> {
        socket.one(request::new_forwarding_entry(port, attachment.mac)).map_err(|error| {
            if is(&error, Errno::EXIST) {
                return Error::MacTaken(attachment.mac);
            }
            Error::step("entering the MAC", &attachment.mac)(error)
        })
    }

    /// What the host has to know of the attachment: where its MAC is and which MAC its address has.
    pub(super) fn host_entries(
        socket: &mut Socket,
        attachment: &Attachment,
        port: u32,
        bridge: u32,
    ) -> Result<(), Error> {
        let requests = vec![
            request::forwarding_entry(port, attachment.mac),
            request::neighbour(bridge, attachment.address, attachment.mac),
        ];
        all(socket, requests, "entering the neighbour", &attachment.address.to_string())
    }

    fn configure_inside(&self, attachment: &Attachment, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let name = attachment.interface.as_str();
        inside::run(namespace, || {
            let conf = format!("/proc/sys/net/ipv6/conf/{name}");
            fs::write(format!("{conf}/disable_ipv6"), "0")?;
            fs::write(format!("{conf}/accept_ra"), "0")?;
            let mut socket = Socket::open()?;
            let index = socket.link_by_name(name)?.index;
            let mut requests = vec![
                request::without_generated_addresses(index),
                request::address(index, attachment.address, self.prefix.prefix_len()),
                request::address(index, attachment.mac.link_local(), LINK_LOCAL_LENGTH),
                request::up(index),
                request::passing_local_route(index, attachment.address, PASSING),
            ];
            if let Some(gateway) = self.gateway {
                if self.own {
                    requests.push(request::neighbour(index, gateway, self.mac));
                }
                if attachment.default_route {
                    requests.push(request::default_route(index, gateway, RouteHeader::RT_TABLE_MAIN));
                }
            }
            socket.send(requests)?.into_iter().collect::<io::Result<()>>()?;
            if let Some(gateway) = self.gateway.filter(|_| attachment.default_route) {
                source_routing::set_up(&mut socket, index, attachment.address, self.prefix, gateway)?;
            }
            // Here, what `make_ready` does for the other end.
            let _ = socket.link_by_name(name);
            Ok(())
        })
        .map_err(Error::step("configuring the interface inside", name))
    }

    /// Has the kernel do at once what it otherwise does some time after a port came up: let the port forward,
    /// and the bridge send. What they are given to send before that is lost.
    ///
    /// The kernel leaves it to a work item, which waits for RTNL like everybody else. But before it tells of a
    /// link it does that link's part (`rtnl_getlink`, net/core/rtnetlink.c, from Linux 6.8 on). So the answers
    /// are of no interest, and no answer is no failure: then it is done a little later.
    fn make_ready(&self, socket: &mut Socket, attachment: &Attachment) {
        let _ = socket.link_by_name(&attachment.id.host_interface());
        // Only when a port of it forwards is it the bridge's turn.
        let _ = socket.link_by_name(&self.name);
    }

    pub(super) fn announce(&self, bridge: u32, attachment: &Attachment) {
        // Nobody depends on it: on our own prefix a neighbour entry cannot be stale. So it fails nothing.
        if let Err(error) = self.announcer.announce(bridge, attachment.address, attachment.mac) {
            tracing::debug!(id = %attachment.id, %error, "announcing the address");
        }
    }

    pub(super) fn attach_steps(
        &self,
        attachment: &Attachment,
        namespace: BorrowedFd<'_>,
        fault: Fault,
    ) -> Result<(), Error> {
        let fail = |step| Error::step(step, &attachment.id);
        let mut socket = Socket::open().map_err(fail("opening netlink"))?;
        let bridge = self.link(&mut socket)?;
        let port = self.create_link(&mut socket, attachment, namespace, &bridge)?;
        fault.after("attach.link").map_err(fail("attach.link"))?;
        self.make_port(&mut socket, attachment)?;
        fault.after("attach.port").map_err(fail("attach.port"))?;
        Self::claim_mac(&mut socket, attachment, port)?;
        Self::host_entries(&mut socket, attachment, port, bridge.index)?;
        fault.after("attach.neighbour").map_err(fail("attach.neighbour"))?;
        socket.one(request::up(port)).map_err(fail("bringing the port up"))?;
        fault.after("attach.up").map_err(fail("attach.up"))?;
        self.configure_inside(attachment, namespace)?;
        fault.after("attach.inside").map_err(fail("attach.inside"))?;
        self.make_ready(&mut socket, attachment);
        self.announce(bridge.index, attachment);
        fault.after("attach.announced").map_err(fail("attach.announced"))
    }
}
