//! What ends an attachment unasked: the end of its lease, or of its namespace; and what brings it back when
//! somebody took away what it hangs on. Nothing polls.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    io::Interest,
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::sleep,
};

use super::{
    Service,
    deposit::{Deposit, Deposits},
    jobs::Jobs,
    resync,
};
use crate::{
    audit::Reason,
    auth::Lease,
    fault::Fault,
    model::{Attachment, AttachmentId, State},
    network::monitor::Seen,
    sys::pipe::register_end,
};

/// How long after the kernel refused a detach it is tried again: at first, and at most.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Whose work it is that is nobody's.
pub(super) const ROOT: u32 = 0;

/// What [`watch`] is told.
pub enum Order {
    /// Watch this lease, in place of an earlier one of the same attachment.
    Watch(AttachmentId, Arc<Lease>),
    /// The kernel refused to detach this one of this user's: try again in a while.
    Retry(AttachmentId, u32, Reason),
    /// The attachment is no more: neither watch nor try anything for it.
    Forget(AttachmentId),
}

impl Service {
    // The receiver of orders goes only when the daemon does.

    pub(super) fn watch_lease(&self, id: AttachmentId, lease: Arc<Lease>) {
        let _ = self.leases.send(Order::Watch(id, lease));
    }

    pub(super) fn forget_lease(&self, id: AttachmentId) {
        let _ = self.leases.send(Order::Forget(id));
    }

    pub(super) fn try_later(&self, attachment: &Attachment, reason: Reason) {
        let _ = self.leases.send(Order::Retry(attachment.id, attachment.uid, reason));
    }

    /// Detaches if this is still the lease that holds the attachment.
    fn lease_ended(&self, id: AttachmentId, lease: &Arc<Lease>) {
        if self.table().lease(id).is_some_and(|current| Arc::ptr_eq(current, lease)) {
            tracing::debug!(%id, "the lease has ended");
            self.detach_or_log(id, Reason::Lease);
        }
    }

    fn retry(&self, id: AttachmentId, reason: Reason) {
        if self.table().is_refused(id) {
            self.detach_or_log(id, reason);
        }
    }

    pub(super) fn detach_or_log(&self, id: AttachmentId, reason: Reason) {
        if let Err(error) = self.detach_unasked(id, reason) {
            tracing::debug!(%id, %error, "detaching what has ended");
        }
    }

    /// Puts the attachments of a network back after the link that carries it came or went: one of our own
    /// making is made again.
    pub(super) fn mend(&self, host_link: &str) {
        let Some(net) = self.networks().find(|net| net.host_link() == host_link) else { return };
        let used = |found: &&Attachment| found.network == net.config.name && found.state == State::Active;
        let attachments: Vec<_> = self.table().attachments().filter(used).cloned().collect();
        let (mut mended, mut failed) = (0, Vec::new());
        for attachment in attachments {
            match net.driver.restore(&attachment) {
                Ok(true) => mended += 1,
                // Its link has gone too, of which we are told apart.
                Ok(false) => {}
                Err(error) => failed.push(error),
            }
            // Who detached it meanwhile may have been ahead of us.
            if self.table().get(attachment.id).is_none_or(|found| found.state != State::Active)
                && let Err(error) = net.driver.detach(&attachment, Fault)
            {
                failed.push(error);
            }
        }
        let network = &net.config.name;
        if mended > 0 {
            tracing::info!(%network, link = host_link, attachments = mended, "the link came or went; put them back");
        }
        if let Some(error) = failed.first() {
            tracing::error!(%network, attachments = failed.len(), %error, "not put back, for one");
        }
    }
}

/// What is done for an attachment.
struct Watched {
    task: AbortHandle,
    /// The lease that systemd keeps.
    kept: Option<Deposit>,
}

/// Carries out orders until the service is gone: one task for each lease that is held, which systemd keeps as
/// long, and one for each attachment that the kernel does not let go.
pub async fn watch(
    service: Arc<Service>,
    jobs: Jobs,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut deposits: Deposits,
) {
    let mut watched: HashMap<AttachmentId, Watched> = HashMap::new();
    let mut refused: HashMap<AttachmentId, Duration> = HashMap::new();
    while let Some(order) = orders.recv().await {
        let former = match order {
            Order::Watch(id, lease) => {
                let mut former = watched.remove(&id);
                let kept = former.as_mut().and_then(|former| former.kept.take());
                let kept = deposits.exchange(kept, account(&service, id), &lease);
                let task = tokio::spawn(wait_for_end(Arc::clone(&service), jobs.clone(), id, lease));
                watched.insert(id, Watched { task: task.abort_handle(), kept });
                former
            }
            Order::Retry(id, user, reason) => {
                let pause = refused.get(&id).map_or(PAUSES.0, |pause| (*pause * 2).min(PAUSES.1));
                refused.insert(id, pause);
                let (service, jobs) = (Arc::clone(&service), jobs.clone());
                let task = tokio::spawn(async move {
                    sleep(pause).await;
                    jobs.detach(user, move || service.retry(id, reason));
                });
                // Its lease has ended, or is of no account any more.
                watched.insert(id, Watched { task: task.abort_handle(), kept: None })
            }
            Order::Forget(id) => {
                refused.remove(&id);
                watched.remove(&id)
            }
        };
        if let Some(former) = former {
            former.task.abort();
            if let Some(kept) = former.kept {
                deposits.let_go(kept);
            }
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
    let Some(user) = owner(&service, id) else { return };
    // Not from this task: detaching makes the watcher forget, that is abort, it.
    jobs.detach(user, move || service.lease_ended(id, &lease));
}

/// Whom an attachment is charged to.
fn account(service: &Service, id: AttachmentId) -> u32 {
    service.table().get(id).and_then(Attachment::account).unwrap_or_default()
}

fn owner(service: &Service, id: AttachmentId) -> Option<u32> {
    service.table().get(id).map(|attachment| attachment.uid)
}

/// Does what the link monitor's news call for, until there is no more.
pub async fn follow(service: Arc<Service>, jobs: Jobs, mut seen: mpsc::UnboundedReceiver<Seen>) {
    let lost = Arc::new(Notify::new());
    tokio::spawn(resync::whenever(Arc::clone(&lost), Arc::clone(&service), jobs.clone()));
    while let Some(event) = seen.recv().await {
        let service = Arc::clone(&service);
        match event {
            // Most are our own doing and not in the table, or not active, any more. What is just being
            // attached is noted, and detached by who attaches it.
            Seen::Gone(id) => {
                let state = service.table().note_gone(id);
                if let (Some(State::Active), Some(user)) = (state, owner(&service, id)) {
                    jobs.detach(user, move || service.detach_or_log(id, Reason::Namespace));
                }
            }
            Seen::Bridge(name) => {
                if service.networks().any(|net| net.host_link() == name) {
                    jobs.detach(ROOT, move || service.mend(&name));
                }
            }
            Seen::Up(name) => jobs.detach(ROOT, move || service.hear_routers(&name)),
            Seen::Lost => lost.notify_one(),
        }
    }
}
