//! The guard of kernels whose nf_tables is too old (EL7's 3.10): ebtables(8), iptables(8) and ip6tables(8).
//!
//! Here programs are executed, some twenty for an attach, and every port has a chain of its own, which is
//! gone through one after the other. What these programs cannot say is not covered:
//! - whom a neighbour advertisement is about: a container may send one for another's address, from its own;
//! - whether neighbour discovery is behind an extension header; a router advertisement whose ICMPv6 header
//!   is in a later fragment than the first (kernels from 5.12 on do not put that together).
//!
//! All rules are made from who is admitted ([`rules`]), in memory, and the difference to those that were made
//! before is written ([`apply`]). Nobody tells when rules are taken away: a thread looks every few seconds.

mod apply;
mod inbound;
mod isolation;
mod port;
mod program;
mod rules;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use self::{apply::Look, rules::Admitted};
use super::{Error, Guard, nftables};
use crate::{config, model::Attachment};

/// How often to look whether the rules are there.
const PERIOD: Duration = Duration::from_secs(5);

/// The guard.
pub struct Ebtables(Arc<Rules>);

struct Rules {
    networks: Vec<config::Network>,
    admitted: Mutex<Admitted>,
}

impl Ebtables {
    /// A guard for these networks. Nothing has been changed yet.
    ///
    /// # Errors
    /// A program is missing.
    pub fn new(networks: &[config::Network]) -> Result<Self, Error> {
        program::ALL.iter().try_for_each(|program| program.list().map(drop))?;
        Ok(Self(Arc::new(Rules { networks: networks.to_vec(), admitted: Mutex::default() })))
    }
}

impl Rules {
    fn admitted(&self) -> MutexGuard<'_, Admitted> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits exactly these, after a look whether what was there before is in force.
    fn change(&self, admitted: &mut Admitted, to: Admitted) -> Result<(), Error> {
        let [old, new] = [&*admitted, &to].map(|admitted| rules::of(&self.networks, admitted));
        let changed = apply::agree(&old, Look::Count).and_then(|_| apply::change(&old, &new));
        if let Err(error) = changed {
            // As it was; if that fails too, the next look does it.
            let _ = apply::agree(&old, Look::Text);
            return Err(error);
        }
        *admitted = to;
        Ok(())
    }

    /// Whether all is as it should be; afterwards it is.
    fn look(&self) -> Result<bool, Error> {
        let admitted = self.admitted();
        apply::agree(&rules::of(&self.networks, &admitted), Look::Count).map(|changed| !changed)
    }
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
            apply::agree(&rules::of(&self.0.networks, &admitted), Look::Text)?;
        }
        for attachment in attachments {
            if let Err(error) = inbound::is_possible(attachment) {
                tracing::error!(id = %attachment.id, %error, "its neighbours may reach it now");
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
        inbound::is_possible(attachment)?;
        let mut admitted = self.0.admitted();
        let mut to = admitted.clone();
        to.insert(attachment.id, attachment.clone());
        self.0.change(&mut admitted, to)
    }

    fn update(&self, attachment: &Attachment) -> Result<(), Error> {
        inbound::is_possible(attachment)?;
        let mut admitted = self.0.admitted();
        let mut to = admitted.clone();
        if let Some(known) = to.get_mut(&attachment.id) {
            known.inbound = attachment.inbound.clone();
        }
        self.0.change(&mut admitted, to)
    }

    fn dismiss(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut admitted = self.0.admitted();
        let mut to = admitted.clone();
        to.remove(&attachment.id);
        self.0.change(&mut admitted, to)
    }

    fn check(&self, attachment: &Attachment) -> Vec<String> {
        let port = attachment.id.host_interface();
        let _admitted = self.0.admitted();
        let listed = match program::BRIDGE_NAT.list() {
            Ok(listed) => listed,
            Err(error) => return vec![error.to_string()],
        };
        let leads = |from: &str, to: &str| {
            let end = format!("-j {to}");
            listed.get(from).is_some_and(|rules| rules.iter().any(|rule| rule.ends_with(&end)))
        };
        let mut problems = Vec::new();
        if !leads("PREROUTING", port::CHAIN) {
            problems.push(format!("ebtables' chain PREROUTING does not lead to {}", port::CHAIN));
        }
        if !leads(port::CHAIN, &port) {
            let chain = port::CHAIN;
            problems
                .push(format!("the guard does not know it: ebtables' chain {chain} has no rule for {port}"));
        }
        problems
    }
}

/// The tables in which there is a chain of ours. A program that is missing has none.
pub fn present() -> Vec<String> {
    let has_ours = |program: &&program::Program| {
        program.list().is_ok_and(|listed| listed.keys().any(|chain| program::is_ours(chain)))
    };
    program::ALL.iter().filter(has_ours).map(|program| program.name()).collect()
}

/// Removes what an earlier run left.
pub fn remove_all() {
    for program in program::ALL {
        if let Err(error) = apply::clear(program) {
            tracing::debug!(%error, "removing the rules of an earlier run");
        }
    }
}
