//! Detaching: withdraw, record, the kernel, erase. It goes on after a failure, and succeeds when all is
//! gone already.

use super::{Change, Error, Service, Target};
use crate::{
    audit::Reason,
    auth::Peer,
    fault::Fault,
    model::{Attachment, AttachmentId, State},
};

impl Service {
    /// Ends an attachment because its owner, or an administrator, says so.
    ///
    /// # Errors
    /// [`Error::NoAttachment`], also if it is another user's; or the kernel would not let go.
    pub fn deactivate(&self, peer: &Peer, target: &Target) -> Result<Attachment, Error> {
        let found = self.get(peer, target)?;
        let reason = if peer.uid() == found.uid { Reason::Detach } else { Reason::Administrator };
        match self.begin(found.id) {
            Some(attachment) => self.carry_out_detach(&attachment, reason).map(|()| attachment),
            // Somebody else is at it: their success is ours.
            None => self.wait_until_gone(found),
        }
    }

    /// Ends an attachment whose lease or namespace has ended, or that stands in the way.
    ///
    /// # Errors
    /// The kernel would not let go.
    pub fn detach_unasked(&self, id: AttachmentId, reason: Reason) -> Result<(), Error> {
        self.begin(id).map_or(Ok(()), |attachment| self.carry_out_detach(&attachment, reason))
    }

    /// From here on it is ours to remove, and no registry publishes it. None: it is not in use.
    fn begin(&self, id: AttachmentId) -> Option<Attachment> {
        let _nobody_changes_it = self.changes();
        let mut table = self.table();
        table.get(id).filter(|attachment| attachment.state == State::Active)?;
        let attachment = table.set_state(id, State::Detaching)?;
        self.parts.registries.withdraw(id);
        self.tell(Change::Changed, &attachment);
        Some(attachment)
    }

    fn carry_out_detach(&self, attachment: &Attachment, reason: Reason) -> Result<(), Error> {
        let id = attachment.id;
        if let Err(error) = self.undo_everything(attachment) {
            // The record stays, so that the next start tries again if we do not succeed before; so does the
            // address, which may still be in use. The name is free.
            tracing::error!(%id, uid = attachment.uid, %error, "not detached; it is tried again");
            self.give_up(attachment, reason);
            return Err(error);
        }
        // Before anybody else can be given the address.
        self.parts.audit.ended(attachment, reason);
        self.let_go(attachment);
        self.tell(Change::Removed, attachment);
        Ok(())
    }

    fn undo_everything(&self, attachment: &Attachment) -> Result<(), Error> {
        Fault.after("detach.withdrawn")?;
        if let Err(error) = self.parts.store.write(attachment) {
            // A full disk does not keep a link alive, and erasing the record needs no room.
            tracing::warn!(id = %attachment.id, %error, "recording a detach");
        }
        Fault.after("detach.recorded")?;
        self.net(&attachment.network)?.driver.detach(attachment, Fault)?;
        self.parts.guard.dismiss(attachment)?;
        Fault.after("detach.dismissed")?;
        if let Err(error) = self.parts.store.erase(attachment.id) {
            // Link, address and name are gone, which is what was asked for; the next start erases it.
            tracing::warn!(id = %attachment.id, %error, "erasing the record of a detach");
        }
        Fault.after("detach.erased")?;
        Ok(())
    }

    /// A detach failed. It is in use again as far as the table goes: the owner may try again, and so do we.
    fn give_up(&self, attachment: &Attachment, reason: Reason) {
        let mut table = self.table();
        table.note_refused(attachment.id);
        if let Some(attachment) = table.set_state(attachment.id, State::Active) {
            // Watchers were told that it is being detached.
            self.tell(Change::Changed, &attachment);
        }
        drop(table);
        self.settled.notify_all();
        self.try_later(attachment, reason);
    }

    fn wait_until_gone(&self, attachment: Attachment) -> Result<Attachment, Error> {
        let table = self.table();
        let waited = self.settled.wait_timeout_while(table, super::PATIENCE, |table| {
            table.get(attachment.id).is_some_and(|found| found.state != State::Active)
        });
        let (table, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        if table.get(attachment.id).is_some() { Err(Error::Busy) } else { Ok(attachment) }
    }
}
