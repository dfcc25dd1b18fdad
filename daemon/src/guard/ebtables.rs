//! The guard of kernels whose nf_tables is too old (EL7's 3.10): ebtables(8), iptables(8) and ip6tables(8).
//!
//! Here programs are executed, some ten for an attach, and every port has a chain of its own, which is gone
//! through one after the other. What these programs cannot say is not covered:
//! - whom a neighbour advertisement is about: a container may send one for another's address, from its own;
//! - whether neighbour discovery is behind an extension header; a router advertisement whose ICMPv6 header
//!   is in a later fragment than the first (kernels from 5.12 on do not put that together);
//! - isolation of users and groups, and limits of inbound traffic: both are refused.
//!
//! Nobody tells when rules are taken away. Every attach looks, and so does a thread every few seconds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use super::{Error, Guard, Isolation, nftables, only_open};
use crate::{
    config,
    model::{Attachment, AttachmentId},
};

/// The chain of ours in every table.
const CHAIN: &str = "V6POD";
/// All ports.
const PORTS: &str = "v6p+";
/// How often to look whether the rules are there.
const PERIOD: Duration = Duration::from_secs(5);
/// Where the programs are.
const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// The guard.
pub struct Ebtables(Arc<Rules>);

struct Rules {
    networks: Vec<config::Network>,
    admitted: Mutex<HashMap<AttachmentId, Attachment>>,
}

impl Ebtables {
    /// A guard for these networks. Nothing has been changed yet.
    ///
    /// # Errors
    /// A program is missing, or a network asks for what these cannot do.
    pub fn new(networks: &[config::Network]) -> Result<Self, Error> {
        for network in networks {
            if let isolation @ (Isolation::User | Isolation::Group) = network.isolation {
                return Err(Error::Isolation {
                    network: network.name.to_string(),
                    isolation: isolation.as_str(),
                });
            }
        }
        run("ebtables --concurrent -t nat -L PREROUTING")?;
        run("ip6tables -w -S FORWARD")?;
        run("iptables -w -t raw -S PREROUTING")?;
        Ok(Self(Arc::new(Rules { networks: networks.to_vec(), admitted: Mutex::default() })))
    }
}

