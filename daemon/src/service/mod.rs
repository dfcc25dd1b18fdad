//! The service: the one place where authorisation, addresses, networks, records and registries meet.
//!
//! # Theory of operation
//! Everything that changes something is a synchronous function that runs to its end on a thread of its
//! own ([`jobs`]): a client that hangs up neither half-finishes nor undoes it. The [`table`] says what
//! there is and who is busy with it; it is locked for looking and booking only, never while the kernel
//! works. An attachment that is being attached or detached belongs to the thread that does it, and
//! others who want it wait for that thread. While one that is in use is changed, no detach begins.
//!
//! [`attach`] and [`detach`] hold the order of steps, [`reconcile`] what is done before the first
//! caller, [`lifetime`] what ends an attachment unasked. [`rules`] holds the policy against what there is,
//! [`reload`] puts another in its place, [`explain`] tells what it would say.

mod attach;
mod detach;
mod explain;
mod expose;
pub mod jobs;
pub mod lifetime;
mod naming;
mod reconcile;
mod reload;
mod renew;
mod rules;
mod table;

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use tokio::sync::{broadcast, mpsc};

pub use self::explain::Explanation;
use self::table::Table;
use crate::{
    audit::{self, Audit},
    auth::{self, Peer, Subids, Users},
    config,
    guard::{self, Guard},
    ipam,
    model::{Attachment, AttachmentId, NetworkName},
    network,
    policy::{self, Policy, Rates},
    registry::Registries,
    store::{self, Store},
};

