//! Networks: how a namespace comes to have a link on one of them.
//!
//! One trait for all drivers, one file or folder per driver, and [`build`] is the one place that
//! chooses. Drivers are synchronous: every call runs on a thread of its own (see `service::jobs`),
//! because the kernel does its work inside the system call and because entering a namespace is a
//! matter of threads.

pub mod announce;
pub mod bridge;
pub mod host;
pub mod inside;
pub mod monitor;
pub mod netlink;
pub mod request;
mod source_routing;

use std::{
    io,
    net::Ipv6Addr,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex},
};

use ipnet::Ipv6Net;

use crate::{
    config,
    fault::Fault,
    model::{Attachment, AttachmentId},
};

/// What went wrong with a network. Each names the object; `io::Error` says what the kernel answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bridge is missing and is not ours to make.
    #[error(
        "the bridge {0} does not exist: create it, or use \"bridge\" in place of \"join\" to let v6podd make its own"
    )]
    NoBridge(String),
    /// A link has the bridge's name and is none.
    #[error("{name} is a {kind} and not a bridge: choose another name for the network's bridge")]
    NotABridge {
        /// The link.
        name: String,
        /// What it is.
        kind: String,
    },
    /// A bridge has the name and somebody else made it.
    #[error(
        "the bridge {0} exists and v6podd did not make it: write join = {0:?} to use it as it is, or choose another name"
    )]
    NotOurs(String),
    /// The prefix is in use on another link.
    #[error(
        "the prefix {prefix} overlaps {other} on {link}: choose another prefix, or take that one off {link}"
    )]
    Overlap {
        /// Ours.
        prefix: Ipv6Net,
        /// Theirs.
        other: Ipv6Net,
        /// Where theirs is.
        link: String,
    },
    /// The interface's name is taken inside the namespace.
    #[error("the namespace has an interface named {0} already")]
    InterfaceTaken(String),
    /// The bridge has the MAC elsewhere.
    #[error("the MAC {0} is in use on the bridge already, by the bridge itself or behind another port")]
    MacTaken(crate::model::Mac),
    /// The bridge takes no more ports.
    #[error("the bridge {0} has no port left: the kernel allows 1024")]
    NoPort(String),
    /// A step failed.
    #[error("{step} failed for {object}: {source}")]
    Step {
        /// What was done.
        step: &'static str,
        /// To what.
        object: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file under /proc/sys could not be read or written.
    #[error("{path} cannot be set: {source}")]
    Sysctl {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Forwarding would cost the host its default route.
    #[error(
        "turning on IPv6 forwarding would drop the default route that {0} learned from router advertisements: set net.ipv6.conf.{0}.accept_ra=2 and start again"
    )]
    DefaultRoute(String),
}

impl Error {
    /// A failed step.
    pub fn step(step: &'static str, object: &(impl ToString + ?Sized)) -> impl FnOnce(io::Error) -> Self {
        let object = object.to_string();
        move |source| Self::Step { step, object, source }
    }
}

/// A driver: one network's way of giving a namespace a link.
pub trait Network: Send + Sync {
    /// Says whether the host can carry the network, and touches nothing.
    ///
    /// # Errors
    /// It cannot.
    fn examine(&self) -> Result<(), Error>;

    /// Makes the host ready, before anything is attached. Idempotent.
    ///
    /// # Errors
    /// The host cannot carry the network; what was changed stays, recorded for clean-up.
    fn prepare(&self) -> Result<(), Error>;

    /// Puts the namespace on the network as the attachment says. Undoes what it did if it fails.
    ///
    /// # Errors
    /// See [`Error`].
    fn attach(&self, attachment: &Attachment, namespace: BorrowedFd<'_>, fault: Fault) -> Result<(), Error>;

    /// Takes it off again. What is gone already is no error.
    ///
    /// # Errors
    /// The last thing that could not be removed, after all else was.
    fn detach(&self, attachment: &Attachment, fault: Fault) -> Result<(), Error>;

    /// Puts right on the host what an attachment that outlived the daemon should have. False: its link
    /// is gone.
    ///
    /// # Errors
    /// See [`Error`].
    fn restore(&self, attachment: &Attachment) -> Result<bool, Error>;

    /// Whether the attachment's link leads into this very namespace.
    ///
    /// # Errors
    /// The kernel would not say.
    fn leads_into(&self, attachment: &Attachment, namespace: BorrowedFd<'_>) -> io::Result<bool>;

    /// What is amiss on the host, one sentence each.
    fn check(&self, attachment: &Attachment) -> Vec<String>;

    /// Removes what an earlier run left for attachments that no longer are.
    ///
    /// # Errors
    /// See [`Error`].
    fn sweep(&self, live: &dyn Fn(Ipv6Addr) -> bool) -> Result<(), Error>;

    /// The gateway, where containers find the host and the resolver.
    fn gateway(&self) -> Option<Ipv6Addr>;

    /// The link on the host that carries the network: a bridge's name.
    fn host_link(&self) -> &str;
}

/// The links of this host that carry our mark: alias `v6pod:ID`, or, between creation and marking,
/// the name `v6pID` of a veth with the index that is made of the ID.
///
/// # Errors
/// The kernel would not say.
pub fn marked_links() -> io::Result<Vec<(AttachmentId, netlink::Link)>> {
    let links = netlink::Socket::open()?.links()?;
    Ok(links.into_iter().filter_map(|link| Some((mark(&link)?, link))).collect())
}

/// The attachment that a link is the host's end of.
pub fn mark(link: &netlink::Link) -> Option<AttachmentId> {
    AttachmentId::from_alias(&link.alias).or_else(|| {
        let id: AttachmentId = link.name.strip_prefix("v6p")?.parse().ok()?;
        // Anybody may choose such a name; nobody comes upon the index as well.
        (link.kind == "veth" && link.index == id.host_index()).then_some(id)
    })
}

/// The driver for a configured network.
pub fn build(
    network: &config::Network,
    mac: crate::model::Mac,
    changes: Arc<Mutex<host::Changes>>,
) -> Box<dyn Network> {
    match network.driver {
        config::Driver::Bridge => Box::new(bridge::Bridge::new(network, mac, changes)),
    }
}
