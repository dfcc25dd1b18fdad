//! Calls to the daemon, each with a time limit and with errors that say what it was about.

use std::{future::Future, os::fd::OwnedFd, path::Path, time::Duration};

use tonic::{Response, Status, Streaming};
use v6pod_client::{channel::Channel, connect};
use v6pod_proto::v1::{
    ActivateRequest, ActivateResponse, Attachment, CheckRequest, CheckResponse, DeactivateRequest,
    ExplainRequest, ExplainResponse, ExposeRequest, HistoryRequest, HistoryResponse, ListRequest,
    ListResponse, StatusRequest, StatusResponse, WatchRequest, WatchResponse,
    attachments_client::AttachmentsClient, daemon_client::DaemonClient, deactivate_request::Target,
};

use crate::error::Error;

/// For what changes or compares something: longer than the daemon gives itself for a call (30 s).
const LIMIT: Duration = Duration::from_secs(35);

/// For what only asks: longer than a daemon that systemd starts again takes, while its callers wait in the socket.
const LIMIT_TO_ASK: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub struct Daemon(Channel);

impl Daemon {
    /// Connects, and passes these descriptors.
    pub async fn connect(socket: &Path, descriptors: Vec<OwnedFd>) -> Result<Self, Error> {
        let slow = |_| Error::Slow { what: "cannot connect".to_owned(), limit: LIMIT_TO_ASK };
        let connecting = connect::connect(socket, descriptors);
        Ok(Self(tokio::time::timeout(LIMIT_TO_ASK, connecting).await.map_err(slow)??))
    }

    /// The caller's attachments.
    pub async fn list(&self) -> Result<ListResponse, Error> {
        let mut client = AttachmentsClient::new(self.0.clone());
        ask("cannot list attachments", client.list(ListRequest::default())).await
    }

    /// How the daemon is.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        let mut client = DaemonClient::new(self.0.clone());
        ask("cannot get the status", client.status(StatusRequest {})).await
    }

    /// Who had which address when.
    pub async fn history(&self, request: HistoryRequest) -> Result<HistoryResponse, Error> {
        let mut client = DaemonClient::new(self.0.clone());
        ask("cannot get the history", client.history(request)).await
    }

    /// Whether something is allowed.
    pub async fn explain(&self, request: ExplainRequest) -> Result<ExplainResponse, Error> {
        let mut client = DaemonClient::new(self.0.clone());
        ask("cannot ask the rules", client.explain(request)).await
    }

    /// What is amiss with an attachment.
    pub async fn check(&self, id: &str) -> Result<CheckResponse, Error> {
        let mut client = AttachmentsClient::new(self.0.clone());
        call(&format!("cannot check {id}"), client.check(CheckRequest { id: id.to_owned() })).await
    }

    /// Attaches the namespace that was passed; `target` is what the user calls it.
    pub async fn activate(&self, request: ActivateRequest, target: &str) -> Result<ActivateResponse, Error> {
        let mut client = AttachmentsClient::new(self.0.clone());
        call(&format!("cannot attach {target}"), client.activate(request)).await
    }

    /// Ends an attachment.
    pub async fn deactivate(&self, id: &str) -> Result<Attachment, Error> {
        let mut client = AttachmentsClient::new(self.0.clone());
        let what = format!("cannot detach {id}");
        let request = DeactivateRequest { target: Some(Target::Id(id.to_owned())) };
        let response = call(&what, client.deactivate(request)).await?;
        response.attachment.ok_or(Error::Incomplete(what))
    }

    /// Sets what may reach an attachment.
    pub async fn expose(&self, id: &str, inbound: &str) -> Result<Attachment, Error> {
        let mut client = AttachmentsClient::new(self.0.clone());
        let what = format!("cannot change what reaches {id}");
        let request = ExposeRequest { id: id.to_owned(), inbound: inbound.to_owned() };
        let response = call(&what, client.expose(request)).await?;
        response.attachment.ok_or(Error::Incomplete(what))
    }

    /// All attachments, then all changes.
    pub async fn watch(&self) -> Result<Streaming<WatchResponse>, Error> {
        let mut client = AttachmentsClient::new(self.0.clone());
        call("cannot watch attachments", client.watch(WatchRequest {})).await
    }
}

/// Whether the daemon said this, rather than the transport that lost it: what the daemon says is in
/// headers and has no cause.
pub fn is_from_daemon(status: &Status) -> bool {
    std::error::Error::source(status).is_none()
}

async fn ask<T>(what: &str, answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
    within(LIMIT_TO_ASK, what, answer).await
}

async fn call<T>(what: &str, answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
    within(LIMIT, what, answer).await
}

async fn within<T>(
    limit: Duration,
    what: &str,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Error> {
    let what = what.to_owned();
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if is_from_daemon(&status) => Err(Error::Refused { what, status }),
        Ok(Err(_)) => Err(Error::HungUp { what }),
        Err(_) => Err(Error::Slow { what, limit }),
    }
}