impl Rules {
    fn admitted(&self) -> MutexGuard<'_, HashMap<AttachmentId, Attachment>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn isolation(&self, attachment: &Attachment) -> Isolation {
        let network = self.networks.iter().find(|network| network.name == attachment.network);
        network.map_or(Isolation::Isolated, |network| network.isolation)
    }

    /// Brings chains and attachments into agreement, both ways. What is right already is not touched.
    fn agree(&self, admitted: &HashMap<AttachmentId, Attachment>) -> Result<(), Error> {
        let mut chains = chains()?;
        let known: BTreeSet<_> = admitted.keys().map(|id| id.host_interface()).collect();
        let ports: Vec<_> = chains.keys().filter(|name| is_port(name)).cloned().collect();
        for port in ports.iter().filter(|name| !known.contains(*name)) {
            remove(port);
            chains.remove(port);
        }
        // One rule for each port that there is, and one that drops the rest.
        let expected = ports.iter().filter(|name| known.contains(*name)).count() + 1;
        if self::chains()?.get(CHAIN) != Some(&expected) {
            let _ = run(&format!("ebtables --concurrent -t nat -N {CHAIN}"));
            run(&format!("ebtables --concurrent -t nat -F {CHAIN}"))?;
            run(&format!("ebtables --concurrent -t nat -A {CHAIN} -j DROP"))?;
            chains.clear();
        }
        self.isolate(admitted)?;
        for attachment in admitted.values() {
            if chains.get(&attachment.id.host_interface()) != Some(&rules(attachment).len()) {
                self.add(attachment)?;
            }
        }
        // Last, so that those who were admitted before notice nothing.
        if !is_in_force()? {
            run(&format!("ebtables --concurrent -t nat -I PREROUTING 1 -i {PORTS} -j {CHAIN}"))?;
        }
        Ok(())
    }

    /// What is the same for all: no way past the bridge, and none over the host between isolated networks.
    fn isolate(&self, admitted: &HashMap<AttachmentId, Attachment>) -> Result<(), Error> {
        let stray: Vec<_> =
            "0123456789abcdef".chars().map(|digit| format!("-i v6p{digit}+ -j DROP")).collect();
        replace("iptables -w -t raw", "PREROUTING", &stray)?;
        replace("ip6tables -w -t raw", "PREROUTING", &stray)?;
        let mut routed = Vec::new();
        for network in self.networks.iter().filter(|network| network.isolation == Isolation::Isolated) {
            for other in &self.networks {
                routed.push(format!("-s {} -d {} -j DROP", network.prefix, other.prefix));
                routed.push(format!("-s {} -d {} -j DROP", other.prefix, network.prefix));
            }
        }
        replace("ip6tables -w -t filter", "FORWARD", &routed)?;
        let mut bridged: Vec<_> = admitted.values().filter_map(|attachment| self.apart(attachment)).collect();
        bridged.sort();
        replace("ebtables --concurrent -t filter", "FORWARD", &bridged)
    }

    /// The rule that keeps an isolated container from others.
    fn apart(&self, attachment: &Attachment) -> Option<String> {
        let is_isolated = self.isolation(attachment) == Isolation::Isolated;
        is_isolated.then(|| format!("-i {} -o {PORTS} -j DROP", attachment.id.host_interface()))
    }

    fn add(&self, attachment: &Attachment) -> Result<(), Error> {
        let port = attachment.id.host_interface();
        // What is left of an earlier attempt.
        remove(&port);
        run(&format!("ebtables --concurrent -t nat -N {port}"))?;
        for rule in rules(attachment) {
            run(&format!("ebtables --concurrent -t nat -A {port} {rule}"))?;
        }
        if let Some(rule) = self.apart(attachment) {
            let _ = run(&format!("ebtables --concurrent -t filter -D {CHAIN} {rule}"));
            run(&format!("ebtables --concurrent -t filter -A {CHAIN} {rule}"))?;
        }
        run(&format!("ebtables --concurrent -t nat -I {CHAIN} 1 -i {port} -j {port}"))
    }

    fn look(&self) -> Result<bool, Error> {
        let admitted = self.admitted();
        let chains = chains()?;
        let is_whole = is_in_force()?
            && chains.get(CHAIN) == Some(&(admitted.len() + 1))
            && admitted.values().all(|attachment| {
                chains.get(&attachment.id.host_interface()) == Some(&rules(attachment).len())
            });
        if !is_whole {
            self.agree(&admitted)?;
        }
        Ok(is_whole)
    }
}

/// What one port may send. The addresses are the only ones it may have; the rest is dropped.
fn rules(attachment: &Attachment) -> Vec<String> {
    let link_local = attachment.mac.link_local();
    let icmp = |kind: u8| format!("-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type {kind}");
    let no_source = |kind: u8| format!("{} --ip6-source :: -j ACCEPT", icmp(kind));
    let mut rules = vec![format!("-s ! {} -j DROP", attachment.mac), "-p ! IPv6 -j DROP".to_owned()];
    // MLD query, router advertisement, redirect, router renumbering.
    rules.extend([130, 134, 137, 138].map(|kind| format!("{} -j DROP", icmp(kind))));
    rules.push("-p IPv6 --ip6-proto udp --ip6-source-port 547 -j DROP".to_owned());
    rules.extend([attachment.address, link_local].map(|own| format!("-p IPv6 --ip6-source {own} -j ACCEPT")));
    // Neighbour solicitation, MLD reports.
    rules.extend([135, 131, 132, 143].map(no_source));
    rules.push("-j DROP".to_owned());
    rules
}

