//! What should be at the agent, and what is known about it. No I/O and no clock: times are counted in
//! changes.
//!
//! For each attachment there is at most one request at a time, so a withdrawal that overtakes its
//! registration waits for it and is sent after it. An entry that is withdrawn stays until the agent has
//! confirmed; nothing else is remembered.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::agent::{Listed, Service};
use crate::model::AttachmentId;

/// A request to make.
#[derive(Clone, Debug)]
pub struct Push {
    /// For which attachment.
    pub id: AttachmentId,
    /// The service to register, `None` to deregister.
    pub service: Option<Arc<Service>>,
    /// Which change of the entry it carries out.
    change: u64,
}

/// How a request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// The agent is there and said no: not again before the next comparison.
    Refused(String),
    /// No answer: as soon as the agent is there again.
    Lost,
}

#[derive(Debug)]
struct Entry {
    wanted: Option<Arc<Service>>,
    /// When `wanted` last changed.
    changed: u64,
    /// When anything about the entry last happened; a list asked for before that says nothing about it.
    touched: u64,
    in_flight: bool,
    confirmed: bool,
    refusal: Option<String>,
}

/// All entries.
#[derive(Debug, Default)]
pub struct Desired {
    clock: u64,
    entries: HashMap<AttachmentId, Entry>,
    /// Entries with something to push.
    due: BTreeSet<AttachmentId>,
}

impl Desired {
    /// Wants a service.
    pub fn publish(&mut self, id: AttachmentId, service: Service) {
        let same = self.entries.get(&id).is_some_and(|entry| entry.wanted.as_deref() == Some(&service));
        if !same {
            self.want(id, Some(Arc::new(service)));
        }
    }

    /// Wants it no longer, whether known or not: it may be known to the agent from before a restart.
    pub fn withdraw(&mut self, id: AttachmentId) {
        if self.entries.get(&id).is_none_or(|entry| entry.wanted.is_some()) {
            self.want(id, None);
        }
    }

    fn want(&mut self, id: AttachmentId, wanted: Option<Arc<Service>>) {
        let now = self.tick();
        let in_flight = self.entries.get(&id).is_some_and(|entry| entry.in_flight);
        let entry = Entry { wanted, changed: now, touched: now, in_flight, confirmed: false, refusal: None };
        self.entries.insert(id, entry);
        self.due.insert(id);
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The present moment, to compare with later.
    pub fn now(&self) -> u64 {
        self.clock
    }

    /// The next request, which then is in flight until [`Self::pushed`].
    pub fn next(&mut self) -> Option<Push> {
        let idle = |id: &&AttachmentId| self.entries.get(id).is_some_and(|entry| !entry.in_flight);
        let id = *self.due.iter().find(idle)?;
        self.due.remove(&id);
        let entry = self.entries.get_mut(&id)?;
        entry.in_flight = true;
        Some(Push { id, service: entry.wanted.clone(), change: entry.changed })
    }

    /// A request came to its end.
    pub fn pushed(&mut self, push: &Push, outcome: Outcome) {
        let now = self.tick();
        let Some(entry) = self.entries.get_mut(&push.id) else {
            return;
        };
        entry.in_flight = false;
        entry.touched = now;
        if entry.changed != push.change {
            // Changed meanwhile, and due again since then.
            return;
        }
        match outcome {
            Outcome::Done if entry.wanted.is_none() => self.forget(push.id),
            Outcome::Done => {
                entry.confirmed = true;
                entry.refusal = None;
            }
            Outcome::Refused(refusal) => entry.refusal = Some(refusal),
            Outcome::Lost => {
                self.due.insert(push.id);
            }
        }
    }

    fn forget(&mut self, id: AttachmentId) {
        self.entries.remove(&id);
        self.due.remove(&id);
    }

    /// Compares with the agent's list, which was asked for at `since`. Unknown entries are removed from the
    /// agent only if `probation_over`.
    pub fn compare(&mut self, since: u64, listed: &HashMap<AttachmentId, Listed>, probation_over: bool) {
        let mut gone = Vec::new();
        for (id, entry) in &mut self.entries {
            if entry.in_flight || entry.touched > since {
                continue;
            }
            entry.confirmed = match (&entry.wanted, listed.get(id)) {
                (Some(wanted), Some(found)) => found.is(wanted),
                (Some(_), None) | (None, Some(_)) => false,
                (None, None) => {
                    gone.push(*id);
                    true
                }
            };
            if entry.confirmed {
                entry.refusal = None;
                self.due.remove(id);
            } else {
                self.due.insert(*id);
            }
        }
        for id in gone {
            self.forget(id);
        }
        if probation_over {
            let unknown = listed.keys().filter(|id| !self.entries.contains_key(id));
            for id in unknown.copied().collect::<Vec<_>>() {
                self.want(id, None);
            }
        }
    }

    /// Forgets withdrawals. Once the probation is over the next comparison removes them as unknown, so there
    /// is no need to remember them for as long as the agent is away.
    pub fn forget_withdrawn(&mut self) {
        self.entries.retain(|_, entry| entry.wanted.is_some() || entry.in_flight);
        self.due.retain(|id| self.entries.contains_key(id));
    }

    /// How many services are wanted.
    pub fn wanted(&self) -> usize {
        self.entries.values().filter(|entry| entry.wanted.is_some()).count()
    }

    /// A refusal, if there is any.
    pub fn refusal(&self) -> Option<&str> {
        self.entries.values().find_map(|entry| entry.refusal.as_deref())
    }

    /// Whether the service is wanted and, as far as is known, at the agent; if not, why.
    pub fn state(&self, id: AttachmentId, service: &Service) -> State<'_> {
        match self.entries.get(&id) {
            Some(entry) if entry.wanted.as_deref() == Some(service) => {
                if entry.confirmed {
                    State::Registered
                } else {
                    State::Pending(entry.refusal.as_deref())
                }
            }
            _ => State::Unwanted,
        }
    }
}

/// Where a service stands.
#[derive(Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// Nobody published it.
    Unwanted,
    /// Not confirmed yet, perhaps because the agent refused.
    Pending(Option<&'a str>),
    /// Confirmed.
    Registered,
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
