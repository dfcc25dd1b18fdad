//! Which servers are asked for names that are not ours, and in which order.
//!
//! A resolv.conf is looked at again when a query needs it and the last look is 5 s old, so a host that
//! changes its network is followed without anything polling. Our own addresses are left out: a host that
//! asks us for everything must not make us ask ourselves.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::{Forward, parse_server};

/// How old the last look at resolv.conf may be.
const FRESH: Duration = Duration::from_secs(5);

/// How much of resolv.conf is read, in octets.
const LONGEST_FILE: u64 = 64 * 1024;

/// At most this many servers are used, as with glibc's resolver (resolv.conf(5)).
const MOST: usize = 3;

/// The servers.
#[derive(Debug)]
pub struct Upstreams {
    forward: Forward,
    own: Vec<SocketAddr>,
    /// Which one answered last, so that a dead first one costs its timeout only once.
    favourite: AtomicUsize,
    read: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl Upstreams {
    /// The servers `forward` says, without those that are `own`.
    pub fn new(forward: Forward, own: Vec<SocketAddr>) -> Self {
        Self { forward, own, favourite: AtomicUsize::new(0), read: Mutex::new(None) }
    }

    /// The servers to ask, each with its number, the one that answered last first.
    pub fn in_turn(&self) -> Vec<(usize, SocketAddr)> {
        let mut servers: Vec<_> = self.servers().into_iter().enumerate().collect();
        if !servers.is_empty() {
            let favourite = self.favourite.load(Ordering::Relaxed) % servers.len();
            servers.rotate_left(favourite);
        }
        servers
    }

    /// Remembers that this one answered.
    pub fn answered(&self, number: usize) {
        self.favourite.store(number, Ordering::Relaxed);
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let path = match &self.forward {
            Forward::To(servers) => return self.foreign(servers.clone()),
            Forward::ResolvConf(path) => path,
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, servers)) = &*read
            && at.elapsed() < FRESH
        {
            return servers.clone();
        }
        let servers = load(path).map(|text| self.foreign(parse(&text))).unwrap_or_else(|error| {
            tracing::warn!(?path, %error, "cannot read the name servers to forward to");
            // Half-written or gone for a moment: what was known is better than nothing.
            read.take().map(|(_, servers)| servers).unwrap_or_default()
        });
        *read = Some((Instant::now(), servers.clone()));
        servers
    }

    fn foreign(&self, mut servers: Vec<SocketAddr>) -> Vec<SocketAddr> {
        servers.retain(|server| !self.own.contains(server));
        servers.truncate(MOST);
        servers
    }
}

fn load(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST_FILE).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The `nameserver` lines of a resolv.conf(5). Link-local servers with an interface's name are passed over.
fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        address.parse::<IpAddr>().ok().and_then(|_| parse_server(address))
    };
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nameserver_lines_only() {
        let text = "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 # c\n\
                    nameserver fe80::1%eth0\nnameserver\nnameserverx 192.0.2.2\noptions edns0\n";
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }

    #[test]
    fn we_do_not_ask_ourselves() {
        let [own, other] = ["[2001:db8::1]:53", "[2001:db8::2]:53"].map(|text| text.parse().unwrap());
        let upstreams = Upstreams::new(Forward::To(vec![own, other]), vec![own]);
        assert_eq!(upstreams.in_turn(), [(0, other)]);
    }

    #[test]
    fn the_last_to_answer_is_asked_first() {
        let [a, b] = ["192.0.2.1:53", "192.0.2.2:53"].map(|text| text.parse().unwrap());
        let upstreams = Upstreams::new(Forward::To(vec![a, b]), Vec::new());
        upstreams.answered(1);
        assert_eq!(upstreams.in_turn(), [(1, b), (0, a)]);
    }

    #[test]
    fn a_missing_file_means_nobody() {
        let upstreams = Upstreams::new(Forward::ResolvConf("/nonexistent/resolv.conf".into()), Vec::new());
        assert!(upstreams.in_turn().is_empty());
    }
}
