//! The rules in force, held against who asks and against what there is.

use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

use super::{
    Error, Net, Service,
    table::{Table, Usage},
};
use crate::{
    auth::{Peer, users},
    model::NetworkName,
    policy::{Denial, Left, Permit, Policy, Quota, Rates, Refusal, Rule, Ruling, Subject, Why, Wish},
};

impl Service {
    /// The rules in force.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn rates(&self) -> std::sync::MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who a caller is to the rules. The user database is asked, on a thread apart, for the owner of a
    /// subordinate uid, and if there are rules that depend on it; but not if it was asked lately.
    ///
    /// # Errors
    /// [`Error::Users`].
    pub async fn subject(self: &Arc<Self>, peer: &Peer) -> Result<Subject, Error> {
        let account = self.owner(peer.uid()).await?;
        let plain = Subject {
            uid: peer.uid(),
            account,
            groups: peer.groups().to_vec(),
            user: None,
            admin: peer.is_admin(),
        };
        self.with_account(plain).await
    }

    /// Who a user is to the rules, whose processes nobody has seen.
    ///
    /// # Errors
    /// [`Error::Users`].
    pub async fn subject_of(self: &Arc<Self>, uid: u32) -> Result<Subject, Error> {
        let account = self.owner(uid).await?;
        self.with_account(Subject { uid, account, admin: uid == 0, ..Subject::default() }).await
    }

    async fn owner(&self, uid: u32) -> Result<u32, Error> {
        self.parts.subids.owner(uid).await.map_err(|source| Error::Users { uid, source })
    }

    async fn with_account(self: &Arc<Self>, subject: Subject) -> Result<Subject, Error> {
        if !self.asks_about(&subject) {
            return Ok(subject);
        }
        if let Some(entry) = self.parts.users.remembered(subject.account) {
            return Ok(known_as(subject, &entry));
        }
        let (service, account) = (Arc::clone(self), subject.account);
        let asked = tokio::task::spawn_blocking(move || service.parts.users.look_up(account)).await;
        let entry = asked.map_err(std::io::Error::other).and_then(|answer| answer);
        entry.map(|entry| known_as(subject, &entry)).map_err(|source| Error::Users { uid: account, source })
    }

    /// The same on a thread that may wait.
    pub(super) fn with_account_now(&self, subject: Subject) -> Result<Subject, Error> {
        if !self.asks_about(&subject) {
            return Ok(subject);
        }
        let entry = self.parts.users.look_up(subject.account);
        entry
            .map(|entry| known_as(subject.clone(), &entry))
            .map_err(|source| Error::Users { uid: subject.account, source })
    }

    /// What is charged to root is a stranger's in a container of root's, and no group of root's is theirs.
    fn asks_about(&self, subject: &Subject) -> bool {
        subject.owner().is_some() && self.policy().asks_who()
    }

    /// Counts a call that changes something, before anything else is done for it and whatever comes of it. A
    /// network that is not there as far as the user goes counts as the default one: nobody shall learn by
    /// whose line they are refused that it is there.
    ///
    /// # Errors
    /// There were too many.
    pub fn count_call(&self, subject: &Subject, network: Option<&NetworkName>) -> Result<(), Error> {
        let policy = self.policy();
        let shown = network.filter(|network| policy.shows(subject, network));
        let network = shown.unwrap_or(&self.parts.default_network);
        let rule = policy.rule(subject, network);
        let taken = self.rates().take(subject.account, rule, Instant::now());
        match (taken, rule.limits.rate) {
            (Err(wait), Some(rate)) => {
                let usage = self.table().usage(subject.account, network);
                Err(Error::Refused(self.refusal(subject, rule, usage, Why::Rate(rate, wait))))
            }
            _ => Ok(()),
        }
    }

    /// Counts the call, and decides by the rules. Quick: it waits for nothing and nobody.
    ///
    /// # Errors
    /// The rule that forbids it, or that it has been called too often.
    pub fn permit(&self, peer: Peer, subject: &Subject, wish: Wish) -> Result<Permit, Error> {
        self.count_call(subject, wish.network.as_ref())?;
        let policy = self.policy();
        let network = wish.network.clone().unwrap_or_else(|| self.parts.default_network.clone());
        let permit = Permit::decide(&policy, peer, subject, wish, &self.parts.default_network)
            .map_err(|denial| self.denied(&policy, subject, &network, denial))?;
        let ruling = permit.ruling();
        match ruling.rule.limits.inbound(permit.wish().inbound.as_ref()) {
            Ok(_) => Ok(permit),
            Err(why) => Err(self.refused(subject, ruling, why)),
        }
    }

