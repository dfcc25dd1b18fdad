//! What fails around the users: the daemon, Consul, links, the ruleset.

use std::{fmt, thread, time::Instant};

use v6pod_integration::{Consul, Daemon, Host};

use crate::chance::Chance;

/// What happens, one thing every few seconds.
pub struct Chaos {
    host: Host,
    daemon: Daemon,
    consul: Consul,
    consul_is_up: bool,
    chance: Chance,
    kills: u32,
    restarts: u32,
    outages: u32,
    /// The attachments whose links were deleted.
    cut: Vec<String>,
    flushes: u32,
    other: u32,
}

impl Chaos {
    pub fn new(host: &Host, daemon: Daemon, consul: Consul, chance: Chance) -> Self {
        let host = host.clone();
        let (kills, restarts, outages, flushes, other, cut) = (0, 0, 0, 0, 0, Vec::new());
        Self {
            host,
            daemon,
            consul,
            consul_is_up: true,
            chance,
            kills,
            restarts,
            outages,
            cut,
            flushes,
            other,
        }
    }

    /// Reigns until the end, and leaves the daemon and Consul running.
    pub fn reign(&mut self, end: Instant) {
        while Instant::now() < end {
            thread::sleep(self.chance.millis(500, 3500));
            match self.chance.below(10) {
                0..4 => self.kill(),
                4 => self.restart(),
                5 | 6 => self.consul_comes_or_goes(),
                7 => self.cut_a_link(),
                8 => self.flush_the_ruleset(),
                _ => self.remove_an_entry(),
            }
        }
        if !self.consul_is_up {
            self.consul_comes_or_goes();
        }
    }

    pub fn kills(&self) -> u32 {
        self.kills
    }

    pub fn cut(&self) -> &[String] {
        &self.cut
    }

    pub fn consul(&self) -> &Consul {
        &self.consul
    }

    /// It is running, and ends when it is asked to.
    pub fn daemon_is_healthy(&mut self) {
        assert!(self.daemon.exited().is_none(), "v6podd has ended\n{}", self.daemon.log());
        self.daemon.stop();
    }

    fn kill(&mut self) {
        self.daemon.kill9();
        thread::sleep(self.chance.millis(0, 300));
        self.daemon.start();
        self.kills += 1;
    }

    fn restart(&mut self) {
        self.daemon.restart();
        self.restarts += 1;
    }

    fn consul_comes_or_goes(&mut self) {
        if self.consul_is_up {
            self.consul.kill9();
            self.outages += 1;
        } else {
            self.consul.start();
        }
        self.consul_is_up = !self.consul_is_up;
    }

    /// The names of the links that are there now.
    fn links(&self) -> Vec<String> {
        let shown = self.host.run(["ip", "-o", "link", "show", "type", "veth"]).stdout;
        let name = |line: &str| Some(line.split_whitespace().nth(1)?.split('@').next()?.to_owned());
        shown.lines().filter_map(name).filter(|name| name.starts_with("v6p")).collect()
    }

    fn cut_a_link(&mut self) {
        let links = self.links();
        if links.is_empty() {
            return;
        }
        let link = &links[self.chance.below(links.len())];
        // Noted before: it may be gone by itself, which is all the same then.
        self.cut.push(link.trim_start_matches("v6p").to_owned());
        self.host.try_run(["ip", "link", "del", link]);
    }

    /// Another tool takes the whole ruleset for its own. The daemon notices by itself.
    fn flush_the_ruleset(&mut self) {
        self.host.run(["nft", "flush", "ruleset"]);
        self.flushes += 1;
    }

    /// Somebody tidies up a table of the kernel's. The next start puts it right again.
    fn remove_an_entry(&mut self) {
        // It fails if one of them goes by itself meanwhile.
        self.host.try_run(["ip", "-6", "neigh", "flush", "dev", "v6pod0", "nud", "permanent"]);
        self.restart();
        self.other += 1;
    }
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, restarts, outages, flushes, other, cut, .. } = self;
        let cut = cut.len();
        write!(f, "v6podd killed {kills} times and restarted {restarts}; {outages} outages of Consul; ")?;
        write!(f, "{cut} links deleted; rulesets flushed {flushes} times, neighbours {other} times")
    }
}
