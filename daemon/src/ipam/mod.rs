//! Addresses: which MAC, and so which address, an attachment gets.
//!
//! The address is prefix ‖ MAC, for every attachment, so a neighbour entry cannot be stale and one
//! rule pins both. A [`Pool`] is the memory of one network: what is in use and what rests. It does no
//! I/O and does not know the time by itself.

mod mode;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use ipnet::Ipv6Net;
pub use mode::Mode;

use crate::model::Mac;

/// How many candidates are tried before the pool says that it is full. With less than 1024 attachments
/// per bridge in 46 bits, a second try is already rare.
const TRIES: u32 = 64;

/// Why there is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The network has as many attachments as it may.
    #[error("the network {network} is full: all {capacity} places are taken")]
    Full {
        /// The network.
        network: String,
        /// Its capacity.
        capacity: usize,
    },
    /// Every candidate was taken.
    #[error("no free address was found in {0}")]
    Exhausted(Ipv6Net),
    /// The network's addresses are static and none was given.
    #[error("the network {0} wants a fixed address: give one within its prefix")]
    AddressNeeded(String),
    /// The network does not let callers choose, and this is not what they would get anyway.
    #[error(
        "the network {0} does not allow fixed addresses (allow_static is off, and no rule says otherwise)"
    )]
    StaticForbidden(String),
    /// The address lies elsewhere.
    #[error("{address} is not within {prefix}")]
    Outside {
        /// What was asked for.
        address: Ipv6Addr,
        /// The prefix.
        prefix: Ipv6Net,
    },
    /// Nobody may have it.
    #[error("{0} cannot be used: {1}")]
    Reserved(Ipv6Addr, &'static str),
    /// Somebody has it.
    #[error("the address {0} is taken")]
    Taken(Ipv6Addr),
}

/// Who asks, as far as the choice of an address depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The owner.
    pub uid: u32,
    /// What stays the same over restarts: the name, else the container's id; empty: nothing does.
    pub label: &'a str,
    /// A fixed address, if one was asked for.
    pub address: Option<Ipv6Addr>,
    /// A number nobody can foresee.
    pub random: u64,
    /// Whether an address may be asked for.
    pub may_choose: bool,
    /// Where it may lie.
    pub space: Space,
    /// The address that is kept for this applicant, and for no other.
    pub reservation: Option<Ipv6Addr>,
}

/// Where in the prefix an address may lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// Anywhere.
    #[default]
    Whole,
    /// Anywhere but where prefixes of users' own are.
    Common,
    /// In this user's own.
    Own(u32),
}

/// The prefix of a user's own, where there are such: a /112, or a /120 for uids of more than six digits.
pub fn own_prefix(uid: u32, prefix: Ipv6Net) -> Ipv6Net {
    let (mac, length) = mode::own(uid);
    Ipv6Net::new(mac.in_prefix(prefix), length).unwrap_or(prefix)
}

/// The MAC of an address, if anybody may have that in a network with this prefix.
///
/// # Errors
/// [`Error::Outside`], [`Error::Reserved`].
pub fn usable(address: Ipv6Addr, prefix: Ipv6Net) -> Result<Mac, Error> {
    if !prefix.contains(&address) {
        return Err(Error::Outside { address, prefix });
    }
    let mac = Mac::of(address);
    if mac.in_prefix(prefix) != address {
        return Err(Error::Reserved(address, "the bits between the prefix and the last 48 have to be zero"));
    }
    mode::reserved(mac).map_or(Ok(mac), |reason| Err(Error::Reserved(address, reason)))
}

/// The addresses of one network.
pub struct Pool {
    network: String,
    prefix: Ipv6Net,
    mode: Mode,
    capacity: usize,
    rest: Duration,
    key: [u8; 16],
    used: HashMap<Mac, u32>,
    /// Kept for those it is reserved for.
    reserved: HashSet<Mac>,
    resting: HashMap<Mac, Rest>,
    order: VecDeque<(Instant, Mac)>,
    /// Where `sequential` and, per owner, `owner` go on.
    next: HashMap<Option<u32>, u64>,
}

struct Rest {
    until: Instant,
    /// The last owner's, who may have it back at once.
    uid: u32,
    label: String,
}

impl Rest {
    fn is_of(&self, applicant: &Applicant<'_>) -> bool {
        self.uid == applicant.uid && self.label == applicant.label && !self.label.is_empty()
    }
}

impl Pool {
    /// An empty pool. `key` makes stable addresses this site's own.
    pub fn new(network: &crate::config::Network, key: [u8; 16]) -> Self {
        Self {
            network: network.name.to_string(),
            prefix: network.prefix,
            mode: network.mode,
            capacity: network.capacity,
            rest: network.rest,
            key,
            used: HashMap::new(),
            reserved: HashSet::new(),
            resting: HashMap::new(),
            order: VecDeque::new(),
            next: HashMap::new(),
        }
    }

    /// Takes over what of a network's configuration can change while it is in use.
    pub fn adjust(&mut self, capacity: usize, rest: Duration, reserved: HashSet<Mac>) {
        (self.capacity, self.rest, self.reserved) = (capacity, rest, reserved);
    }