    /// Decides once more, if the kernel has told meanwhile that the caller is somebody's subordinate.
    pub(super) fn permit_under(&self, permit: Permit, holder: Option<u32>) -> Result<Permit, Error> {
        let account = permit.subject().account;
        match holder {
            Some(holder) if holder != account && holder != 0 && account == permit.peer().uid() => {
                let (peer, subject, wish) = permit.into_parts();
                let subject = self.with_account_now(Subject { account: holder, ..subject })?;
                self.permit(peer, &subject, wish)
            }
            _ => Ok(permit),
        }
    }

    pub(super) fn denied(
        &self,
        policy: &Policy,
        subject: &Subject,
        network: &NetworkName,
        denial: Denial,
    ) -> Error {
        let refusal = match denial {
            Denial::NoNetwork(name) => return Error::NoNetwork(name),
            Denial::Refused(refusal) => refusal,
        };
        let rule = policy.rule(subject, network);
        let usage = self.table().usage(subject.account, network);
        // Of nothing at all nothing is left.
        let left = rule.allow.then(|| self.left(subject, rule, usage));
        Error::Refused(Refusal { left, ..refusal })
    }

    /// A refusal that tells what is left.
    pub(super) fn refused(&self, subject: &Subject, ruling: &Ruling, why: Why) -> Error {
        let usage = self.table().usage(subject.account, &ruling.network);
        Error::Refused(self.refusal(subject, &ruling.rule, usage, why))
    }

    fn refusal(&self, subject: &Subject, rule: &Rule, usage: Usage, why: Why) -> Refusal {
        let left = Some(self.left(subject, rule, usage));
        Refusal { why, origin: rule.origin.clone(), left }
    }

    /// What is left to a user under a rule.
    pub(super) fn left(&self, subject: &Subject, rule: &Rule, usage: Usage) -> Left {
        let limits = &rule.limits;
        let burst = limits.rate.map(|rate| rate.burst);
        let left = self.rates().left(subject.account, rule, Instant::now());
        let called = burst.zip(left).map_or(0, |(burst, left)| burst.saturating_sub(left));
        Left {
            attachments: Quota { limit: limits.attachments, used: usage.attachments },
            addresses: Quota { limit: limits.addresses, used: usage.addresses },
            activations: Quota { limit: burst, used: called },
        }
    }

    /// Whether there is room for one more under the rule, when `former` is gone. The table stays locked from
    /// here until the new one is in it, so that no two take the last place.
    pub(super) fn has_room(
        &self,
        table: &Table,
        subject: &Subject,
        ruling: &Ruling,
        former: Option<&NetworkName>,
    ) -> Result<(), Error> {
        if subject.is_root() {
            return Ok(());
        }
        let usage = table.usage(subject.account, &ruling.network);
        let limits = &ruling.rule.limits;
        let on_this = former.is_some_and(|network| *network == ruling.network);
        let full = |limit: Option<u32>, used: u32, leaving: bool| {
            limit.filter(|limit| used.saturating_sub(u32::from(leaving)) >= *limit)
        };
        let why = full(limits.attachments, usage.attachments, former.is_some())
            .map(Why::Attachments)
            .or_else(|| {
                let limit = full(limits.addresses, usage.addresses, on_this)?;
                Some(Why::Addresses(ruling.network.clone(), limit))
            });
        why.map_or(Ok(()), |why| Err(Error::Refused(self.refusal(subject, &ruling.rule, usage, why))))
    }

    /// The networks that are there as far as this user goes, by name.
    pub fn networks_for(&self, subject: &Subject) -> Vec<&Net> {
        let policy = self.policy();
        self.networks().filter(|net| policy.shows(subject, &net.config.name)).collect()
    }

    /// One network, if it is there as far as this user goes.
    ///
    /// # Errors
    /// [`Error::NoNetwork`].
    pub fn net_for(&self, subject: &Subject, name: &NetworkName) -> Result<&Net, Error> {
        let net = self.net(name)?;
        if self.policy().shows(subject, name) { Ok(net) } else { Err(Error::NoNetwork(name.clone())) }
    }
}

/// With what the user database knows. The groups of both count: a process can drop its user's.
pub(super) fn known_as(mut subject: Subject, entry: &users::Entry) -> Subject {
    subject.groups.extend(&entry.groups);
    subject.user.clone_from(&entry.name);
    subject
}