/// Makes our chain in a table hold exactly these rules, and be gone through first. What is so already is not
/// touched.
fn replace(program: &str, from: &str, rules: &[String]) -> Result<(), Error> {
    let list = if program.starts_with("ebtables") { "-L" } else { "-S" };
    let read = |chain: &str| -> Result<Vec<String>, Error> {
        let listed = output(&format!("{program} {list} {chain}"))?;
        let bare = |line: &str| line.trim_start_matches(&format!("-A {chain} ")).trim().to_owned();
        Ok(listed.lines().filter(|line| line.starts_with('-')).map(bare).collect())
    };
    let is_rule = |line: &String| !line.starts_with("-N ") && !line.starts_with("-P ");
    let present = read(CHAIN).map(|lines| lines.into_iter().filter(is_rule).collect::<Vec<_>>());
    if !present.is_ok_and(|present| present == rules) {
        let _ = run(&format!("{program} -N {CHAIN}"));
        run(&format!("{program} -F {CHAIN}"))?;
        for rule in rules {
            run(&format!("{program} -A {CHAIN} {rule}"))?;
        }
    }
    let jump = format!("-j {CHAIN}");
    if read(from)?.into_iter().find(is_rule) == Some(jump) {
        return Ok(());
    }
    let _ = run(&format!("{program} -D {from} -j {CHAIN}"));
    run(&format!("{program} -I {from} 1 -j {CHAIN}"))
}

/// Removes a port's chain and what leads to it, if they are there.
fn remove(port: &str) {
    for command in [
        format!("ebtables --concurrent -t filter -D {CHAIN} -i {port} -o {PORTS} -j DROP"),
        format!("ebtables --concurrent -t nat -D {CHAIN} -i {port} -j {port}"),
        format!("ebtables --concurrent -t nat -F {port}"),
        format!("ebtables --concurrent -t nat -X {port}"),
    ] {
        let _ = run(&command);
    }
}

/// Whether everything from a container goes through our chain.
fn is_in_force() -> Result<bool, Error> {
    Ok(output("ebtables --concurrent -t nat -L PREROUTING")?.contains(&format!("-i {PORTS} -j {CHAIN}")))
}

/// The chains of the table in which ours are, and how many rules each has.
fn chains() -> Result<BTreeMap<String, usize>, Error> {
    Ok(read_chains(&output("ebtables --concurrent -t nat -L")?))
}

/// Of lines such as `Bridge chain: V6POD, entries: 2, policy: RETURN`.
fn read_chains(listed: &str) -> BTreeMap<String, usize> {
    let read = |line: &str| {
        let (name, rest) = line.strip_prefix("Bridge chain: ")?.split_once(", entries: ")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    listed.lines().filter_map(read).collect()
}

fn is_port(name: &str) -> bool {
    name.strip_prefix("v6p").is_some_and(|id| id.parse::<AttachmentId>().is_ok())
}

fn run(command: &str) -> Result<(), Error> {
    output(command).map(drop)
}

/// Runs a program to its end. (`--concurrent` and `-w`: it waits for others who change the same.) Its words are separated by spaces; none of ours has one within.
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

fn watch(rules: &Weak<Rules>) {
    while let Some(rules) = rules.upgrade() {
        match rules.look() {
            Ok(true) => {}
            Ok(false) => tracing::warn!("the guard's ebtables rules were changed by somebody else: restored"),
            Err(error) => tracing::error!(%error, "looking whether the guard's ebtables rules are there"),
        }
        drop(rules);
        thread::sleep(PERIOD);
    }
}

impl Guard for Ebtables {
    fn name(&self) -> &'static str {
        "ebtables"
    }

    fn begin(&self, attachments: &[Attachment]) -> Result<(), Error> {
        {
            let mut admitted = self.0.admitted();
            *admitted = attachments.iter().map(|attachment| (attachment.id, attachment.clone())).collect();
            self.0.agree(&admitted)?;
        }
        for attachment in attachments {
            if let Err(error) = only_open(attachment, self.name()) {
                tracing::error!(id = %attachment.id, %error, "everything reaches it now");
            }
        }
        if let Err(error) = nftables::remove() {
            tracing::debug!(%error, "removing the nftables rules of an earlier run");
        }
        let rules = Arc::downgrade(&self.0);
        thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || watch(&rules))
            .map_err(Error::step("watching", "the ebtables rules"))
            .map(drop)
    }

    fn admit(&self, attachment: &Attachment) -> Result<(), Error> {
        only_open(attachment, self.name())?;
        let mut admitted = self.0.admitted();
        admitted.insert(attachment.id, attachment.clone());
        let added = is_in_force()
            .and_then(|in_force| if in_force { self.0.add(attachment) } else { self.0.agree(&admitted) });
        added.inspect_err(|_| {
            admitted.remove(&attachment.id);
            remove(&attachment.id.host_interface());
        })
    }

    fn update(&self, attachment: &Attachment) -> Result<(), Error> {
        only_open(attachment, self.name())
    }

    fn dismiss(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut admitted = self.0.admitted();
        admitted.remove(&attachment.id);
        remove(&attachment.id.host_interface());
        Ok(())
    }

    fn check(&self, attachment: &Attachment) -> Vec<String> {
        let port = attachment.id.host_interface();
        let problems = || -> Result<Vec<String>, Error> {
            let _admitted = self.0.admitted();
            let mut problems = Vec::new();
            if !is_in_force()? {
                problems.push(format!("ebtables' chain PREROUTING does not lead to {CHAIN}"));
            }
            if !output(&format!("ebtables --concurrent -t nat -L {CHAIN}"))?
                .contains(&format!("-i {port} -j {port}"))
            {
                problems.push(format!(
                    "the guard does not know it: ebtables' chain {CHAIN} has no rule for {port}"
                ));
            }
            Ok(problems)
        };
        problems().unwrap_or_else(|error| vec![error.to_string()])
    }
}

