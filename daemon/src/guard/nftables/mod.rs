//! The guard by nf_tables, over nfnetlink: no program is executed, not even at start.
//!
//! # Theory of operation
//! The whole ruleset with all elements is written in one batch, which the kernel puts in force at one
//! moment in place of what was there: no packet sees half of it. Attaching and detaching only add and
//! remove elements, in one batch each. If the kernel refuses one because something is missing (somebody
//! flushed the table a moment ago), everything is written again from what we know, so that nothing is ever
//! admitted into a table that does not filter.
//!
//! [`ruleset`] holds the rules, [`elements`] what an attachment has in them, [`watch`] notices when
//! somebody else takes them away.

mod elements;
mod rule;
mod ruleset;
mod socket;
mod watch;
mod wire;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::io::Errno;

use self::{
    rule::{Change, Element, Table},
    socket::Socket,
    wire::{Batch, Family},
};
use super::{Error, Guard};
use crate::{
    config,
    model::{Attachment, AttachmentId},
};

/// What errors name.
const OBJECT: &str = "the nftables tables v6pod";

/// The guard.
pub struct Nftables(Arc<Rules>);

/// The rules, and who is admitted.
struct Rules {
    networks: Vec<config::Network>,
    tables: [Table; 2],
    /// The number of the socket by which all our changes are made.
    port: u32,
    state: Mutex<State>,
}

struct State {
    socket: Socket,
    admitted: HashMap<AttachmentId, Attachment>,
}

impl Nftables {
    /// A guard for these networks. The kernel has checked its rules and changed nothing.
    ///
    /// # Errors
    /// The kernel cannot do it.
    pub fn new(networks: &[config::Network]) -> Result<Self, Error> {
        let socket = Socket::open().map_err(Error::step("opening nfnetlink", OBJECT))?;
        let rules = Rules {
            networks: networks.to_vec(),
            tables: ruleset::tables(networks),
            port: socket.port(),
            state: Mutex::new(State { socket, admitted: HashMap::new() }),
        };
        rules.write(&mut rules.state(), false).map_err(Error::step("checking the rules", OBJECT))?;
        Ok(Self(Arc::new(rules)))
    }
}

impl Rules {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything, in place of what is there; or only has it checked.
    fn write(&self, state: &mut State, commit: bool) -> io::Result<()> {
        let mut batch = state.socket.batch();
        for table in &self.tables {
            table.write(&mut batch);
        }
        let elements: Vec<_> =
            state.admitted.values().map(|attachment| elements::of(attachment, &self.networks)).collect();
        for (position, table) in self.tables.iter().enumerate() {
            let mut all: Vec<_> = elements.iter().flat_map(|of| &of[position]).collect();
            all.sort_by_key(|element| element.set);
            Element::write_all(&all, Change::Add, &mut batch, table.family, table.name);
        }
        state.socket.send(batch, commit)
    }

    /// Adds or removes one attachment's elements.
    fn change(&self, state: &mut State, attachment: &Attachment, change: Change) -> io::Result<()> {
        let mut batch: Batch = state.socket.batch();
        for (table, elements) in self.tables.iter().zip(elements::of(attachment, &self.networks)) {
            let all: Vec<_> = elements.iter().collect();
            Element::write_all(&all, change, &mut batch, table.family, table.name);
        }
        match state.socket.send(batch, true) {
            // A table, a set or an element is not there, or is another's.
            Err(error) if is_missing(&error) => {
                tracing::warn!(%error, "the guard's rules are not as they were left: writing them again");
                self.write(state, true)
            }
            outcome => outcome,
        }
    }

    /// Writes everything again because somebody else changed it.
    fn restore(&self) -> io::Result<()> {
        self.write(&mut self.state(), true)
    }

    fn problems(&self, attachment: &Attachment) -> io::Result<Vec<String>> {
        let mut state = self.state();
        let mut problems = Vec::new();
        for (table, elements) in self.tables.iter().zip(elements::of(attachment, &self.networks)) {
            let rules = state.socket.count(libc::NFT_MSG_GETRULE, table.family, |message| {
                message.text(1, table.name);
            })?;
            let name = format!("{} {}", family(table.family), table.name);
            if rules != table.rules() {
                problems.push(format!("the table {name} has {rules} rules and not {}", table.rules()));
            }
            for element in elements {
                let ask = |message: &mut wire::Attributes<'_>| element.name(table.name, message);
                if !state.socket.has(libc::NFT_MSG_GETSETELEM, table.family, ask)? {
                    problems.push(format!(
                        "the guard does not know it: it is not in the set {} of the table {name}",
                        element.set
                    ));
                }
            }
        }
        Ok(problems)
    }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Bridge => "bridge",
        Family::Inet => "inet",
        Family::Any => "any",
    }
}

fn is_missing(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::EXIST, Errno::BUSY].map(Some).contains(&Errno::from_io_error(error))
}

impl Guard for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    fn begin(&self, attachments: &[Attachment]) -> Result<(), Error> {
        // Watching begins first, so that nothing is missed.
        watch::start(&self.0).map_err(Error::step("watching", OBJECT))?;
        let mut state = self.0.state();
        state.admitted = attachments.iter().map(|attachment| (attachment.id, attachment.clone())).collect();
        self.0.write(&mut state, true).map_err(Error::step("writing the rules", OBJECT))
    }

    fn admit(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut state = self.0.state();
        state.admitted.insert(attachment.id, attachment.clone());
        self.0.change(&mut state, attachment, Change::Add).map_err(|error| {
            state.admitted.remove(&attachment.id);
            Error::step("admitting to", OBJECT)(error)
        })
    }

    fn dismiss(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut state = self.0.state();
        if state.admitted.remove(&attachment.id).is_none() {
            return Ok(());
        }
        self.0.change(&mut state, attachment, Change::Remove).map_err(Error::step("dismissing from", OBJECT))
    }

    fn check(&self, attachment: &Attachment) -> Vec<String> {
        self.0.problems(attachment).unwrap_or_else(|error| vec![format!("asking nf_tables failed: {error}")])
    }
}

/// Removes what an earlier run left.
///
/// # Errors
/// There is no nf_tables.
pub fn remove() -> io::Result<()> {
    let mut socket = Socket::open()?;
    for table in ruleset::tables(&[]) {
        let mut batch = socket.batch();
        Table::remove(table.family, table.name, &mut batch);
        socket.send(batch, true)?;
    }
    Ok(())
}
