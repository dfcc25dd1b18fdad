//! Who is admitted, and which of them are limited.

use std::collections::{HashMap, HashSet};

use super::inbound;
use crate::model::{Attachment, AttachmentId};

/// Those who are admitted.
#[derive(Default)]
pub struct Admitted {
    all: HashMap<AttachmentId, Attachment>,
    limited: HashSet<AttachmentId>,
}

impl Admitted {
    /// All, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Attachment> {
        self.all.values()
    }

    /// Those that do not take everything.
    pub fn limited(&self) -> impl Iterator<Item = &Attachment> {
        self.limited.iter().filter_map(|id| self.all.get(id))
    }

    /// Whether there are any that do not take everything but this one. It costs the same however many there are.
    pub fn are_others_limited(&self, id: AttachmentId) -> bool {
        self.limited.len() > usize::from(self.limited.contains(&id))
    }

    /// Puts one in; gives what it was before.
    pub fn insert(&mut self, attachment: Attachment) -> Option<Attachment> {
        if inbound::is_limited(&attachment) {
            self.limited.insert(attachment.id);
        } else {
            self.limited.remove(&attachment.id);
        }
        self.all.insert(attachment.id, attachment)
    }

    /// Takes one out.
    pub fn remove(&mut self, id: AttachmentId) -> Option<Attachment> {
        self.limited.remove(&id);
        self.all.remove(&id)
    }
}

impl FromIterator<Attachment> for Admitted {
    fn from_iter<I: IntoIterator<Item = Attachment>>(attachments: I) -> Self {
        let mut admitted = Self::default();
        attachments.into_iter().for_each(|attachment| drop(admitted.insert(attachment)));
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Inbound;

    #[test]
    fn who_is_limited_is_known_however_it_came_about() {
        let limited = |bits| Attachment { inbound: Inbound::Established, ..Attachment::made_up(bits, 7) };
        let mut admitted: Admitted = [Attachment::made_up(1, 7), limited(2)].into_iter().collect();
        let (one, two) = (Attachment::made_up(1, 7).id, limited(2).id);
        assert!(admitted.are_others_limited(one) && !admitted.are_others_limited(two));
        assert_eq!(admitted.insert(limited(1)), Some(Attachment::made_up(1, 7)));
        assert!(admitted.are_others_limited(one) && admitted.are_others_limited(two));
        assert_eq!(admitted.insert(Attachment::made_up(2, 7)), Some(limited(2)));
        assert!(!admitted.are_others_limited(one) && admitted.limited().eq([&limited(1)]));
        assert_eq!((admitted.remove(one), admitted.all().count()), (Some(limited(1)), 1));
        assert!(!admitted.are_others_limited(two) && admitted.limited().count() == 0);
    }
}
