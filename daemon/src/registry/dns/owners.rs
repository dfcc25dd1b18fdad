//! Whose addresses are whose, so that what clients take is counted by their users: one user has many
//! containers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use super::gate::Owner;
use crate::model::AttachmentId;

/// The attachments' addresses and the users they are charged to.
#[derive(Debug, Default)]
pub struct Owners {
    addresses: HashMap<AttachmentId, Ipv6Addr>,
    accounts: HashMap<Ipv6Addr, (AttachmentId, u32)>,
}

impl Owners {
    /// An attachment has this address and is charged to this user.
    pub fn insert(&mut self, id: AttachmentId, address: Ipv6Addr, account: u32) {
        self.remove(id);
        self.addresses.insert(id, address);
        self.accounts.insert(address, (id, account));
    }

    /// The attachment is no more.
    pub fn remove(&mut self, id: AttachmentId) {
        let Some(address) = self.addresses.remove(&id) else { return };
        // The next to have the address may have come before this one went.
        if self.accounts.get(&address).is_some_and(|(current, _)| *current == id) {
            self.accounts.remove(&address);
        }
    }

    /// Whose a client is, that is not this host.
    pub fn of(&self, client: IpAddr) -> Owner {
        let found = match client {
            IpAddr::V6(address) => self.accounts.get(&address),
            IpAddr::V4(_) => None,
        };
        found.map_or(Owner::Unknown, |(_, account)| Owner::Account(*account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_last_ones_who_got_it() {
        let mut owners = Owners::default();
        let [first, second] = [1, 2].map(AttachmentId::from_bits);
        let [a, b]: [Ipv6Addr; 2] = ["2001:db8::a", "2001:db8::b"].map(|text| text.parse().unwrap());
        assert_eq!(owners.of(a.into()), Owner::Unknown);
        owners.insert(first, a, 1001);
        owners.insert(second, a, 1002);
        owners.remove(first);
        assert_eq!(owners.of(a.into()), Owner::Account(1002));
        owners.insert(second, b, 1002);
        assert_eq!((owners.of(a.into()), owners.of(b.into())), (Owner::Unknown, Owner::Account(1002)));
        owners.remove(second);
        assert!(owners.addresses.is_empty() && owners.accounts.is_empty());
    }
}