    /// Whether this very address could be had now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&mut self, applicant: &Applicant<'_>, now: Instant) -> Result<(), Error> {
        self.wake(now);
        if self.used.len() >= self.capacity {
            return Err(Error::Full { network: self.network.clone(), capacity: self.capacity });
        }
        match applicant.address {
            Some(address) => self.fixed(address, applicant).map(drop),
            None if self.mode == Mode::Static => Err(Error::AddressNeeded(self.network.clone())),
            None => Ok(()),
        }
    }

    /// Chooses an address and takes it.
    ///
    /// # Errors
    /// See [`Error`]; nothing is taken then.
    pub fn propose(&mut self, applicant: &Applicant<'_>, now: Instant) -> Result<(Ipv6Addr, Mac), Error> {
        self.wake(now);
        if self.used.len() >= self.capacity {
            return Err(Error::Full { network: self.network.clone(), capacity: self.capacity });
        }
        let mac = match applicant.address {
            Some(address) => self.fixed(address, applicant)?,
            None => self.choose(applicant)?,
        };
        self.take(mac, applicant.uid);
        Ok((mac.in_prefix(self.prefix), mac))
    }

    /// Takes an address that is in use already: an attachment that outlived the daemon.
    pub fn take(&mut self, mac: Mac, uid: u32) {
        self.used.insert(mac, uid);
        self.resting.remove(&mac);
    }

    /// Gives an address back. It rests before anyone but its last owner can have it.
    pub fn release(&mut self, mac: Mac, label: &str, now: Instant) {
        let Some(uid) = self.used.remove(&mac) else { return };
        if self.rest.is_zero() {
            return;
        }
        let until = now + self.rest;
        self.resting.insert(mac, Rest { until, uid, label: label.to_owned() });
        self.order.push_back((until, mac));
    }

    /// How many addresses are in use.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    fn wake(&mut self, now: Instant) {
        while let Some((until, mac)) = self.order.front().copied().filter(|(until, _)| *until <= now) {
            self.order.pop_front();
            // It may have been taken and freed again meanwhile, and rest anew.
            if self.resting.get(&mac).is_some_and(|rest| rest.until == until) {
                self.resting.remove(&mac);
            }
        }
    }

    fn fixed(&self, address: Ipv6Addr, applicant: &Applicant<'_>) -> Result<Mac, Error> {
        let is_reserved = applicant.reservation == Some(address);
        if !applicant.may_choose && !is_reserved && !self.is_due(Mac::of(address), applicant) {
            return Err(Error::StaticForbidden(self.network.clone()));
        }
        let mac = usable(address, self.prefix)?;
        match applicant.space {
            Space::Own(uid) if !is_reserved && !own_prefix(uid, self.prefix).contains(&address) => {
                return Err(Error::Outside { address, prefix: own_prefix(uid, self.prefix) });
            }
            Space::Common if !is_reserved && mode::is_own(mac) => {
                return Err(Error::Reserved(address, "it lies in a prefix of a user's own"));
            }
            _ => {}
        }
        if self.free(mac, applicant) { Ok(mac) } else { Err(Error::Taken(address)) }
    }

    /// Whether an applicant who names an address chooses nothing: it is at rest and theirs, or the one that
    /// they would get without naming it. `podman network reload` asks so for what a container has already.
    fn is_due(&self, mac: Mac, applicant: &Applicant<'_>) -> bool {
        let is_stable = self.way(applicant).0 == Mode::Stable && !applicant.label.is_empty();
        self.resting.get(&mac).is_some_and(|rest| rest.is_of(applicant))
            || (is_stable && self.first_free(applicant).is_some_and(|(next, _)| next == mac))
    }

    fn choose(&mut self, applicant: &Applicant<'_>) -> Result<Mac, Error> {
        if self.mode == Mode::Static {
            return Err(Error::AddressNeeded(self.network.clone()));
        }
        let kept = applicant.reservation.map(Mac::of);
        if let Some(mac) = kept.filter(|mac| !self.used.contains_key(mac)) {
            return Ok(mac);
        }
        let (mac, count) = self.first_free(applicant).ok_or(Error::Exhausted(self.prefix))?;
        let (mode, uid) = self.way(applicant);
        if mode.counts() {
            self.next.insert(mode.cursor(uid), count + 1);
        }
        Ok(mac)
    }

    /// The first candidate that the applicant can have, and its number.
    fn first_free(&self, applicant: &Applicant<'_>) -> Option<(Mac, u64)> {
        let (mode, uid) = self.way(applicant);
        let asks = Applicant { uid, ..*applicant };
        let start = self.next.get(&mode.cursor(uid)).copied().unwrap_or(1);
        (0..TRIES).find_map(|attempt| {
            let mac = mode.candidate(&self.key, &self.network, &asks, start, attempt);
            let is_elsewhere = applicant.space == Space::Common && mode::is_own(mac);
            let fits = !is_elsewhere && mode::reserved(mac).is_none() && self.free(mac, &asks);
            fits.then(|| (mac, start + u64::from(attempt)))
        })
    }

    /// How an applicant's address is chosen, and in whose name: a prefix of one's own is one user's, whatever
    /// the network's own way is.
    fn way(&self, applicant: &Applicant<'_>) -> (Mode, u32) {
        match applicant.space {
            Space::Own(uid) => (Mode::Owner, uid),
            Space::Whole | Space::Common => (self.mode, applicant.uid),
        }
    }

    fn free(&self, mac: Mac, applicant: &Applicant<'_>) -> bool {
        !self.used.contains_key(&mac)
            && (!self.reserved.contains(&mac) || applicant.reservation.map(Mac::of) == Some(mac))
            && self.resting.get(&mac).is_none_or(|rest| rest.is_of(applicant))
    }
}

#[cfg(test)]
mod tests;
