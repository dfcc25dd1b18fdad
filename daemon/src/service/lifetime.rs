//! What ends an attachment unasked: the end of its lease, or of its namespace. Nothing polls.

use std::{collections::HashMap, sync::Arc};

use tokio::{io::Interest, sync::mpsc, task::AbortHandle};

use super::{Service, jobs::Jobs};
use crate::{
    audit::Reason,
    auth::Lease,
    model::{AttachmentId, State},
    network::{self, monitor::Seen},
    sys::pipe::register_end,
};

/// What [`watch`] is told.
pub enum Order {
    /// Watch this lease, in place of an earlier one of the same attachment.
    Watch(AttachmentId, Arc<Lease>),
    /// Watch none for this attachment any more.
    Forget(AttachmentId),
}

impl Service {
    pub(super) fn watch_lease(&self, id: AttachmentId, lease: Arc<Lease>) {
        // The receiver goes only when the daemon does.
        let _ = self.leases.send(Order::Watch(id, lease));
    }

    pub(super) fn forget_lease(&self, id: AttachmentId) {
        let _ = self.leases.send(Order::Forget(id));
    }

    /// Detaches if this is still the lease that holds the attachment.
    fn lease_ended(&self, id: AttachmentId, lease: &Arc<Lease>) {
        if self.table().lease(id).is_some_and(|current| Arc::ptr_eq(current, lease)) {
            tracing::debug!(%id, "the lease has ended");
            self.detach_or_log(id, Reason::Lease);
        }
    }

    fn detach_or_log(&self, id: AttachmentId, reason: Reason) {
        if let Err(error) = self.detach_unasked(id, reason) {
            tracing::error!(%id, %error, "detaching what has ended");
        }
    }

    /// Detaches everything whose link is gone: after messages of the kernel were lost.
    fn look_for_gone(&self) {
        let Ok(marked) = network::marked_links() else { return };
        let present: std::collections::HashSet<_> = marked.into_iter().map(|(id, _)| id).collect();
        let gone: Vec<_> =
            self.table().attachments().map(|a| a.id).filter(|id| !present.contains(id)).collect();
        for id in gone {
            self.detach_or_log(id, Reason::Namespace);
        }
    }
}

/// Carries out orders until the service is gone: one task for each lease that is held.
pub async fn watch(service: Arc<Service>, jobs: Jobs, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut watched: HashMap<AttachmentId, AbortHandle> = HashMap::new();
    while let Some(order) = orders.recv().await {
        let former = match order {
            Order::Watch(id, lease) => {
                let task = tokio::spawn(wait_for_end(Arc::clone(&service), jobs.clone(), id, lease));
                watched.insert(id, task.abort_handle())
            }
            Order::Forget(id) => watched.remove(&id),
        };
        if let Some(former) = former {
            former.abort();
        }
    }
}

async fn wait_for_end(service: Arc<Service>, jobs: Jobs, id: AttachmentId, lease: Arc<Lease>) {
    let watched = match register_end(lease.pipe()) {
        Ok(watched) => watched,
        Err(error) => {
            tracing::error!(%id, %error, "a lease cannot be watched; the attachment lasts as long as its namespace");
            return;
        }
    };
    while !lease.has_ended() {
        match watched.ready(Interest::PRIORITY).await {
            Ok(mut ready) if !lease.has_ended() => ready.clear_ready(),
            _ => break,
        }
    }
    // Not from this task: detaching makes the watcher forget, that is abort, it.
    jobs.detach(move || service.lease_ended(id, &lease));
}

/// Detaches what the link monitor sees end, until it sees no more.
pub async fn follow(service: Arc<Service>, jobs: Jobs, mut seen: mpsc::UnboundedReceiver<Seen>) {
    while let Some(event) = seen.recv().await {
        let service = Arc::clone(&service);
        match event {
            // Most are our own doing and not in the table, or not active, any more. What is just being
            // attached is noted, and detached by who attaches it.
            Seen::Gone(id) => {
                let state = service.table().note_gone(id);
                if state == Some(State::Active) {
                    jobs.detach(move || service.detach_or_log(id, Reason::Namespace));
                }
            }
            Seen::Lost => jobs.detach(move || service.look_for_gone()),
        }
    }
}
