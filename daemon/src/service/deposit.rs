//! The leases that systemd keeps over a restart of ours: one for each attachment, and no user fills the store.
//!
//! Before version 236 systemd forgets a lease only when it ends. Who leaves the write ends open of what it renews
//! or detaches has one more kept each time. These are counted, and from a number on systemd is given none of
//! that user's any more: the next start looks for them where they are held, as it does without systemd.

use std::{collections::HashMap, sync::Arc};

use crate::{auth::Lease, systemd::Notifier};

/// So many of a user's may be with an old systemd without holding anything: as many again as a user has
/// attachments, unless a rule says otherwise.
const MOST: usize = 64;

/// What systemd keeps.
pub struct Deposits {
    notifier: Notifier,
    /// Whether it forgets when it is told to.
    forgets: bool,
    /// What it was told to forget and could not, by the account.
    left: HashMap<u32, Vec<Arc<Lease>>>,
}

/// A lease that systemd keeps.
pub struct Deposit {
    account: u32,
    lease: Arc<Lease>,
}

impl Deposits {
    /// Nothing yet. `forgets`: systemd knows `FDSTOREREMOVE`.
    pub fn new(notifier: Notifier, forgets: bool) -> Self {
        Self { notifier, forgets, left: HashMap::new() }
    }

    /// Has a lease of this account's kept in place of a former one. None: it is not kept.
    pub fn exchange(&mut self, former: Option<Deposit>, account: u32, lease: &Arc<Lease>) -> Option<Deposit> {
        match former {
            Some(former) if former.lease.id().pipe == lease.id().pipe => Some(former),
            former => {
                let kept = self.keep(account, lease);
                former.into_iter().for_each(|former| self.let_go(former));
                kept
            }
        }
    }

    /// Lets systemd forget a lease.
    pub fn let_go(&mut self, deposit: Deposit) {
        self.notifier.let_go(deposit.lease.id().pipe);
        if !self.forgets && !self.notifier.is_silent() {
            self.left.entry(deposit.account).or_default().push(deposit.lease);
        }
    }

    fn keep(&mut self, account: u32, lease: &Arc<Lease>) -> Option<Deposit> {
        // What has ended every systemd forgets.
        self.left.retain(|_, leases| {
            leases.retain(|lease| !lease.has_ended());
            !leases.is_empty()
        });
        if self.left.get(&account).is_some_and(|leases| leases.len() >= MOST) {
            tracing::debug!(account, "too many leases of this user's are with systemd; it is given no more");
            return None;
        }
        self.notifier.keep(lease.id().pipe, lease.pipe());
        Some(Deposit { account, lease: Arc::clone(lease) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::OwnedFd, unix::net::UnixDatagram};

    use super::*;
    use crate::auth::{Peer, Unproven};

    fn lease() -> (Arc<Lease>, OwnedFd) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (Arc::new(Lease::prove(Unproven::new(read, 0), &Peer::made_up(0)).unwrap()), write)
    }

    /// Renews a lease of one account's so many times with all write ends left open; how many were kept.
    fn renewed(forgets: bool) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let mut deposits = Deposits::new(Notifier::start(path.as_os_str()).unwrap(), forgets);
        let (mut held, mut open, mut kept) = (None, Vec::new(), 0);
        for _ in 0..3 * MOST {
            let (lease, write) = lease();
            held = deposits.exchange(held.take(), 1001, &lease);
            // The same once more is no other.
            held = deposits.exchange(held.take(), 1001, &lease);
            kept += usize::from(held.is_some());
            open.push(write);
            systemd.set_nonblocking(true).unwrap();
            while systemd.recv(&mut [0; 256]).is_ok() {}
        }
        assert!(deposits.exchange(None, 1002, &lease().0).is_some(), "another user's are kept");
        open.clear();
        assert!(deposits.exchange(held, 1001, &lease().0).is_some(), "they have ended");
        kept
    }

    #[test]
    fn an_old_systemd_is_not_filled_with_leases_of_one_user() {
        assert_eq!(renewed(false), MOST + 1);
        assert_eq!(renewed(true), 3 * MOST);
    }
}
