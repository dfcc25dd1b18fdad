//! Attaching: book, record, touch the kernel, commit, publish; or leave nothing.

use std::{
    os::fd::AsFd as _,
    sync::{Arc, MutexGuard},
    time::{Instant, SystemTime},
};

use super::{
    Change, Error, Net, PATIENCE, Service,
    naming::{Namer, Naming},
    table::Table,
};
use crate::{
    audit::Reason,
    auth::{Lease, Namespace, Passed},
    fault::Fault,
    ipam::Applicant,
    model::{Attachment, AttachmentId, Inbound, Name, State},
    policy::{Grant, Permit},
};

/// What a look at the table led to.
enum Booking {
    /// The namespace is attached already.
    Present(Attachment),
    /// It is booked: ours to attach.
    Booked(Attachment),
    /// This one is in the way and has to be detached first, for this reason.
    InTheWay(AttachmentId, Reason),
}

impl Service {
    /// Attaches the namespace that was passed. Runs on a thread of its own, to its end.
    ///
    /// # Errors
    /// See [`Error`]; nothing is left behind.
    pub fn activate(&self, permit: Permit, passed: Passed) -> Result<(Attachment, bool), Error> {
        let peer = permit.peer();
        let descriptor = passed.namespace.ok_or(crate::auth::Error::NoDescriptor)?;
        let namespace = Namespace::prove(descriptor, peer, &self.parts.host)?;
        let lease = passed.lease.map(|lease| Lease::prove(lease, peer)).transpose()?.map(Arc::new);
        let grant = Grant::new(self.permit_under(permit, namespace.holder())?, namespace);
        let net = self.net(&grant.ruling().network)?;
        if let Some(mtu) = grant.wish().mtu.filter(|mtu| *mtu > net.config.mtu) {
            return Err(Error::Mtu { asked: mtu, most: net.config.mtu });
        }
        match self.book(&grant, net, lease.as_ref())? {
            (attachment, true) => Ok((self.carry_out(&grant, net, &attachment, lease)?, true)),
            (attachment, false) => Ok((attachment, false)),
        }
    }

