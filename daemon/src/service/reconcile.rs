//! Reconciling: after a start, and before the first caller, records and kernel agree.
//!
//! Both ways: a record whose link is there is in use again, with its lease found again if it had one; a
//! record whose link is gone, or that was half made or half removed, is detached to its end; a link that
//! carries our mark and has no record is removed.

use std::{collections::HashSet, sync::Arc};

use super::{Change, Error, Service};
use crate::{
    audit::Reason,
    auth::{Found, Holders, Lease},
    guard,
    model::{Attachment, State},
    network::{self, bridge::gone_is_fine, netlink::Socket},
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
    /// Reconciles; `holders` is where leases are found again. Nobody may be served yet.
    ///
    /// # Errors
    /// The records cannot be read, or the kernel would not say what there is.
    pub fn reconcile(self: &Arc<Self>, holders: &Holders) -> Result<Reconciled, Error> {
        let policy = self.policy();
        self.networks().for_each(|net| self.adjust(&policy, &net.config));
        let mut outcome = Reconciled::default();
        let (mut kept, mut live, mut ended) = (HashSet::new(), Vec::new(), Vec::new());
        let mut records = self.parts.store.load()?;
        records.sort_by_key(|attachment| (attachment.created, attachment.id));
        // From here on exactly these may send; what comes to nothing below is dismissed there.
        let admitted: Vec<_> =
            records.iter().filter(|attachment| self.belongs(attachment)).cloned().collect();
        self.parts.guard.begin(&admitted)?;
        guard::succeed(self.guard(), &self.parts.store.path("guard"))?;
        for attachment in records {
            kept.insert(attachment.id);
            match self.restore(&attachment, holders) {
                Ok(()) => {
                    outcome.restored += 1;
                    live.push(attachment);
                }
                Err(reason) => {
                    outcome.detached += 1;
                    if self.finish_detach(&attachment) {
                        ended.push((attachment, reason));
                    } else {
                        live.push(attachment);
                    }
                }
            }
        }
        let count = ended.iter().filter(|(_, reason)| *reason == Reason::Network).count();
        if count > 0 {
            tracing::warn!(
                count,
                "ended what was attached to networks that are gone or have another prefix: restart those containers"
            );
        }
        let this = Arc::downgrade(self);
        let census = move || this.upgrade().map_or_else(Vec::new, |service| service.committed());
        self.parts.audit.reconciled(&live, &ended, census);
        for (id, link) in network::marked_links()? {
            if !kept.contains(&id) {
                tracing::warn!(link = link.name, %id, "removing a link of ours that has no record");
                // Its namespace may end just now.
                gone_is_fine(Socket::open()?.delete_link(link.index))?;
                outcome.orphans += 1;
            }
        }
        self.sweep();
        self.hear_all_routers();
        Ok(outcome)
    }

    /// Whether it was in use and there is a network for it.
    fn belongs(&self, attachment: &Attachment) -> bool {
        attachment.state == State::Active
            && self.net(&attachment.network).is_ok_and(|net| net.config.prefix.contains(&attachment.address))
    }

    /// What is attached and was told the audit.
    fn committed(&self) -> Vec<Attachment> {
        self.table()
            .attachments()
            .filter(|attachment| attachment.state != State::Attaching)
            .cloned()
            .collect()
    }

    /// Brings one attachment back into use, if it should be and can be; else says why not.
    fn restore(&self, attachment: &Attachment, holders: &Holders) -> Result<(), Reason> {
        let Ok(net) = self.net(&attachment.network) else {
            tracing::warn!(id = %attachment.id, network = %attachment.network, "its network is no longer configured");
            return Err(Reason::Network);
        };
        if attachment.state != State::Active {
            return Err(Reason::Gone);
        }
        if !self.belongs(attachment) {
            return Err(Reason::Network);
        }
        let lease = match attachment.lease.map(|lease| Lease::find(lease, holders)) {
            Some(Found::Ended) => return Err(Reason::Lease),
            Some(Found::Lease(lease)) => Some(Arc::new(lease)),
            Some(Found::Unknown) => {
                tracing::warn!(id = %attachment.id, "its lease cannot be found again; it lasts as long as its namespace");
                None
            }
            None => None,
        };
        match net.driver.restore(attachment) {
            Ok(true) => {}
            Ok(false) => return Err(Reason::Gone),
            // Better a container with something amiss, which `check` tells, than one cut off.
            Err(error) => tracing::error!(id = %attachment.id, %error, "restoring an attachment"),
        }
        net.pool().take(attachment.mac, attachment.uid);
        self.settle(&mut self.table(), attachment, lease, Change::Added);
        Ok(())
    }

    /// False: the kernel would not let go, and the next start tries again.
    fn finish_detach(&self, attachment: &Attachment) -> bool {
        self.parts.registries.withdraw(attachment.id);
        let outcome = match self.net(&attachment.network) {
            Ok(net) => net.driver.detach(attachment, crate::fault::Fault).map_err(Error::from),
            Err(_) => remove_link(attachment).map_err(Error::from),
        };
        let dismissed = self.parts.guard.dismiss(attachment).map_err(Error::from);
        if let Err(error) = outcome.and(dismissed) {
            tracing::error!(id = %attachment.id, %error, "an attachment of an earlier run could not be removed");
            return false;
        }
        if let Err(error) = self.parts.store.erase(attachment.id) {
            tracing::error!(id = %attachment.id, %error, "erasing its record");
        }
        true
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
        Ok(link) => gone_is_fine(socket.delete_link(link.index)),
        Err(error) => gone_is_fine(Err(error)),
    }
}
