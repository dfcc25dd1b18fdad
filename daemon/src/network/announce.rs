//! Unsolicited neighbour advertisements: RFC 4861, section 7.2.6.
//!
//! They tell everyone on the link at once where an address is now, so that nobody keeps sending to
//! where it was. The frame goes out on the bridge from the host's side: that needs no socket inside the
//! namespace and does not depend on the far end being ready, and can be repeated after a restart.

use std::{io, net::Ipv6Addr, sync::OnceLock};

use crate::{model::Mac, sys::packet::Sender};

const ETHERNET: usize = 14;
const IPV6: usize = 40;
/// Neighbour advertisement (24 octets) with the target link-layer address option (8 octets).
const ADVERTISEMENT: u8 = 32;
const FRAME: usize = ETHERNET + IPV6 + ADVERTISEMENT as usize;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6: u8 = 58;

/// Makes announcements on the host's links, over one socket that is opened for the first of them.
#[derive(Default)]
pub struct Announcer(OnceLock<Sender>);

impl Announcer {
    /// Tells the link that `address` is at `mac`.
    ///
    /// # Errors
    /// The link is down or gone, or CAP_NET_RAW is missing.
    pub fn announce(&self, link: u32, address: Ipv6Addr, mac: Mac) -> io::Result<()> {
        let sender = match self.0.get() {
            Some(sender) => sender,
            None => {
                let opened = Sender::open()?;
                self.0.get_or_init(|| opened)
            }
        };
        sender.send(link, &frame(address, mac))
    }
}

fn frame(address: Ipv6Addr, mac: Mac) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    // RFC 2464, section 7: 33:33 and the low 32 bits of the group, ff02::1.
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    let ip = &mut frame[ETHERNET..ETHERNET + IPV6];
    ip[0] = 0x60;
    ip[5] = ADVERTISEMENT;
    ip[6] = ICMPV6;
    // Receivers drop what has been through a router (RFC 4861, section 7.1.2).
    ip[7] = 255;
    ip[8..24].copy_from_slice(&address.octets());
    ip[24..40].copy_from_slice(&ALL_NODES.octets());
    let icmp = &mut frame[ETHERNET + IPV6..];
    icmp[0] = 136;
    // Override: caches shall take the new MAC. Not a router, not solicited.
    icmp[4] = 0x20;
    icmp[8..24].copy_from_slice(&address.octets());
    icmp[24] = 2;
    icmp[25] = 1;
    icmp[26..32].copy_from_slice(&mac.0);
    let sum = checksum(address, icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The ICMPv6 checksum: RFC 4443, section 2.3, over the pseudo-header of RFC 8200, section 8.1.
fn checksum(source: Ipv6Addr, message: &[u8]) -> u16 {
    let words = |octets: &[u8]| -> u32 {
        octets
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
            .sum()
    };
    let mut sum = words(&source.octets())
        + words(&ALL_NODES.octets())
        + u32::from(ADVERTISEMENT)
        + u32::from(ICMPV6)
        + words(message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The loop left 16 bits.
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_says_what_it_should() {
        let address: Ipv6Addr = "2001:db8::211:22ff:fe33:4455".parse().unwrap();
        let mac = Mac([0x06, 0x11, 0x22, 0x33, 0x44, 0x55]);
        let frame = frame(address, mac);
        assert_eq!(&frame[6..12], &mac.0);
        assert_eq!(frame[ETHERNET + IPV6], 136);
        assert_eq!(&frame[ETHERNET + IPV6 + 26..], &mac.0);
        // A receiver sums everything, the checksum too, and expects zero.
        assert_eq!(checksum(address, &frame[ETHERNET + IPV6..]), 0);
    }

    #[test]
    fn the_checksum_is_what_one_gets_by_hand() {
        let icmp = frame("fe80::1".parse().unwrap(), Mac([2, 0, 0, 0, 0, 1]));
        let by_hand = {
            // fe80 + 1, ff02 + 1, 32, 58, 8800, 2000, fe80 + 1 (target), 0201, 0200, 0000, 0001
            let sum: u32 =
                0xfe80 + 1 + 0xff02 + 1 + 32 + 58 + 0x8800 + 0x2000 + 0xfe80 + 1 + 0x0201 + 0x0200 + 1;
            (sum & 0xffff) + (sum >> 16)
        };
        let carried = u16::try_from((by_hand & 0xffff) + (by_hand >> 16)).unwrap();
        assert_eq!(&icmp[ETHERNET + IPV6 + 2..ETHERNET + IPV6 + 4], &(!carried).to_be_bytes());
    }
}
