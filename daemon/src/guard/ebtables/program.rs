//! The programs: how they are run, and what they list.

use std::{
    collections::BTreeMap,
    io,
    process::{Command, Stdio},
};

use super::super::Error;
use crate::model::AttachmentId;

/// Where the programs are.
const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";
/// What all chains of ours begin with that are not a port's.
const OURS: &str = "V6POD";

/// A table of one of the programs. `--concurrent` and `-w`: it waits for others who change the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program(&'static str);

pub const BRIDGE_NAT: Program = Program("ebtables --concurrent -t nat");
pub const BRIDGE_FILTER: Program = Program("ebtables --concurrent -t filter");
pub const RAW: Program = Program("ip6tables -w -t raw");
pub const RAW_V4: Program = Program("iptables -w -t raw");
pub const MANGLE: Program = Program("ip6tables -w -t mangle");
pub const FILTER: Program = Program("ip6tables -w -t filter");
/// All of them.
pub const ALL: [Program; 6] = [BRIDGE_NAT, BRIDGE_FILTER, RAW, RAW_V4, MANGLE, FILTER];

/// The rules of each chain of a table, in order, as the program writes them.
pub type Listed = BTreeMap<String, Vec<String>>;

impl Program {
    /// Runs it to its end. The words are separated by spaces; none of ours has one within.
    ///
    /// # Errors
    /// It cannot be started, or did not succeed: then with the beginning of what it said.
    pub fn run(self, words: &str) -> Result<(), Error> {
        output(&format!("{} {words}", self.0)).map(drop)
    }

    /// All chains of the table.
    pub fn list(self) -> Result<Listed, Error> {
        if self.is_ebtables() {
            Ok(read_ebtables(&output(&format!("{} -L", self.0))?))
        } else {
            Ok(read_iptables(&output(&format!("{} -S", self.0))?))
        }
    }

    /// Whether versions of it differ in how they write rules.
    pub fn is_ebtables(self) -> bool {
        self.0.starts_with("ebtables")
    }

    /// "ebtables nat", "ip6tables raw".
    pub fn name(self) -> String {
        let mut words = self.0.split(' ');
        format!("{} {}", words.next().unwrap_or_default(), words.next_back().unwrap_or_default())
    }
}

/// Whether a chain of this name is ours.
pub fn is_ours(chain: &str) -> bool {
    chain == OURS || chain.starts_with("V6POD-") || is_port(chain)
}

/// Whether a rule leads to a chain of ours.
pub fn leads_to_ours(rule: &str) -> bool {
    rule.rsplit_once("-j ").is_some_and(|(_, target)| is_ours(target.trim()))
}

fn is_port(name: &str) -> bool {
    name.strip_prefix("v6p").is_some_and(|id| id.parse::<AttachmentId>().is_ok())
}

/// Of sections that begin with lines such as `Bridge chain: V6POD, entries: 2, policy: RETURN`.
fn read_ebtables(listed: &str) -> Listed {
    let mut chains = Listed::new();
    let mut rules = None;
    for line in listed.lines() {
        if let Some(head) = line.strip_prefix("Bridge chain: ") {
            rules = head.split_once(',').map(|(name, _)| chains.entry(name.to_owned()).or_default());
        } else if let Some(rules) = rules.as_mut().filter(|_| line.starts_with('-')) {
            rules.push(line.trim().to_owned());
        }
    }
    chains
}

/// Of lines such as `-N V6POD`, `-P FORWARD ACCEPT`, and `-A FORWARD -j V6POD`.
fn read_iptables(listed: &str) -> Listed {
    let mut chains = Listed::new();
    for line in listed.lines() {
        let mut words = line.splitn(3, ' ');
        let (command, chain, rest) = (words.next(), words.next(), words.next());
        let Some(chain) = chain else { continue };
        let rules = chains.entry(chain.to_owned()).or_default();
        if command == Some("-A") {
            rules.push(rest.unwrap_or_default().to_owned());
        }
    }
    chains
}

fn output(command: &str) -> Result<String, Error> {
    let mut words = command.split(' ');
    let fail = |source| Error::step("running", command)(source);
    let program = words.next().unwrap_or_default();
    let output = Command::new(program)
        .args(words)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .output()
        .map_err(fail)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(200).collect();
    Err(fail(io::Error::other(format!("{}: {said}", output.status))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chains<const N: usize>(chains: [(&str, &[&str]); N]) -> Listed {
        let owned = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
        chains.map(|(name, rules)| (name.to_owned(), owned(rules))).into()
    }

    #[test]
    fn names_of_ours_are_told_from_others() {
        for name in ["v6p0123456789ab", "V6POD", "V6POD-USER"] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["V6PODS", "v6pod0", "PREROUTING", "v6p0123456789a", "v6p0123456789abc"] {
            assert!(!is_ours(name), "{name}");
        }
        assert!(leads_to_ours("-i v6p+ -j V6POD "));
        for rule in ["-j V6PODS", "-i v6p0123456789ab -j DROP", "-j", ""] {
            assert!(!leads_to_ours(rule), "{rule}");
        }
    }

    #[test]
    fn ebtables_chains_are_read_as_they_are_listed() {
        let listed = "Bridge table: nat\n\nBridge chain: PREROUTING, entries: 1, policy: ACCEPT\n-i v6p+ -j V6POD \n\n\
            Bridge chain: V6POD, entries: 0, policy: RETURN\nBridge chain: odd\n-j DROP\n";
        let expected = chains([("PREROUTING", &["-i v6p+ -j V6POD"]), ("V6POD", &[])]);
        assert_eq!(read_ebtables(listed), expected);
    }

    #[test]
    fn iptables_chains_are_read_as_they_are_listed() {
        let listed = "-P FORWARD ACCEPT\n-N V6POD\n-A FORWARD -j V6POD\n-A V6POD -s fd00::/80 -j DROP\nodd\n";
        let expected = chains([("FORWARD", &["-j V6POD"]), ("V6POD", &["-s fd00::/80 -j DROP"])]);
        assert_eq!(read_iptables(listed), expected);
    }

    #[test]
    fn a_failed_program_is_named_with_its_words() {
        let error = output("ebtables-that-is-not-there -L").unwrap_err().to_string();
        assert!(error.starts_with("running failed for ebtables-that-is-not-there -L: "), "{error}");
        let error = output("sh -x/").unwrap_err().to_string();
        assert!(error.contains("exit status") && error.len() < 400, "{error}");
    }
}
