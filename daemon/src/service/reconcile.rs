//! Reconciling: after a start, and before the first caller, records and kernel agree.
//!
//! Both ways: a record whose link is there is in use again, with its lease found again if it had one; a
//! record whose link is gone, or that was half made or half removed, is detached to its end; a link that
//! carries our mark and has no record is removed.

use std::{collections::HashSet, sync::Arc};

use super::{Change, Error, Service};
use crate::{
    auth::{Found, Holders, Lease},
    guard,
    model::{Attachment, State},
    network::{self, netlink::Socket},
};

/// What was found at a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Attachments that are in use again.
    pub restored: usize,
    /// Records that were detached to their end.
    pub detached: usize,
    /// Links without a record that were removed.
    pub orphans: usize,
}

impl Service {
    /// Reconciles. Nobody may call yet.
    ///
    /// # Errors
    /// The records cannot be read, or the kernel would not say what there is.
    pub fn reconcile(&self) -> Result<Reconciled, Error> {
        let mut outcome = Reconciled::default();
        let mut kept = HashSet::new();
        let holders = Holders::default();
        let mut records = self.parts.store.load()?;
        records.sort_by_key(|attachment| (attachment.created, attachment.id));
        // From here on exactly these may send; what comes to nothing below is dismissed there.
        let admitted: Vec<_> =
            records.iter().filter(|attachment| self.belongs(attachment)).cloned().collect();
        self.parts.guard.begin(&admitted)?;
        guard::succeed(self.guard(), &self.parts.store.path("guard"))?;
        for attachment in records {
            kept.insert(attachment.id);
            if self.restore(&attachment, &holders) {
                outcome.restored += 1;
            } else {
                self.finish_detach(&attachment);
                outcome.detached += 1;
            }
        }
        for (id, link) in network::marked_links()? {
            if !kept.contains(&id) {
                tracing::warn!(link = link.name, %id, "removing a link of ours that has no record");
                Socket::open()?.delete_link(link.index)?;
                outcome.orphans += 1;
            }
        }
        self.sweep();
        Ok(outcome)
    }

    /// Whether it was in use and there is a network for it.
    fn belongs(&self, attachment: &Attachment) -> bool {
        attachment.state == State::Active
            && self.net(&attachment.network).is_ok_and(|net| net.config.prefix.contains(&attachment.address))
    }

    /// Brings one attachment back into use, if it should be and can be.
    fn restore(&self, attachment: &Attachment, holders: &Holders) -> bool {
        let Ok(net) = self.net(&attachment.network) else {
            tracing::warn!(id = %attachment.id, network = %attachment.network, "its network is no longer configured");
            return false;
        };
        if !self.belongs(attachment) {
            return false;
        }
        let lease = match attachment.lease.map(|lease| Lease::find(lease, holders)) {
            Some(Found::Ended) => return false,
            Some(Found::Lease(lease)) => Some(Arc::new(lease)),
            Some(Found::Unknown) => {
                tracing::warn!(id = %attachment.id, "its lease cannot be found again; it lasts as long as its namespace");
                None
            }
            None => None,
        };
        match net.driver.restore(attachment) {
            Ok(true) => {}
            Ok(false) => return false,
            // Better a container with something amiss, which `check` tells, than one cut off.
            Err(error) => tracing::error!(id = %attachment.id, %error, "restoring an attachment"),
        }
        net.pool().take(attachment.mac, attachment.uid);
        self.settle(&mut self.table(), attachment, lease, Change::Added);
        true
    }

    fn finish_detach(&self, attachment: &Attachment) {
        self.parts.registries.withdraw(attachment.id);
        let outcome = match self.net(&attachment.network) {
            Ok(net) => net.driver.detach(attachment, crate::fault::Fault).map_err(Error::from),
            Err(_) => remove_link(attachment).map_err(Error::from),
        };
        let dismissed = self.parts.guard.dismiss(attachment).map_err(Error::from);
        if let Err(error) = outcome.and(dismissed) {
            tracing::error!(id = %attachment.id, %error, "an attachment of an earlier run could not be removed");
            return;
        }
        if let Err(error) = self.parts.store.erase(attachment.id) {
            tracing::error!(id = %attachment.id, %error, "erasing its record");
        }
    }

    fn sweep(&self) {
        let live: HashSet<_> = self.table().attachments().map(|attachment| attachment.address).collect();
        for net in self.parts.networks.values() {
            if let Err(error) = net.driver.sweep(&|address| live.contains(&address)) {
                tracing::error!(network = %net.config.name, %error, "sweeping what an earlier run left");
            }
        }
    }
}

/// Removes the link of an attachment whose network is no longer configured.
fn remove_link(attachment: &Attachment) -> std::io::Result<()> {
    let mut socket = Socket::open()?;
    match socket.link_by_name(&attachment.id.host_interface()) {
        Ok(link) => socket.delete_link(link.index),
        Err(_) => Ok(()),
    }
}
