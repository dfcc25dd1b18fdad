//! What a host's network looks like, to be compared with what it looked like before.

use std::fmt::Write;

use crate::Host;

/// Prints each section under a line `== NAME`. Left out is what changes of itself: learned neighbours and
/// forwarding entries, counters, lifetimes, and the numbers of links.
const SCRIPT: &str = r#"
section() { printf '== %s\n' "$1"; shift; "$@" | sort; }
section links     sh -c 'ip -o link | sed -E "s/^[0-9]+: //; s/@[^:]*:/:/"'
section addresses sh -c 'ip -o address | sed -E "s/^[0-9]+: //; s/ (valid_lft|preferred_lft) [^ ]+//g"'
section neighbours sh -c 'ip neigh show nud permanent; ip -4 neigh show proxy; ip -6 neigh show proxy'
section forwarding-entries sh -c 'bridge fdb show | grep -E "permanent|static"'
section routes    sh -c 'ip -4 route show table all; ip -6 route show table all | sed -E "s/ expires [^ ]+//"'
section rules     sh -c 'ip -4 rule; ip -6 rule'
section shaping   tc qdisc show
section namespaces ip -o netns list-id
printf '== nftables\n'; nft -s list ruleset
section sysctls   sh -c 'grep -rs . /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge'
"#;

/// Links, addresses, permanent neighbours, routes, rules, nftables and sysctls of a host, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(Vec<(String, Vec<String>)>);

impl Snapshot {
    #[track_caller]
    pub(crate) fn take(host: &Host) -> Self {
        let output = host.run(["bash", "-c", SCRIPT]);
        let mut sections: Vec<(String, Vec<String>)> = Vec::new();
        for line in output.stdout.lines() {
            match (line.strip_prefix("== "), sections.last_mut()) {
                (Some(name), _) => sections.push((name.to_owned(), Vec::new())),
                (None, Some((_, lines))) => lines.push(line.trim_end().to_owned()),
                (None, None) => {}
            }
        }
        Self(sections)
    }

    /// What is in `later` and not here (`+`), and the other way round (`-`); empty when nothing is.
    pub fn difference(&self, later: &Self) -> String {
        let mut text = String::new();
        for ((name, before), (_, after)) in self.0.iter().zip(&later.0) {
            let gone = before.iter().filter(|line| !after.contains(line)).map(|line| ('-', line));
            let new = after.iter().filter(|line| !before.contains(line)).map(|line| ('+', line));
            for (sign, line) in gone.chain(new) {
                writeln!(text, "{name}: {sign} {line}").expect("a string takes everything");
            }
        }
        text
    }

    /// `Ok` when `later` is the same; otherwise what differs. For [`crate::eventually`].
    pub fn same_as(&self, later: &Self) -> Result<(), String> {
        if self == later { Ok(()) } else { Err(format!("the host differs:\n{}", self.difference(later))) }
    }
}
