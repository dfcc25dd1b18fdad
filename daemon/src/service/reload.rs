//! Another policy in place of the one in force, and what it says of what is attached already.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use super::{Change, Error, Service};
use crate::{
    audit::Reason,
    config::{self, Config},
    ipam,
    model::{Attachment, AttachmentId, Mac, NetworkName},
    policy::{Policy, Refusal, Subject, Why},
};

/// What a user has, of what was looked at so far.
#[derive(Default)]
struct Counted {
    attachments: HashMap<u32, u32>,
    addresses: HashMap<(u32, NetworkName), u32>,
}

impl Service {
    /// Puts the rules of a checked configuration in force, at once and as a whole; and of its networks what
    /// can change. What is attached stays: see [`Self::review`].
    pub fn adopt(&self, config: &Config) {
        self.parts.users.forget();
        self.parts.subids.read_again();
        // Nobody books meanwhile.
        let table = self.table();
        for network in &config.networks {
            self.adjust(&config.policy, network);
        }
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.policy.clone());
        drop(table);
    }

    /// Takes over what of a network can change, and keeps reserved addresses from everybody else.
    pub(super) fn adjust(&self, policy: &Policy, network: &config::Network) {
        let Ok(net) = self.net(&network.name) else { return };
        let of_this = policy.reservations().filter(|kept| kept.network == network.name);
        let reserved = of_this.map(|kept| Mac::of(kept.address)).collect();
        net.pool().adjust(network.capacity, network.rest, reserved);
    }

    /// Holds everything that is attached against the rules in force, and notes what they forbid. Gives what
    /// is to be ended, if the policy says so. It may wait for the user database.
    pub fn review(&self) -> Vec<AttachmentId> {
        let policy = self.policy();
        let mut all: Vec<_> = self.table().attachments().cloned().collect();
        // Of too many, the latest are too many.
        all.sort_by_key(|attachment| (attachment.created, attachment.id));
        let mut counted = Counted::default();
        let mut forbidden = Vec::new();
        for attachment in &all {
            let found = match self.reason(&policy, attachment, &mut counted) {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(id = %attachment.id, %error, "cannot tell whether the rules allow it");
                    continue;
                }
            };
            if let Some(refusal) = &found {
                tracing::warn!(id = %attachment.id, uid = attachment.uid, name = ?attachment.name,
                    network = %attachment.network, address = %attachment.address, %refusal,
                    "the rules forbid what is attached");
                forbidden.push(attachment.id);
            }
            let reason = found.map(|refusal| refusal.to_string());
            let mut table = self.table();
            if let Some(changed) = table.set_forbidden(attachment.id, reason) {
                self.tell(Change::Changed, &changed);
            }
        }
        if policy.evicts() { forbidden } else { Vec::new() }
    }

    fn reason(
        &self,
        policy: &Policy,
        attachment: &Attachment,
        counted: &mut Counted,
    ) -> Result<Option<Refusal>, Error> {
        let Some(account) = attachment.account() else { return Ok(None) };
        let subject =
            Subject { uid: attachment.uid, account, groups: attachment.groups.clone(), ..Subject::default() };
        let subject = self.with_account_now(subject)?;
        let ruling = match policy.review(&subject, attachment) {
            Ok(ruling) => ruling,
            Err(refusal) => return Ok(Some(refusal)),
        };
        let attachments = counted.attachments.entry(account).or_default();
        let addresses = counted.addresses.entry((account, attachment.network.clone())).or_default();
        (*attachments, *addresses) = (*attachments + 1, *addresses + 1);
        let limits = &ruling.rule.limits;
        let prefix = self.net(&attachment.network)?.config.prefix;
        let own = match ruling.space {
            ipam::Space::Own(uid) => Some(ipam::own_prefix(uid, prefix)),
            ipam::Space::Whole | ipam::Space::Common => None,
        };
        let reserved = ruling.reservation == Some(attachment.address);
        let why = if let Some(most) = limits.attachments.filter(|most| *attachments > *most) {
            Why::Attachments(most)
        } else if let Some(most) = limits.addresses.filter(|most| *addresses > *most) {
            Why::Addresses(attachment.network.clone(), most)
        } else if let Some(own) = own.filter(|own| !reserved && !own.contains(&attachment.address)) {
            Why::Elsewhere(own)
        } else {
            return Ok(None);
        };
        Ok(Some(Refusal { why, origin: ruling.rule.origin.clone(), left: None }))
    }

    /// Ends an attachment that the rules forbid.
    pub fn evict(&self, id: AttachmentId) {
        match self.detach_unasked(id, Reason::Administrator) {
            Ok(()) => tracing::info!(%id, "ended: the rules forbid it"),
            Err(error) => tracing::error!(%id, %error, "ending what the rules forbid"),
        }
    }
}