/// Where our chain can be, and the chain of the kernel's that leads to it.
const TABLES: [(&str, &str); 5] = [
    ("ebtables --concurrent -t nat", "PREROUTING"),
    ("ebtables --concurrent -t filter", "FORWARD"),
    ("ip6tables -w -t filter", "FORWARD"),
    ("ip6tables -w -t raw", "PREROUTING"),
    ("iptables -w -t raw", "PREROUTING"),
];

/// The tables in which there is a chain of ours. A program that is missing has none.
pub fn present() -> Vec<String> {
    let has_ours = |program: &str| {
        let list = if program.starts_with("ebtables") { "-L" } else { "-S" };
        run(&format!("{program} {list} {CHAIN}")).is_ok()
    };
    TABLES.iter().filter(|(program, _)| has_ours(program)).map(|(program, _)| table(program)).collect()
}

/// "ebtables nat", "ip6tables raw".
fn table(program: &str) -> String {
    let mut words = program.split(' ');
    format!("{} {}", words.next().unwrap_or_default(), words.next_back().unwrap_or_default())
}

/// Removes what an earlier run left.
pub fn remove_all() {
    let Ok(chains) = chains() else { return };
    let _ = run(&format!("ebtables --concurrent -t nat -D PREROUTING -i {PORTS} -j {CHAIN}"));
    for port in chains.keys().filter(|name| is_port(name)) {
        remove(port);
    }
    for (program, from) in TABLES {
        for command in [format!("-D {from} -j {CHAIN}"), format!("-F {CHAIN}"), format!("-X {CHAIN}")] {
            let _ = run(&format!("{program} {command}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ports_are_told_from_others() {
        assert!(is_port("v6p0123456789ab"));
        for name in ["V6POD", "v6pod0", "PREROUTING", "v6p0123456789a", "v6p0123456789abc"] {
            assert!(!is_port(name), "{name}");
        }
    }

    #[test]
    fn chains_are_read_as_they_are_listed() {
        let listed = "Bridge table: nat\n\nBridge chain: PREROUTING, entries: 1, policy: ACCEPT\n-i v6p+ -j V6POD\n\n\
            Bridge chain: V6POD, entries: 12, policy: RETURN\nBridge chain: odd\n";
        let expected = [("PREROUTING".to_owned(), 1), ("V6POD".to_owned(), 12)];
        assert_eq!(read_chains(listed).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_failed_program_is_named_with_its_words() {
        let error = run("ebtables-that-is-not-there -L").unwrap_err().to_string();
        assert!(error.starts_with("running failed for ebtables-that-is-not-there -L: "), "{error}");
        let error = run("sh -x/").unwrap_err().to_string();
        assert!(error.contains("exit status") && error.len() < 400, "{error}");
    }
}
