//! Which name an attachment gets, where the one it asks for may be taken.

use super::{Error, table::Table};
use crate::{
    model::{Attachment, AttachmentId, Name, State},
    policy::{Collision, Policy, Ruling, Subject},
};

/// The highest number behind a name that is looked for in turn: NAME-2, NAME-3 and so on.
const COUNTED: u32 = 33;
/// A name's length in octets: RFC 1035, section 2.3.4.
const LONGEST: usize = 63;

/// What a look at a name led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Naming {
    /// It, or another in its place, is free.
    Free(Option<Name>),
    /// This one has it, has ended, and has to be detached first.
    InTheWay(AttachmentId),
    /// This one has it and is just being detached.
    Busy(AttachmentId),
}

/// What a name is held against.
pub struct Namer<'a> {
    /// What there is.
    pub table: &'a Table,
    /// The rules in force.
    pub policy: &'a Policy,
    /// Who asks.
    pub subject: &'a Subject,
    /// What they may.
    pub ruling: &'a Ruling,
}

impl Namer<'_> {
    /// Chooses a name, and looks whether the aliases are free.
    ///
    /// # Errors
    /// [`Error::NameTaken`].
    pub fn choose(&self, name: Option<&Name>, aliases: &[Name]) -> Result<Naming, Error> {
        if let Some(name) = name
            && let Some(found) = self.table.by_name(name)
            && let Some(naming) = self.about(found)
        {
            return Ok(naming);
        }
        if let Some(taken) = aliases.iter().find(|alias| self.is_taken(alias)) {
            return Err(Error::NameTaken((*taken).clone()));
        }
        let Some(name) = name else { return Ok(Naming::Free(None)) };
        let free = if self.is_free(name) {
            Some(name.clone())
        } else if self.ruling.collision == Collision::Suffix {
            self.suffixed(name)
        } else {
            None
        };
        free.map(|name| Naming::Free(Some(name))).ok_or_else(|| Error::NameTaken(name.clone()))
    }

    /// Whether who has the name is about to be rid of it.
    fn about(&self, found: &Attachment) -> Option<Naming> {
        // Of those who share a name others remain. One's own predecessor has one's address.
        if self.is_shared(found) && found.uid != self.subject.uid {
            return None;
        }
        let lease = self.table.lease(found.id);
        let ended = self.table.is_refused(found.id) || lease.is_some_and(|lease| lease.has_ended());
        match found.state {
            State::Active if ended => Some(Naming::InTheWay(found.id)),
            State::Detaching => Some(Naming::Busy(found.id)),
            _ => None,
        }
    }

    /// Whether nobody has it as a name, and nobody else as an alias; or whoever has it shares it.
    fn is_free(&self, name: &Name) -> bool {
        !self.is_taken(name) && self.table.by_name(name).is_none_or(|found| self.is_shared(found))
    }

    /// Whether somebody else has it, or it is kept for somebody else.
    fn is_taken(&self, name: &Name) -> bool {
        let others = self.table.anothers(name, self.subject.uid);
        self.policy.is_anothers(self.subject, name) || others.is_some_and(|found| !self.is_shared(found))
    }

    /// Both networks have to say so.
    fn is_shared(&self, found: &Attachment) -> bool {
        [self.ruling.collision, self.policy.collision(&found.network)] == [Collision::Share; 2]
    }

    fn suffixed(&self, name: &Name) -> Option<Name> {
        let candidates = (2..=COUNTED).filter_map(|number| {
            let end = format!("-{number}");
            let kept = name.as_str().get(..name.as_str().len().min(LONGEST - end.len()))?;
            format!("{}{end}", kept.trim_end_matches('-')).parse::<Name>().ok()
        });
        let may = |name: &Name| self.policy.may_be_named(self.subject, &self.ruling.rule, name).is_ok();
        candidates.into_iter().find(|candidate| self.is_free(candidate) && may(candidate))
    }
}
