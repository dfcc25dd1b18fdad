//! What there is, by every key that a call may come with. No I/O, no O(n) on the way of an attach.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    auth::Lease,
    model::{Attachment, AttachmentId, ContainerId, Inbound, Name, NamespaceId, NetworkName, State},
};

/// One attachment and the lease that holds it.
struct Entry {
    attachment: Attachment,
    lease: Option<Arc<Lease>>,
    /// Its link was seen to go.
    gone: bool,
    /// It was to be detached, and the kernel refused: not all of it is there any more.
    refused: bool,
}

/// Who has a name. Several only where it may be shared.
#[derive(Default)]
struct Holders {
    ids: BTreeSet<AttachmentId>,
    /// How many each owner has of them.
    owners: HashMap<u32, usize>,
}

/// How much a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Attachments on all networks.
    pub attachments: u32,
    /// Attachments on one.
    pub addresses: u32,
}

/// All attachments.
#[derive(Default)]
pub struct Table {
    entries: HashMap<AttachmentId, Entry>,
    namespaces: HashMap<NamespaceId, AttachmentId>,
    containers: HashMap<(u32, ContainerId), AttachmentId>,
    names: HashMap<Name, Holders>,
    aliases: HashMap<Name, Holders>,
    accounts: HashMap<u32, HashMap<NetworkName, u32>>,
}

impl Table {
    /// All attachments, in no order.
    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.entries.values().map(|entry| &entry.attachment)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// By the daemon's id.
    pub fn get(&self, id: AttachmentId) -> Option<&Attachment> {
        self.entries.get(&id).map(|entry| &entry.attachment)
    }

    /// By the namespace.
    pub fn by_namespace(&self, namespace: NamespaceId) -> Option<&Attachment> {
        self.get(*self.namespaces.get(&namespace)?)
    }

    /// By owner and container id.
    pub fn by_container(&self, uid: u32, container: &ContainerId) -> Option<&Attachment> {
        self.get(*self.containers.get(&(uid, container.clone()))?)
    }

    /// By the published name. Where several share it, one of them.
    pub fn by_name(&self, name: &Name) -> Option<&Attachment> {
        self.get(*self.names.get(name)?.ids.first()?)
    }

    /// An attachment with this name or alias, if anybody else than `uid` has such a one.
    pub fn anothers(&self, name: &Name, uid: u32) -> Option<&Attachment> {
        let holders = [self.names.get(name), self.aliases.get(name)];
        let mut others = holders.into_iter().flatten().filter(|holders| holders.has_other_than(uid));
        // Those who share with others than the owner have all agreed to it: asking one is enough.
        self.get(*others.next()?.ids.first()?)
    }

    /// How much a user has, in all and on one network.
    pub fn usage(&self, account: u32, network: &NetworkName) -> Usage {
        let Some(networks) = self.accounts.get(&account) else { return Usage::default() };
        let addresses = networks.get(network).copied().unwrap_or_default();
        // There are few networks.
        Usage { attachments: networks.values().sum(), addresses }
    }

    /// The lease that holds an attachment.
    pub fn lease(&self, id: AttachmentId) -> Option<&Arc<Lease>> {
        self.entries.get(&id)?.lease.as_ref()
    }

    /// Puts an attachment in, or a changed one in place of what it was.
    pub fn put(&mut self, attachment: Attachment) {
        let id = attachment.id;
        let former = self.take_out(id).map(|entry| (entry.lease, entry.gone, entry.refused));
        let (lease, gone, refused) = former.unwrap_or_default();
        self.namespaces.insert(attachment.namespace, id);
        if let Some(container) = &attachment.container_id {
            self.containers.insert((attachment.uid, container.clone()), id);
        }
        if let Some(name) = &attachment.name {
            self.names.entry(name.clone()).or_default().add(id, attachment.uid);
        }
        for alias in &attachment.aliases {
            self.aliases.entry(alias.clone()).or_default().add(id, attachment.uid);
        }
        if let Some(account) = attachment.account() {
            *self.accounts.entry(account).or_default().entry(attachment.network.clone()).or_default() += 1;
        }
        self.entries.insert(id, Entry { attachment, lease, gone, refused });
    }

