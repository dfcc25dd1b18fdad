//! All the rules there have to be, given who is admitted.

use std::collections::BTreeMap;

use super::{
    inbound, isolation, port,
    program::{self, BRIDGE_NAT, Program},
};
use crate::{
    config,
    model::{Attachment, AttachmentId},
};

/// All ports of ours.
pub const PORTS: &str = "v6p+";

/// Who is admitted, in the order in which their rules stand.
pub type Admitted = BTreeMap<AttachmentId, Attachment>;

/// The rules of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What has to stand first in a chain of the kernel's: the chain's name and the rule.
    pub hooks: Vec<(&'static str, String)>,
    /// Our chains, a chain before those that lead to it.
    pub chains: Vec<(String, Vec<String>)>,
}

/// The rules of all tables, of which none is left out.
pub type Ruleset = BTreeMap<Program, Table>;

/// The rules for these.
pub fn of(networks: &[config::Network], admitted: &Admitted) -> Ruleset {
    let mut ruleset: Ruleset = program::ALL.map(|program| (program, Table::default())).into();
    let parts = [(BRIDGE_NAT, port::table(admitted))]
        .into_iter()
        .chain(port::past_the_bridge())
        .chain(isolation::tables(networks, admitted))
        .chain(inbound::tables(admitted));
    for (program, part) in parts {
        let table = ruleset.entry(program).or_default();
        table.hooks.extend(part.hooks);
        table.chains.extend(part.chains);
    }
    ruleset
}
