//! The client core: one call of `Activate`, with a time limit over all of it.
//!
//! Ways in are ordinary synchronous programs. They call [`activate`] once, and find here the runtime, the
//! connection, the second try without a name, and a small set of outcomes to speak about.
//!
//! After an error the caller drops its lease. A daemon that was only slow sees that, and gives up what it
//! may have built meanwhile; so an error means: not attached, now or later.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use tonic::{Code, Status};
use v6pod_proto::v1::{ActivateRequest, Attachment, attachments_client::AttachmentsClient};

use crate::connect;

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
    /// Why it does not have the name that was asked for.
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
    let timeout = activation.timeout;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Made inside: a timer needs the runtime.
        let limit = tokio::time::timeout(timeout, attempt(activation));
        limit.await.unwrap_or(Err(Error::Slow(timeout)))
    })
}

/// Calls once and, if the name was the trouble, once more without it: an address without a name is worth
/// more than neither.
async fn attempt(activation: Activation) -> Result<Activated, Error> {
    let Activation { socket, namespace, lease, mut request, .. } = activation;
    if request.name.is_empty() {
        let attachment = call(&socket, namespace, lease, request).await?;
        return Ok(Activated { attachment, unnamed: None });
    }
    let again = (namespace.try_clone()?, lease.as_ref().map(OwnedFd::try_clone).transpose()?);
    let unnamed = match call(&socket, namespace, lease, request.clone()).await {
        Ok(attachment) => return Ok(Activated { attachment, unnamed: None }),
        Err(Error::Refused(status)) if is_about_name(&status) => status,
        Err(error) => return Err(error),
    };
    request.name.clear();
    let attachment = call(&socket, again.0, again.1, request).await?;
    Ok(Activated { attachment, unnamed: Some(unnamed) })
}

/// Whether a refusal can be about the name. The contract knows ALREADY_EXISTS for a name or an address
/// that is taken, INVALID_ARGUMENT for any malformed field; trying without a name tells.
fn is_about_name(status: &Status) -> bool {
    matches!(status.code(), Code::AlreadyExists | Code::InvalidArgument)
}

/// One connection, one call.
async fn call(
    socket: &Path,
    namespace: OwnedFd,
    lease: Option<OwnedFd>,
    request: ActivateRequest,
) -> Result<Attachment, Error> {
    let descriptors = std::iter::once(namespace).chain(lease).collect();
    let channel = connect::connect(socket, descriptors).await.map_err(Error::Away)?;
    let response = AttachmentsClient::new(channel).activate(request).await.map_err(failed)?;
    let nothing = || Error::Refused(Status::internal("the answer holds no attachment"));
    response.into_inner().attachment.ok_or_else(nothing)
}

/// Tells the daemon's answers, which are headers and have no cause, from those tonic makes up.
fn failed(status: Status) -> Error {
    match std::error::Error::source(&status) {
        None => Error::Refused(status),
        Some(_) => Error::HungUp(status),
    }
}