    /// Gives an attachment another lease, or none.
    pub fn set_lease(&mut self, id: AttachmentId, lease: Option<Arc<Lease>>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.attachment.lease = lease.as_ref().map(|lease| lease.id());
            entry.lease = lease;
        }
    }

    /// Notes that an attachment's link has gone, and tells where the attachment stands.
    pub fn note_gone(&mut self, id: AttachmentId) -> Option<State> {
        let entry = self.entries.get_mut(&id)?;
        entry.gone = true;
        Some(entry.attachment.state)
    }

    /// Whether its link has gone.
    pub fn is_gone(&self, id: AttachmentId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.gone)
    }

    /// Notes that the kernel refused to detach it.
    pub fn note_refused(&mut self, id: AttachmentId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.refused = true;
        }
    }

    /// Whether the kernel refused to detach it.
    pub fn is_refused(&self, id: AttachmentId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.refused)
    }

    /// Sets where an attachment stands, and gives it as it is then.
    pub fn set_state(&mut self, id: AttachmentId, state: State) -> Option<Attachment> {
        let entry = self.entries.get_mut(&id)?;
        entry.attachment.state = state;
        Some(entry.attachment.clone())
    }

    /// Sets what may reach an attachment, and gives it as it is then.
    pub fn set_inbound(&mut self, id: AttachmentId, inbound: Inbound) -> Option<Attachment> {
        let entry = self.entries.get_mut(&id)?;
        entry.attachment.inbound = inbound;
        Some(entry.attachment.clone())
    }

    /// Notes why the rules forbid an attachment, or that they do not; gives it if that is news.
    pub fn set_forbidden(&mut self, id: AttachmentId, reason: Option<String>) -> Option<Attachment> {
        let entry = self.entries.get_mut(&id)?;
        if entry.attachment.forbidden == reason {
            return None;
        }
        entry.attachment.forbidden = reason;
        Some(entry.attachment.clone())
    }

    /// Takes an attachment out.
    pub fn remove(&mut self, id: AttachmentId) -> Option<Attachment> {
        self.take_out(id).map(|entry| entry.attachment)
    }

    fn take_out(&mut self, id: AttachmentId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        let attachment = &entry.attachment;
        // An index may have moved on to a successor; only what still points here is ours to remove.
        remove_if(&mut self.namespaces, &attachment.namespace, id);
        if let Some(container) = &attachment.container_id {
            remove_if(&mut self.containers, &(attachment.uid, container.clone()), id);
        }
        if let Some(name) = &attachment.name {
            release(&mut self.names, name, id, attachment.uid);
        }
        for alias in &attachment.aliases {
            release(&mut self.aliases, alias, id, attachment.uid);
        }
        self.discharge(attachment);
        Some(entry)
    }

    fn discharge(&mut self, attachment: &Attachment) {
        let Some(account) = attachment.account() else { return };
        let Some(networks) = self.accounts.get_mut(&account) else { return };
        if let Some(count) = networks.get_mut(&attachment.network) {
            *count -= 1;
            if *count == 0 {
                networks.remove(&attachment.network);
            }
        }
        if networks.is_empty() {
            self.accounts.remove(&account);
        }
    }
}

impl Holders {
    fn add(&mut self, id: AttachmentId, uid: u32) {
        if self.ids.insert(id) {
            *self.owners.entry(uid).or_default() += 1;
        }
    }

    fn has_other_than(&self, uid: u32) -> bool {
        self.owners.len() > usize::from(self.owners.contains_key(&uid))
    }
}

/// Takes one holder of a name away.
fn release(index: &mut HashMap<Name, Holders>, name: &Name, id: AttachmentId, uid: u32) {
    let Some(holders) = index.get_mut(name) else { return };
    if !holders.ids.remove(&id) {
        return;
    }
    if let Some(count) = holders.owners.get_mut(&uid) {
        *count -= 1;
        if *count == 0 {
            holders.owners.remove(&uid);
        }
    }
    if holders.ids.is_empty() {
        index.remove(name);
    }
}

fn remove_if<K: std::hash::Hash + Eq>(index: &mut HashMap<K, AttachmentId>, key: &K, id: AttachmentId) {
    if index.get(key) == Some(&id) {
        index.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> Name {
        ["a", "b", "c"][number % 3].parse().unwrap()
    }

    proptest! {
        /// Whatever is put in, changed and taken out: counts and names are those of what is there.
        #[test]
        fn counts_and_names_are_those_of_what_is_there(
            steps in prop::collection::vec((0u64..8, 0u32..3, 0usize..4, 0usize..4, prop::bool::ANY, prop::bool::ANY), 1..80),
        ) {
            let mut table = Table::default();
            let mut there: HashMap<AttachmentId, Attachment> = HashMap::new();
            for (bits, uid, first, alias, other, remove) in steps {
                let mut one = Attachment::made_up(bits, uid);
                one.name = (first < 3).then(|| name(first));
                one.aliases = if alias < 3 { vec![name(alias), name(alias)] } else { Vec::new() };
                one.network = if other { "other" } else { "default" }.parse().unwrap();
                one.charged = (uid == 2).then_some(1);
                // Who owns one does not change.
                one.uid = there.get(&one.id).map_or(uid, |known| known.uid);
                if remove {
                    table.remove(one.id);
                    there.remove(&one.id);
                } else {
                    table.put(one.clone());
                    there.insert(one.id, one);
                }
                for account in 0..3 {
                    for network in ["default", "other"] {
                        let network: NetworkName = network.parse().unwrap();
                        let of = there.values().filter(|one| one.account() == Some(account));
                        let usage = Usage {
                            attachments: u32::try_from(of.clone().count()).unwrap(),
                            addresses: u32::try_from(of.filter(|one| one.network == network).count()).unwrap(),
                        };
                        prop_assert_eq!(table.usage(account, &network), usage);
                    }
                }
                for name in (0..3).map(name) {
                    let named = there.values().any(|one| one.name.as_ref() == Some(&name));
                    prop_assert_eq!(table.by_name(&name).is_some(), named);
                    for uid in 0..3 {
                        let has = |one: &Attachment| one.name.iter().chain(&one.aliases).any(|known| *known == name);
                        let others = there.values().any(|one| one.uid != uid && has(one));
                        prop_assert_eq!(table.anothers(&name, uid).is_some(), others);
                    }
                }
            }
        }
    }
}