/// How many events a watcher may be behind before it is told to start over.
const BEHIND: usize = 1024;
/// How long a caller waits for somebody else's work on the same attachment.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a call failed. `api::status` says which gRPC status each is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Who is calling, or what it passed, is not right.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The request is not right.
    #[error(transparent)]
    Policy(#[from] policy::Error),
    /// A rule says no.
    #[error(transparent)]
    Refused(#[from] policy::Refusal),
    /// The user database cannot be asked.
    #[error("the user database cannot be asked about uid {uid}: {source}: try again")]
    Users {
        /// About whom.
        uid: u32,
        /// Why not.
        source: std::io::Error,
    },
    /// Only administrators may ask about others.
    #[error("only administrators may ask what others may")]
    NotAnAdministrator,
    /// There is no such network.
    #[error("there is no network {0}: v6pod status lists those there are")]
    NoNetwork(NetworkName),
    /// There is no such attachment, or it is not the caller's.
    #[error("there is no attachment {0}")]
    NoAttachment(String),
    /// An id is malformed.
    #[error("{0}")]
    BadId(String),
    /// The name is taken.
    #[error("the name {0} is taken by another container: choose another name, or stop that one")]
    NameTaken(crate::model::Name),
    /// The namespace has an attachment of somebody else's making. Told to nobody who could not see its link
    /// there: only who has every right over a namespace gets as far as this.
    #[error("this namespace is attached already, by another user")]
    AttachedByAnother,
    /// The MTU is more than the network's.
    #[error("an MTU of {asked} is more than the network's {most}")]
    Mtu {
        /// What was asked for.
        asked: u32,
        /// The network's.
        most: u32,
    },
    /// The namespace ended meanwhile.
    #[error("the network namespace ended while it was being attached")]
    NamespaceEnded,
    /// No address.
    #[error(transparent)]
    Address(#[from] ipam::Error),
    /// The kernel.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The guard.
    #[error(transparent)]
    Guard(#[from] guard::Error),
    /// The state directory.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The audit, which is asked and never in the way.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// Somebody else's work on the same attachment took too long.
    #[error("another call is still busy with this attachment: try again")]
    Busy,
    /// A test asked for it, or a thread could not be made.
    #[error("{0}")]
    Internal(#[from] std::io::Error),
    /// The caller has asked for more than will be done soon.
    #[error("too much of what you asked for is not done yet: try again in a moment")]
    TooMuchAtOnce,
    /// The daemon is stopping.
    #[error("v6podd is stopping: try again in a moment")]
    Stopping,
}

/// What happened to an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It has changed.
    Changed,
    /// It is gone.
    Removed,
}

/// One network with its driver and its addresses.
pub struct Net {
    /// As configured.
    pub config: config::Network,
    driver: Box<dyn network::Network>,
    pool: Mutex<ipam::Pool>,
}

impl Net {
    /// Joins the parts.
    pub fn new(config: config::Network, driver: Box<dyn network::Network>, pool: ipam::Pool) -> Self {
        Self { config, driver, pool: Mutex::new(pool) }
    }

    /// The link on the host that carries it.
    pub fn host_link(&self) -> &str {
        self.driver.host_link()
    }

    /// How many attachments it has.
    pub fn attachments(&self) -> usize {
        self.pool().len()
    }

    fn pool(&self) -> MutexGuard<'_, ipam::Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts that the service combines.
pub struct Parts {
    /// What is known of the host's own namespaces.
    pub host: auth::Host,
    /// The networks, by name.
    pub networks: BTreeMap<NetworkName, Net>,
    /// The default one.
    pub default_network: NetworkName,
    /// The rules.
    pub policy: Policy,
    /// Whose subordinate uids are whose.
    pub subids: Arc<Subids>,
    /// What the user database said.
    pub users: Users,
    /// The records.
    pub store: Store,
    /// What keeps containers from forging addresses.
    pub guard: Box<dyn Guard>,
    /// The registries.
    pub registries: Registries,
    /// Who had which address when.
    pub audit: Audit,
    /// Whether one of them answers containers, on each network's gateway.
    pub resolver: bool,
    /// Where ids and random addresses come from.
    pub random: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// The service.
pub struct Service {
    parts: Parts,
    policy: RwLock<Arc<Policy>>,
    rates: Mutex<Rates>,
    table: Mutex<Table>,
    /// Held while an attachment that is in use is changed, and no detach may begin. Taken before the table,
    /// and only on threads that may wait: disk and kernel are at work meanwhile.
    changes: Mutex<()>,
    /// Told whenever an attachment comes to rest.
    settled: Condvar,
    events: broadcast::Sender<(Change, Attachment)>,
    /// To the task that watches leases.
    leases: mpsc::UnboundedSender<lifetime::Order>,
    started: SystemTime,
}

impl Service {
    /// Makes it, and the orders that [`lifetime::watch`] carries out.
    pub fn new(parts: Parts) -> (Arc<Self>, mpsc::UnboundedReceiver<lifetime::Order>) {
        let (leases, to_watch) = mpsc::unbounded_channel();
        let policy = RwLock::new(Arc::new(parts.policy.clone()));
        let service = Self {
            parts,
            policy,
            rates: Mutex::default(),
            table: Mutex::new(Table::default()),
            changes: Mutex::default(),
            settled: Condvar::new(),
            events: broadcast::channel(BEHIND).0,
            leases,
            started: SystemTime::now(),
        };
        (Arc::new(service), to_watch)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One network.
    ///
    /// # Errors
    /// [`Error::NoNetwork`].
    pub fn net(&self, name: &NetworkName) -> Result<&Net, Error> {
        self.parts.networks.get(name).ok_or_else(|| Error::NoNetwork(name.clone()))
    }

    /// All networks, by name.
    pub fn networks(&self) -> impl Iterator<Item = &Net> {
        self.parts.networks.values()
    }

    /// The network of those who name none.
    pub fn default_network(&self) -> &NetworkName {
        &self.parts.default_network
    }

    /// The guard.
    pub fn guard(&self) -> &dyn Guard {
        self.parts.guard.as_ref()
    }

    /// The registries.
    pub fn registries(&self) -> &Registries {
        &self.parts.registries
    }

    /// The audit.
    pub fn audit(&self) -> &Audit {
        &self.parts.audit
    }

    /// The resolver that an attachment's container may ask.
    pub fn resolver(&self, attachment: &Attachment) -> Option<std::net::Ipv6Addr> {
        self.net(&attachment.network).ok()?.config.resolver().filter(|_| self.parts.resolver)
    }

    /// When the daemon started.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// How many attachments there are.
    pub fn count(&self) -> usize {
        self.table().len()
    }

    /// Everything that happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<(Change, Attachment)> {
        self.events.subscribe()
    }

    /// Tells watchers. Nobody listening is no failure.
    fn tell(&self, change: Change, attachment: &Attachment) {
        let _ = self.events.send((change, attachment.clone()));
    }

    /// The caller's attachments, or everyone's for an administrator, oldest first.
    pub fn list(&self, peer: &Peer) -> Vec<Attachment> {
        let mut list: Vec<_> =
            self.table().attachments().filter(|attachment| peer.may_see(attachment.uid)).cloned().collect();
        list.sort_by_key(|attachment| (attachment.created, attachment.id));
        list
    }

    /// One attachment that the caller may see.
    ///
    /// # Errors
    /// [`Error::NoAttachment`], also if it exists and is another user's.
    pub fn get(&self, peer: &Peer, target: &Target) -> Result<Attachment, Error> {
        let table = self.table();
        let found = match target {
            Target::Id(id) => table.get(*id),
            Target::Container(id) => table.by_container(peer.uid(), id),
        };
        found
            .filter(|attachment| peer.may_see(attachment.uid))
            .cloned()
            .ok_or_else(|| Error::NoAttachment(target.to_string()))
    }

    /// What is amiss with one attachment.
    ///
    /// # Errors
    /// [`Error::NoAttachment`].
    pub fn check(&self, peer: &Peer, id: AttachmentId) -> Result<Vec<String>, Error> {
        let attachment = self.get(peer, &Target::Id(id))?;
        let mut problems = self.net(&attachment.network)?.driver.check(&attachment);
        problems.extend(self.parts.guard.check(&attachment));
        if let Some(record) = attachment.record() {
            problems.extend(self.parts.registries.check(&record));
        }
        Ok(problems)
    }
}

/// Which attachment a call is about.
#[derive(Clone, Debug)]
pub enum Target {
    /// By the daemon's id.
    Id(AttachmentId),
    /// By the container's id, among the caller's own.
    Container(crate::model::ContainerId),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Container(id) => write!(f, "of the container {id}"),
        }
    }
}
