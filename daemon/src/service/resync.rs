//! Looking at everything again, because messages of the kernel were lost and nobody knows what they told.
//!
//! Whoever attaches goes on meanwhile, and what is not there may be just coming. So the table is asked first,
//! for what is in use, and the kernel afterwards: an attachment is in use only after its link was made.

use std::{collections::HashSet, io, sync::Arc};

use rustix::io::Errno;
use tokio::{sync::Notify, time::sleep};

use super::{
    Error, PATIENCE, Service,
    jobs::Jobs,
    lifetime::{PAUSES, ROOT},
};
use crate::{
    audit::Reason,
    fault::Fault,
    model::{AttachmentId, State},
    network::{self, netlink::Socket},
};

/// Looks whenever something was lost; and again, after a while, if the kernel would not say.
pub(super) async fn whenever(lost: Arc<Notify>, service: Arc<Service>, jobs: Jobs) {
    loop {
        lost.notified().await;
        let mut pause = PAUSES.0;
        loop {
            let service = Arc::clone(&service);
            match jobs.detach_waiting(ROOT, move || service.resync()).await.and_then(|outcome| outcome) {
                Ok(()) => break,
                Err(Error::Stopping) => return,
                Err(error) => {
                    tracing::error!(%error, "what lost messages told is not known; looking again in {pause:?}");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

impl Service {
    /// Detaches everything whose link is gone, and mends the rest.
    fn resync(&self) -> Result<(), Error> {
        let (active, attaching) = (self.in_state(State::Active), self.in_state(State::Attaching));
        Fault.after("resync.begun")?;
        let mut gone = self.detach_gone(&active)?;
        // Of these it may have been lost that the link has gone again.
        self.wait_for(&attaching);
        gone += self.detach_gone(&attaching)?;
        self.hear_all_routers();
        for net in self.networks() {
            self.mend(net.host_link());
        }
        tracing::info!(
            looked_at = active.len() + attaching.len(),
            gone,
            "looked for what lost messages told"
        );
        Ok(())
    }

    fn in_state(&self, state: State) -> Vec<AttachmentId> {
        self.table().attachments().filter(|found| found.state == state).map(|found| found.id).collect()
    }

    /// Waits until none of these is being attached any more, within reason.
    fn wait_for(&self, attaching: &[AttachmentId]) {
        let is_busy = |id: &AttachmentId, table: &super::Table| {
            table.get(*id).is_some_and(|found| found.state == State::Attaching)
        };
        let waited = self.settled.wait_timeout_while(self.table(), PATIENCE, |table| {
            attaching.iter().any(|id| is_busy(id, table))
        });
        drop(waited);
    }

    /// Detaches those whose link is gone, and tells how many.
    fn detach_gone(&self, ids: &[AttachmentId]) -> io::Result<usize> {
        // One question for all is fast, but what the list lacks need not be gone: before Linux 6.10 one that
        // changes while it is read may lack what was there all the time. So they are asked for one by one, as
        // are all if there is no list to be had.
        let listed = network::marked_links().unwrap_or_default();
        let listed: HashSet<_> = listed.into_iter().map(|(id, _)| id).collect();
        let mut socket = Socket::open()?;
        let mut gone = 0;
        for id in ids.iter().filter(|id| !listed.contains(id)) {
            match socket.link_by_name(&id.host_interface()) {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => {
                    self.detach_or_log(*id, Reason::Namespace);
                    gone += 1;
                }
                found => drop(found?),
            }
        }
        Ok(gone)
    }
}
