//! Sends raw Ethernet frames: packet(7). No safe crate makes the address it needs.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// A socket that sends on any link and never receives.
///
/// To be kept: closing one waits until every processor has been through a quiescent state
/// (`packet_release` calls `synchronize_net`), which takes 10 ms and more.
pub struct Sender(OwnedFd);

impl Sender {
    /// Opens it.
    ///
    /// # Errors
    /// `EPERM`: no CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        // Protocol 0: the socket sends and never receives.
        Ok(Self(socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    /// Sends `frame`, which begins with its Ethernet header, on the link with this index.
    ///
    /// # Errors
    /// `ENETDOWN`: the link is down; `ENXIO`: there is none.
    pub fn send(&self, link: u32, frame: &[u8]) -> io::Result<()> {
        const FAMILY: u16 = 17; // AF_PACKET, which libc has as an int
        const ETH_P_IPV6: u16 = 0x86dd;
        let address = libc::sockaddr_ll {
            sll_family: FAMILY,
            sll_protocol: ETH_P_IPV6.to_be(),
            sll_ifindex: i32::try_from(link).map_err(io::Error::other)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0; 8],
        };
        let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
        // SAFETY: frame and address are valid for reads of the lengths given and outlive the call; the
        // kernel keeps neither.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                length,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
