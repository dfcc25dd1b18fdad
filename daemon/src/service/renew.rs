//! Renewing: what a further call for an attached namespace adds to its attachment.

use std::sync::Arc;

use super::{
    Change, Error, Service,
    naming::{Namer, Naming},
    table::Table,
};
use crate::{
    auth::Lease,
    model::{Attachment, AttachmentId, Inbound, State},
    policy::Grant,
};

impl Service {
    /// Fills in what this call knows and the attachment does not, and gives it the new lease. None: it
    /// has come to an end meanwhile.
    pub(super) fn renew(
        &self,
        grant: &Grant,
        id: AttachmentId,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Option<Attachment>, Error> {
        let _nobody_detaches_it = self.changes();
        let mut table = self.table();
        let Some(before) = table.get(id).filter(|a| a.state == State::Active).cloned() else {
            return Ok(None);
        };
        let after = self.renewed(&table, grant, &before, lease)?;
        if after == before {
            return Ok(Some(before));
        }
        // Its name and container id are taken from here on, and the end of its former lease is not its end.
        let former = table.lease(id).cloned();
        table.put(after.clone());
        if lease.is_some() {
            table.set_lease(id, lease.cloned());
        }
        drop(table);
        let recorded = self.record_renewal(&before, &after);
        let mut table = self.table();
        // What the rules forbid may have been looked at meanwhile.
        let forbidden = table.get(id).and_then(|found| found.forbidden.clone());
        if let Err(error) = recorded {
            table.set_lease(id, former.clone());
            table.put(Attachment { forbidden, ..before });
            // It may have ended meanwhile.
            former.into_iter().for_each(|former| self.watch_lease(id, former));
            return Err(error);
        }
        let after = Attachment { forbidden, ..after };
        self.settle(&mut table, &after, lease.cloned(), Change::Changed);
        self.parts.audit.lives(&after);
        Ok(Some(after))
    }

    /// As it will be.
    fn renewed(
        &self,
        table: &Table,
        grant: &Grant,
        before: &Attachment,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Attachment, Error> {
        let wish = grant.wish();
        let mut attachment = before.clone();
        if let (None, Some(container)) = (&attachment.container_id, &wish.container_id)
            && table.by_container(attachment.uid, container).is_none()
        {
            attachment.container_id = Some(container.clone());
        }
        if let (None, Some(name)) = (&attachment.name, &wish.name) {
            let policy = self.policy();
            let namer = Namer { table, policy: &policy, subject: grant.subject(), ruling: grant.ruling() };
            let Naming::Free(free) = namer.choose(Some(name), &[])? else {
                return Err(Error::NameTaken(name.clone()));
            };
            attachment.name = free;
        }
        if let (Inbound::Open, Some(inbound)) = (&attachment.inbound, &wish.inbound) {
            attachment.inbound = inbound.clone();
        }
        attachment.lease = lease.map(|lease| lease.id()).or(attachment.lease);
        Ok(attachment)
    }

    fn record_renewal(&self, before: &Attachment, after: &Attachment) -> Result<(), Error> {
        if after.inbound == before.inbound {
            return Ok(self.parts.store.write(after)?);
        }
        self.limit(before, after)
    }
}
