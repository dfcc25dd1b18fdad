//! What there is, by every key that a call may come with. No I/O, no O(n) on the way of an attach.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    auth::Lease,
    model::{Attachment, AttachmentId, ContainerId, Name, NamespaceId, State},
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

/// All attachments.
#[derive(Default)]
pub struct Table {
    entries: HashMap<AttachmentId, Entry>,
    namespaces: HashMap<NamespaceId, AttachmentId>,
    containers: HashMap<(u32, ContainerId), AttachmentId>,
    names: HashMap<Name, AttachmentId>,
    aliases: HashMap<Name, BTreeSet<AttachmentId>>,
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

    /// By the published name.
    pub fn by_name(&self, name: &Name) -> Option<&Attachment> {
        self.get(*self.names.get(name)?)
    }

    /// Whether somebody else than `uid` has this as a name or an alias.
    pub fn is_anothers(&self, name: &Name, uid: u32) -> bool {
        // Those who share an alias have one owner: asking one of them is enough.
        let sharer = self.aliases.get(name).and_then(BTreeSet::first).and_then(|id| self.get(*id));
        self.by_name(name).into_iter().chain(sharer).any(|attachment| attachment.uid != uid)
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
            self.names.insert(name.clone(), id);
        }
        for alias in &attachment.aliases {
            self.aliases.entry(alias.clone()).or_default().insert(id);
        }
        self.entries.insert(id, Entry { attachment, lease, gone, refused });
    }

    /// Gives an attachment another lease.
    pub fn set_lease(&mut self, id: AttachmentId, lease: Arc<Lease>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.attachment.lease = Some(lease.id());
            entry.lease = Some(lease);
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
            remove_if(&mut self.names, name, id);
        }
        for alias in &attachment.aliases {
            if let Some(ids) = self.aliases.get_mut(alias) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.aliases.remove(alias);
                }
            }
        }
        Some(entry)
    }
}

fn remove_if<K: std::hash::Hash + Eq>(index: &mut HashMap<K, AttachmentId>, key: &K, id: AttachmentId) {
    if index.get(key) == Some(&id) {
        index.remove(key);
    }
}
