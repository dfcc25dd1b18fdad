//! Changing what may reach an attachment, while it is in use.

use super::{Change, Error, Service, Target};
use crate::{
    auth::Peer,
    model::{Attachment, AttachmentId, Inbound, State},
    policy::{Refusal, Subject},
};

impl Service {
    /// Sets what may reach an attachment of the caller's, from now on and over restarts.
    ///
    /// # Errors
    /// [`Error::NoAttachment`], also if it is another user's or just being detached; the rule that forbids it; the
    /// guard cannot, or the record cannot be written: then all is as before.
    pub fn set_inbound(
        &self,
        peer: &Peer,
        subject: &Subject,
        id: AttachmentId,
        inbound: Inbound,
    ) -> Result<Attachment, Error> {
        let absent = || Error::NoAttachment(Target::Id(id).to_string());
        let _nobody_detaches_it = self.changes();
        let before =
            self.table().get(id).filter(|found| peer.may_see(found.uid)).cloned().ok_or_else(absent)?;
        match before.state {
            State::Active if before.inbound == inbound => return Ok(before),
            State::Active => {}
            State::Attaching => return Err(Error::Busy),
            State::Detaching => return Err(absent()),
        }
        let policy = self.policy();
        let rule = policy.rule(subject, &before.network);
        if let Err(why) = rule.limits.inbound(Some(&inbound)) {
            return Err(Error::Refused(Refusal { why, origin: rule.origin.clone(), left: None }));
        }
        self.limit(&before, &Attachment { inbound: inbound.clone(), ..before.clone() })?;
        let mut table = self.table();
        let after = table.set_inbound(id, inbound).ok_or_else(absent)?;
        self.tell(Change::Changed, &after);
        tracing::info!(%id, uid = after.uid, by = peer.uid(), inbound = %after.inbound, "inbound traffic");
        Ok(after)
    }

    /// Has it recorded and carried out that something else may reach an attachment now. Whoever calls lets
    /// nobody else change it.
    pub(super) fn limit(&self, before: &Attachment, after: &Attachment) -> Result<(), Error> {
        self.parts.store.write(after)?;
        self.parts.guard.update(after).map_err(|error| {
            if let Err(error) = self.parts.store.write(before) {
                tracing::warn!(id = %before.id, %error, "undoing a change of inbound traffic in the record");
            }
            error.into()
        })
    }
}
