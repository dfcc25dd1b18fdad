//! The client core: one call of `Activate`, with a time limit over all of it; and whatever else is asked of
//! the daemon, likewise.
//!
//! Ways in are ordinary synchronous programs. They call [`activate`] once, and find here the runtime, the
//! connection, the second try without names, and a small set of outcomes to speak about. What needs no
//! descriptors goes through [`ask`].
//!
//! A daemon that is being replaced costs no attach: whoever is hung up on calls again, as long as the time limit
//! lets. That is safe, for the daemon knows an attachment by its namespace.
//!
//! After an error the caller drops its lease. A daemon that was only slow sees that, and gives up what it
//! may have built meanwhile; so an error means: not attached, now or later.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    time::{Duration, Instant},
};

use tonic::{Code, Status};
use v6pod_proto::v1::{ActivateRequest, Attachment};

use crate::{channel::Channel, connect, rpc};

/// How long the first pause is before a daemon that hung up is called again; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(10);

/// What to attach and how long that may take.
#[derive(Debug)]
pub struct Activation {
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// The network namespace.
    pub namespace: OwnedFd,
    /// The read end of the lease pipe.
    pub lease: Option<OwnedFd>,
    /// What to ask for.
    pub request: ActivateRequest,
    /// The limit over connecting, calling, and calling again.
    pub timeout: Duration,
}

/// An attachment the daemon has made or confirmed.
#[derive(Debug)]
pub struct Activated {
    /// The attachment.
    pub attachment: Attachment,
    /// False if it existed before the call.
    pub created: bool,
    /// The resolvers the container can use.
    pub dns_servers: Vec<String>,
    /// Why it does not have the names that were asked for.
    pub unnamed: Option<Status>,
}

/// Why there is no attachment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no daemon to talk to, or none that may be trusted.
    #[error("{0}")]
    Away(#[source] connect::Error),
    /// The daemon said no.
    #[error("v6podd refused: {}", .0.message())]
    Refused(Status),
    /// The connection ended before the answer.
    #[error("v6podd hung up: {}", .0.message())]
    HungUp(Status),
    /// The time limit passed.
    #[error("v6podd did not answer within {} ms", .0.as_millis())]
    Slow(Duration),
    /// This side lacks something: descriptors, memory.
    #[error("cannot prepare the call: {0}")]
    Local(#[from] io::Error),
}

/// Attaches a namespace.
pub fn activate(activation: Activation) -> Result<Activated, Error> {
    within(activation.timeout, attempt(activation))
}

/// Makes calls on one connection without descriptors.
pub fn ask<T, F>(socket: &Path, timeout: Duration, calls: impl FnOnce(Channel) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Status>>,
{
    within(timeout, async {
        let connecting = connect::connect_within(socket, Vec::new(), patience(timeout));
        calls(connecting.await.map_err(Error::Away)?).await.map_err(failed)
    })
}

/// Does the work, for so long at most.
fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut outcome = Err(Error::Slow(timeout));
    run(timeout, pin!(async { outcome = work.await }))?;
    outcome
}

/// Runs it on a runtime of its own. (A runtime for each kind of work would be much of the program's size.)
fn run(timeout: Duration, work: Pin<&mut dyn Future<Output = ()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Made inside: a timer needs the runtime.
        let _ = tokio::time::timeout(timeout, work).await;
    });
    Ok(())
}

/// Calls once and, if the names were the trouble, once more without them: an address without a name is
/// worth more than neither.
async fn attempt(mut activation: Activation) -> Result<Activated, Error> {
    let deadline = Instant::now() + activation.timeout;
    let unnamed = match call_patiently(&activation, deadline).await {
        Err(Error::Refused(status)) if activation.is_named() && is_about_name(&status) => status,
        outcome => return outcome,
    };
    activation.request.name.clear();
    activation.request.aliases.clear();
    let activated = call_patiently(&activation, deadline).await?;
    Ok(Activated { unnamed: Some(unnamed), ..activated })
}

impl Activation {
    fn is_named(&self) -> bool {
        !self.request.name.is_empty() || !self.request.aliases.is_empty()
    }
}

/// Calls, and again while the daemon is being replaced. If none comes to its place, what the first said is told.
async fn call_patiently(activation: &Activation, deadline: Instant) -> Result<Activated, Error> {
    let mut first = None;
    let mut pause = PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match call(activation, patience(left)).await {
            Err(error) if is_passing(&error) => {
                let told = first.get_or_insert(error);
                if Instant::now() + pause >= deadline {
                    return Err(std::mem::replace(told, Error::Slow(activation.timeout)));
                }
            }
            Err(Error::Away(error)) => return Err(first.unwrap_or(Error::Away(error))),
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Whether a daemon said or did this that is stopping.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::HungUp(_) | Error::Away(connect::Error::Handshake { .. }) => true,
        Error::Refused(status) => status.code() == Code::Unavailable,
        _ => false,
    }
}

/// Whether a refusal can be about the name. The contract knows ALREADY_EXISTS for a name or an address
/// that is taken, INVALID_ARGUMENT for any malformed field, PERMISSION_DENIED for whatever a rule forbids;
/// trying without a name tells.
fn is_about_name(status: &Status) -> bool {
    matches!(status.code(), Code::AlreadyExists | Code::InvalidArgument | Code::PermissionDenied)
}

/// How long to wait for somebody to listen, of the time there is: with enough left to say that nobody does.
fn patience(left: Duration) -> Duration {
    connect::PATIENCE.min(left - left / 4)
}

/// One connection, one call.
async fn call(activation: &Activation, patience: Duration) -> Result<Activated, Error> {
    let given = std::iter::once(&activation.namespace).chain(&activation.lease);
    let descriptors = given.map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
    let connecting = connect::connect_within(&activation.socket, descriptors, patience);
    let channel = connecting.await.map_err(Error::Away)?;
    let response = rpc::call(&channel, rpc::ACTIVATE, &activation.request).await.map_err(failed)?;
    let nothing = || Error::Refused(Status::internal("the answer holds no attachment"));
    let attachment = response.attachment.ok_or_else(nothing)?;
    let (created, dns_servers) = (response.created, response.dns_servers);
    Ok(Activated { attachment, created, dns_servers, unnamed: None })
}

/// Tells the daemon's answers, which are headers and have no cause, from those tonic makes up.
fn failed(status: Status) -> Error {
    match std::error::Error::source(&status) {
        None => Error::Refused(status),
        Some(_) => Error::HungUp(status),
    }
}