    /// Finds the attachment of this namespace, or books a new one; then it is ours to carry out.
    fn book(
        &self,
        grant: &Grant,
        net: &Net,
        lease: Option<&Arc<Lease>>,
    ) -> Result<(Attachment, bool), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (table, booking) = self.look(grant, net, deadline)?;
            match booking {
                Booking::Booked(attachment) => return Ok((attachment, true)),
                Booking::InTheWay(id, reason) => {
                    drop(table);
                    self.detach_unasked(id, reason)?;
                }
                Booking::Present(attachment) => {
                    drop(table);
                    // The kernel uses a namespace's inode again. Ours ended, and nobody has told us yet.
                    if !self
                        .net(&attachment.network)?
                        .driver
                        .leads_into(&attachment, grant.namespace().as_fd())?
                    {
                        self.detach_unasked(attachment.id, Reason::Namespace)?;
                        continue;
                    }
                    if let Some(attachment) = self.renew(grant, attachment.id, lease)? {
                        return Ok((attachment, false));
                    }
                }
            }
        }
    }

    /// Looks until what is wanted is at rest.
    fn look<'a>(
        &'a self,
        grant: &Grant,
        net: &Net,
        deadline: Instant,
    ) -> Result<(MutexGuard<'a, Table>, Booking), Error> {
        let mut table = self.table();
        loop {
            let busy = match self.look_once(&mut table, grant, net)? {
                Ok(booking) => return Ok((table, booking)),
                Err(busy) => busy,
            };
            let left = deadline.checked_duration_since(Instant::now()).ok_or(Error::Busy)?;
            tracing::debug!(id = %busy, "waiting for somebody else's work on this attachment");
            table =
                self.settled.wait_timeout(table, left).map_or_else(|p| p.into_inner().0, |(table, _)| table);
        }
    }

    /// One look. The inner error is an attachment that another thread is busy with.
    fn look_once(
        &self,
        table: &mut Table,
        grant: &Grant,
        net: &Net,
    ) -> Result<Result<Booking, AttachmentId>, Error> {
        let (peer, wish) = (grant.peer(), grant.wish());
        if let Some(found) = table.by_namespace(grant.namespace().id()) {
            return match found.state {
                State::Active if table.is_refused(found.id) => {
                    Ok(Ok(Booking::InTheWay(found.id, Reason::Detach)))
                }
                State::Active if peer.may_see(found.uid) => Ok(Ok(Booking::Present(found.clone()))),
                State::Active => Err(Error::AttachedByAnother),
                State::Attaching | State::Detaching => Ok(Err(found.id)),
            };
        }
        // The same container in another namespace: it was restarted, and the end of its former self has
        // not reached us.
        let former = wish.container_id.as_ref().and_then(|id| table.by_container(peer.uid(), id));
        if let Some(found) = former {
            let counted = (found.account() == Some(grant.subject().account)).then_some(&found.network);
            self.has_room(table, grant.subject(), grant.ruling(), counted)?;
            return Ok(if found.state == State::Active {
                Ok(Booking::InTheWay(found.id, Reason::Replaced))
            } else {
                Err(found.id)
            });
        }
        let policy = self.policy();
        let namer = Namer { table, policy: &policy, subject: grant.subject(), ruling: grant.ruling() };
        let name = match namer.choose(wish.name.as_ref(), &wish.aliases)? {
            Naming::InTheWay(id) => return Ok(Ok(Booking::InTheWay(id, Reason::Lease))),
            Naming::Busy(id) => return Ok(Err(id)),
            Naming::Free(name) => name,
        };
        self.has_room(table, grant.subject(), grant.ruling(), None)?;
        let attachment = self.propose(table, grant, net, name)?;
        table.put(attachment.clone());
        Ok(Ok(Booking::Booked(attachment)))
    }

    /// A new attachment, with an address that is taken from here on.
    fn propose(
        &self,
        table: &Table,
        grant: &Grant,
        net: &Net,
        name: Option<Name>,
    ) -> Result<Attachment, Error> {
        let (peer, wish, subject) = (grant.peer(), grant.wish(), grant.subject());
        let id = loop {
            let id = AttachmentId::from_bits((self.parts.random)());
            if table.get(id).is_none() {
                break id;
            }
        };
        let mut attachment = Attachment {
            id,
            network: net.config.name.clone(),
            uid: peer.uid(),
            gid: peer.gid(),
            container_id: wish.container_id.clone(),
            name,
            aliases: wish.aliases.clone(),
            tags: wish.tags.clone(),
            interface: wish.interface.clone(),
            address: std::net::Ipv6Addr::UNSPECIFIED,
            mac: crate::model::Mac([0; 6]),
            mtu: wish.mtu.unwrap_or(net.config.mtu),
            default_route: wish.default_route && net.config.gateway.is_some(),
            // It was decided before, in more words.
            inbound: grant
                .ruling()
                .rule
                .limits
                .inbound(wish.inbound.as_ref())
                .unwrap_or(Inbound::Established),
            namespace: grant.namespace().id(),
            lease: None,
            created: SystemTime::now(),
            state: State::Attaching,
            charged: (subject.account != peer.uid()).then_some(subject.account),
            groups: self.policy().groups_of(subject),
            fixed: wish.address.is_some() || wish.mac.is_some(),
            forbidden: None,
        };
        // Who got another name than the reserved one does not get its address either.
        let reservation = grant.ruling().reservation.filter(|_| attachment.name == wish.name);
        let applicant = Applicant {
            uid: peer.uid(),
            label: attachment.label(),
            address: wish.address.or(wish.mac.map(|mac| mac.in_prefix(net.config.prefix))),
            random: (self.parts.random)(),
            may_choose: grant.ruling().fixed,
            space: grant.ruling().space,
            reservation,
        };
        let (address, mac) = net.pool().propose(&applicant, Instant::now())?;
        (attachment.address, attachment.mac) = (address, mac);
        Ok(attachment)
    }

    /// Carries out what was booked: recorded first, then the kernel, then committed and published.
    fn carry_out(
        &self,
        grant: &Grant,
        net: &Net,
        attachment: &Attachment,
        lease: Option<Arc<Lease>>,
    ) -> Result<Attachment, Error> {
        let id = attachment.id;
        match self.touch_kernel(grant, net, attachment, lease.as_ref()) {
            Ok(attachment) => {
                let mut table = self.table();
                self.settle(&mut table, &attachment, lease, Change::Added);
                // Under the lock too: its end cannot be told before its start.
                self.parts.audit.lives(&attachment);
                drop(table);
                // Nothing can fail any more; a test may still kill here.
                let _ = Fault.after("attach.published");
                self.unless_gone(attachment)
            }
            Err(error) => {
                tracing::info!(%id, uid = attachment.uid, %error, "not attached");
                self.forget(attachment);
                Err(error)
            }
        }
    }

    fn touch_kernel(
        &self,
        grant: &Grant,
        net: &Net,
        attachment: &Attachment,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Attachment, Error> {
        self.parts.store.write(attachment)?;
        Fault.after("attach.recorded")?;
        self.parts.guard.admit(attachment)?;
        if let Err(error) = self.touch_link(grant, net, attachment) {
            self.dismiss(attachment);
            return Err(error);
        }
        let committed =
            Attachment { state: State::Active, lease: lease.map(|lease| lease.id()), ..attachment.clone() };
        if let Err(error) = self
            .parts
            .store
            .write(&committed)
            .map_err(Error::from)
            .and_then(|()| Ok(Fault.after("attach.committed")?))
        {
            if let Err(error) = net.driver.detach(attachment, Fault) {
                tracing::warn!(id = %attachment.id, %error, "undoing an attach that could not be recorded");
            }
            self.dismiss(attachment);
            return Err(error);
        }
        Ok(committed)
    }

    fn touch_link(&self, grant: &Grant, net: &Net, attachment: &Attachment) -> Result<(), Error> {
        Fault.after("attach.admitted")?;
        Ok(net.driver.attach(attachment, grant.namespace().as_fd(), Fault)?)
    }

    /// After a failed attach the guard lets it do nothing any more. What stays of it opens nothing: no other
    /// link will ever have this name.
    fn dismiss(&self, attachment: &Attachment) {
        if let Err(error) = self.parts.guard.dismiss(attachment) {
            tracing::warn!(id = %attachment.id, %error, "undoing a failed attach");
        }
    }

    /// The link may have gone, with its namespace, while nobody could detach it yet.
    fn unless_gone(&self, attachment: Attachment) -> Result<Attachment, Error> {
        if self.table().is_gone(attachment.id) {
            self.detach_unasked(attachment.id, Reason::Namespace)?;
            return Err(Error::NamespaceEnded);
        }
        Ok(attachment)
    }

    /// The attachment is in use from here on: seen, published, its lease watched. All under one lock, so
    /// that nobody's detach comes in between and is undone by it; none of it waits for anything.
    pub(super) fn settle(
        &self,
        table: &mut Table,
        attachment: &Attachment,
        lease: Option<Arc<Lease>>,
        change: Change,
    ) {
        table.put(attachment.clone());
        if let Some(lease) = lease {
            table.set_lease(attachment.id, Some(Arc::clone(&lease)));
            self.watch_lease(attachment.id, lease);
        }
        self.tell(change, attachment);
        if let Some(record) = attachment.record() {
            self.parts.registries.publish(&record);
        }
        self.settled.notify_all();
    }

    /// Takes back the booking of an attachment that came to nothing.
    fn forget(&self, attachment: &Attachment) {
        if let Err(error) = self.parts.store.erase(attachment.id) {
            tracing::warn!(id = %attachment.id, %error, "erasing the record of a failed attach");
        }
        self.let_go(attachment);
    }

    /// The attachment is no more: its address may rest, its name is free, who waits may go on.
    pub(super) fn let_go(&self, attachment: &Attachment) {
        if let Ok(net) = self.net(&attachment.network) {
            net.pool().release(attachment.mac, attachment.label(), Instant::now());
        }
        self.table().remove(attachment.id);
        self.forget_lease(attachment.id);
        self.settled.notify_all();
    }
}
