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

mod admitted;
mod elements;
mod field;
mod inbound;
mod rule;
mod ruleset;
mod set;
mod socket;
mod table;
mod watch;
mod wire;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::io::Errno;

use self::{
    admitted::Admitted,
    rule::Name,
    set::{Change, ELEMENTS, Element, Set, of_set},
    socket::Socket,
    table::{Place, Table, of_table},
    wire::Batch,
};
use super::{Error, Guard};
use crate::{config, model::Attachment};

/// All tables that are ever ours.
const PLACES: [Place; 3] = [ruleset::BRIDGE, ruleset::INET, inbound::PLACE];
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
    admitted: Admitted,
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
            state: Mutex::new(State { socket, admitted: Admitted::default() }),
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
        let mut conversations = Vec::new();
        for attachment in state.admitted.limited() {
            for set in inbound::conversations(attachment.id) {
                conversations.extend(read_conversations(&mut state.socket, &set)?);
            }
        }
        let mut batch = state.socket.batch();
        for table in &self.tables {
            table.write(&mut batch);
        }
        let elements: Vec<_> =
            state.admitted.all().map(|attachment| elements::of(attachment, &self.networks)).collect();
        for (position, table) in self.tables.iter().enumerate() {
            let mut all: Vec<_> = elements.iter().flat_map(|of| of[position].iter().cloned()).collect();
            all.sort_by(|one, other| one.set.cmp(&other.set));
            Element::write_all(&all, Change::Add, &mut batch, table.place);
        }
        Table::remove(inbound::PLACE, &mut batch);
        for (attachment, position) in state.admitted.limited().zip(0..) {
            limit(attachment, position == 0, &mut batch);
        }
        Element::write_all(&conversations, Change::Add, &mut batch, inbound::PLACE);
        state.socket.send(batch, commit)
    }

    /// Has the kernel change what it has for one attachment.
    fn change(&self, state: &mut State, fill: impl FnOnce(&Self, &State, &mut Batch)) -> io::Result<()> {
        let mut batch = state.socket.batch();
        fill(self, state, &mut batch);
        match state.socket.send(batch, true) {
            // A table, a set or an element is not there, or is another's.
            Err(error) if is_missing(&error) => {
                tracing::warn!(%error, "the guard's rules are not as they were left: writing them again");
                self.write(state, true)
            }
            outcome => outcome,
        }
    }

    /// Adds or removes one attachment's elements.
    fn elements(&self, attachment: &Attachment, change: Change, batch: &mut Batch) {
        for (table, elements) in self.tables.iter().zip(elements::of(attachment, &self.networks)) {
            Element::write_all(&elements, change, batch, table.place);
        }
    }

    /// Writes everything again because somebody else changed it.
    fn restore(&self) -> io::Result<()> {
        self.write(&mut self.state(), true)
    }

    fn problems(&self, attachment: &Attachment) -> io::Result<Vec<String>> {
        let mut state = self.state();
        let mut expected: Vec<_> = self
            .tables
            .iter()
            .zip(elements::of(attachment, &self.networks))
            .map(|(table, elements)| (table.place, table.rules(), elements))
            .collect();
        if inbound::is_limited(attachment) {
            let own = |attachment| inbound::own(attachment).rules();
            let rules = inbound::base().rules() + state.admitted.limited().map(own).sum::<usize>();
            expected.push((inbound::PLACE, rules, inbound::elements(attachment)));
        }
        let mut problems = Vec::new();
        for (place, rules, elements) in expected {
            let ask = |message: &mut wire::Attributes<'_>| of_table(place, message);
            let found = state.socket.list(libc::NFT_MSG_GETRULE, place.family, ask, |_| ())?.len();
            if found != rules {
                problems.push(format!("the nftables table {place} has {found} rules in place of {rules}"));
            }
            for element in elements {
                let ask = |message: &mut wire::Attributes<'_>| element.name(place.name, message);
                if !state.socket.has(libc::NFT_MSG_GETSETELEM, place.family, ask)? {
                    problems.push(format!(
                        "the guard does not know it: it is not in the set {} of the nftables table {place}",
                        element.set
                    ));
                }
            }
        }
        Ok(problems)
    }
}

/// Writes what limits one attachment, and before the first one what all have in common.
fn limit(attachment: &Attachment, is_first: bool, batch: &mut Batch) {
    if is_first {
        inbound::base().write(batch);
    }
    const BEHIND_THE_BASE: u32 = 16;
    inbound::own(attachment).write_contents(batch, BEHIND_THE_BASE);
    Element::write_all(&inbound::elements(attachment), Change::Add, batch, inbound::PLACE);
}

/// Takes back what limits one attachment, and with the last one the table.
fn unlimit(attachment: &Attachment, is_last: bool, batch: &mut Batch) {
    if is_last {
        return Table::remove(inbound::PLACE, batch);
    }
    Element::write_all(&inbound::elements(attachment), Change::Remove, batch, inbound::PLACE);
    let own = inbound::own(attachment);
    for chain in &own.chains {
        chain.remove(batch, own.place);
    }
    for set in &own.sets {
        Set::remove(&set.name, batch, own.place);
    }
}

/// What the kernel has in a set of conversations; nothing if it has no such set.
fn read_conversations(socket: &mut Socket, set: &Name) -> io::Result<Vec<Element>> {
    let ask = |message: &mut wire::Attributes<'_>| of_set(inbound::PLACE.name, set, message);
    let read = |answer: &wire::Answer<'_>| {
        answer.attribute(ELEMENTS).map_or_else(Vec::new, |list| Element::read_all(set, list))
    };
    match socket.list(libc::NFT_MSG_GETSETELEM, inbound::PLACE.family, ask, read) {
        Ok(lists) => Ok(lists.concat()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
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
        state.admitted = attachments.iter().cloned().collect();
        self.0.write(&mut state, true).map_err(Error::step("writing the rules", OBJECT))
    }

    fn admit(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut state = self.0.state();
        state.admitted.insert(attachment.clone());
        let outcome = self.0.change(&mut state, |rules, state, batch| {
            rules.elements(attachment, Change::Add, batch);
            if inbound::is_limited(attachment) {
                limit(attachment, !state.admitted.are_others_limited(attachment.id), batch);
            }
        });
        outcome.map_err(|error| {
            state.admitted.remove(attachment.id);
            Error::step("admitting to", OBJECT)(error)
        })
    }

    fn update(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut state = self.0.state();
        let Some(before) = state.admitted.insert(attachment.clone()) else {
            state.admitted.remove(attachment.id);
            return Ok(());
        };
        let outcome = self.0.change(&mut state, |_, state, batch| {
            let is_only = !state.admitted.are_others_limited(attachment.id);
            match (inbound::is_limited(&before), inbound::is_limited(attachment)) {
                (false, false) => {}
                (false, true) => limit(attachment, is_only, batch),
                (true, false) => unlimit(&before, is_only, batch),
                // Conversations go on.
                (true, true) => {
                    for chain in inbound::own(attachment).chains {
                        chain.flush(batch, inbound::PLACE);
                        chain.write_rules(batch, inbound::PLACE);
                    }
                }
            }
        });
        outcome.map_err(|error| {
            state.admitted.insert(before);
            Error::step("limiting inbound traffic in", inbound::PLACE.name)(error)
        })
    }

    fn dismiss(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut state = self.0.state();
        let Some(before) = state.admitted.remove(attachment.id) else { return Ok(()) };
        let outcome = self.0.change(&mut state, |rules, state, batch| {
            rules.elements(&before, Change::Remove, batch);
            if inbound::is_limited(&before) {
                unlimit(&before, !state.admitted.are_others_limited(before.id), batch);
            }
        });
        outcome.map_err(|error| {
            // The kernel still has it: who tries again shall find it.
            state.admitted.insert(before);
            Error::step("dismissing from", OBJECT)(error)
        })
    }

    fn check(&self, attachment: &Attachment) -> Vec<String> {
        self.0.problems(attachment).unwrap_or_else(|error| vec![format!("asking nf_tables failed: {error}")])
    }
}

/// Those of our tables that are there.
///
/// # Errors
/// The kernel has no nf_tables, or would not say.
pub fn present() -> io::Result<Vec<String>> {
    let mut socket = Socket::open()?;
    let mut found = Vec::new();
    for place in PLACES {
        if socket.has(libc::NFT_MSG_GETTABLE, place.family, |message| Table::name(place, message))? {
            found.push(place.to_string());
        }
    }
    Ok(found)
}

/// Removes what an earlier run left.
///
/// # Errors
/// There is no nf_tables.
pub fn remove() -> io::Result<()> {
    let mut socket = Socket::open()?;
    let mut batch = socket.batch();
    PLACES.iter().for_each(|place| Table::remove(*place, &mut batch));
    socket.send(batch, true)
}
