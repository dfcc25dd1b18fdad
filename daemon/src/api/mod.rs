//! The gRPC services of `v6pod.v1`: messages in, messages out, nothing decided here.

mod explain;
mod history;
mod status;

use std::{
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use v6pod_proto::v1::{
    self, attachments_server, daemon_server, deactivate_request, get_request, networks_server,
    watch_response::Kind,
};

use crate::{
    audit::{Query, Viewer},
    auth::{self, Peer},
    model::{Attachment, State},
    policy::{Subject, Wish},
    service::{Change, Error, Net, Service, Target, jobs::Jobs},
    socket::Caller,
};

/// Answers calls.
#[derive(Clone)]
pub struct Grpc {
    service: Arc<Service>,
    jobs: Jobs,
}

type Answer<T> = Result<Response<T>, Status>;

impl Grpc {
    /// Answers calls with this service.
    pub fn new(service: Arc<Service>, jobs: Jobs) -> Self {
        Self { service, jobs }
    }

    fn message(&self, attachment: &Attachment) -> v1::Attachment {
        let net = self.service.net(&attachment.network).ok();
        let published = attachment.record().map(|record| self.service.registries().full_names(&record.name));
        v1::Attachment {
            id: attachment.id.to_string(),
            network: attachment.network.to_string(),
            uid: attachment.uid,
            container_id: attachment.container_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            name: attachment.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            interface: attachment.interface.to_string(),
            address: attachment.address.to_string(),
            prefix_length: net.map_or(0, |net| net.config.prefix.prefix_len().into()),
            gateway: text(net.and_then(|net| net.config.gateway)),
            mac: attachment.mac.to_string(),
            mtu: attachment.mtu,
            host_interface: attachment.id.host_interface(),
            state: match attachment.state {
                State::Attaching => v1::attachment::State::Attaching,
                State::Active => v1::attachment::State::Active,
                State::Detaching => v1::attachment::State::Detaching,
            }
            .into(),
            created: timestamp(attachment.created),
            leased: attachment.lease.is_some(),
            published: published.unwrap_or_default(),
            aliases: attachment.aliases.iter().map(ToString::to_string).collect(),
            tags: attachment.tags.iter().map(ToString::to_string).collect(),
            forbidden: attachment.forbidden.clone().unwrap_or_default(),
            inbound: attachment.inbound.to_string(),
        }
    }

    fn network(&self, net: &Net) -> v1::Network {
        v1::Network {
            name: net.config.name.to_string(),
            driver: "bridge".to_owned(),
            prefix: net.config.prefix.to_string(),
            gateway: text(net.config.gateway),
            bridge: net.host_link().to_owned(),
            mtu: net.config.mtu,
            addresses: net.config.mode.as_str().to_owned(),
            default: net.config.name == *self.service.default_network(),
            attachments: count(net.attachments()),
            capacity: count(net.config.capacity),
            isolation: net.config.isolation.as_str().to_owned(),
        }
    }

    fn dns_servers(&self, attachment: &Attachment) -> Vec<String> {
        self.service.resolver(attachment).iter().map(ToString::to_string).collect()
    }

    /// The networks that a user may use, by name.
    fn networks(&self, subject: &Subject) -> Vec<v1::Network> {
        self.service.networks_for(subject).into_iter().map(|net| self.network(net)).collect()
    }

    /// The registries, as far as the networks that a user may use go: others are not there.
    fn registries(&self, subject: &Subject) -> Vec<v1::RegistryStatus> {
        let gateways: Vec<_> = self
            .service
            .networks_for(subject)
            .into_iter()
            .filter_map(|net| Some(IpAddr::from(net.config.gateway?)))
            .collect();
        let status = |status: crate::registry::Status| v1::RegistryStatus {
            kind: status.kind.to_owned(),
            endpoint: status.endpoint,
            healthy: status.healthy,
            error: status.error.unwrap_or_default(),
            names: count(status.names),
        };
        let all = self.service.registries().status_for(&|address| gateways.contains(&address));
        all.into_iter().map(status).collect()
    }

    async fn attach(&self, caller: &Caller, request: &v1::ActivateRequest) -> Answer<v1::ActivateResponse> {
        // Whatever comes of this call: what was passed for it is not there for the next.
        let passed = caller.take();
        let subject = self.service.subject(caller.peer()).await?;
        let wish = match Wish::check(request).map_err(Error::from) {
            Ok(_) if passed.namespace.is_none() => Err(Error::from(auth::Error::NoDescriptor)),
            checked => checked,
        };
        let permit = match wish {
            Ok(wish) => self.service.permit(caller.peer().clone(), &subject, wish)?,
            // Not worth a thread, and still a call.
            Err(error) => {
                self.service.count_call(&subject, None)?;
                return Err(error.into());
            }
        };
        let (service, account) = (Arc::clone(&self.service), caller.account());
        let job = move || service.activate(permit, passed);
        let (attachment, created) = self.jobs.attach(account, job).await??;
        Ok(Response::new(v1::ActivateResponse {
            attachment: Some(self.message(&attachment)),
            created,
            dns_servers: self.dns_servers(&attachment),
        }))
    }
}

#[tonic::async_trait]
impl attachments_server::Attachments for Grpc {
    async fn activate(&self, request: Request<v1::ActivateRequest>) -> Answer<v1::ActivateResponse> {
        let caller = caller(&request)?;
        // podman shows nobody what its helper was told.
        self.attach(&caller, request.get_ref()).await.inspect_err(|status| {
            tracing::info!(uid = caller.peer().uid(), code = ?status.code(), error = status.message(), "not attached");
        })
    }

    async fn deactivate(&self, request: Request<v1::DeactivateRequest>) -> Answer<v1::DeactivateResponse> {
        let caller = caller(&request)?;
        let target = match request.into_inner().target {
            Some(deactivate_request::Target::Id(id)) => by_id(&id)?,
            Some(deactivate_request::Target::ContainerId(id)) => by_container(&id)?,
            None => return Err(no_target()),
        };
        let (service, account) = (Arc::clone(&self.service), caller.account());
        let job = move || service.deactivate(caller.peer(), &target);
        let attachment = self.jobs.detach_waiting(account, job).await??;
        Ok(Response::new(v1::DeactivateResponse { attachment: Some(self.message(&attachment)) }))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::GetResponse> {
        let caller = caller(&request)?;
        let target = match request.into_inner().target {
            Some(get_request::Target::Id(id)) => by_id(&id)?,
            Some(get_request::Target::ContainerId(id)) => by_container(&id)?,
            None => return Err(no_target()),
        };
        let attachment = self.service.get(caller.peer(), &target)?;
        Ok(Response::new(v1::GetResponse { attachment: Some(self.message(&attachment)) }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let caller = caller(&request)?;
        let filter = request.into_inner();
        let attachments = self
            .service
            .list(caller.peer())
            .iter()
            .map(|attachment| self.message(attachment))
            .filter(|a| filter.network.is_empty() || filter.network == a.network)
            .filter(|a| filter.name.is_empty() || filter.name == a.name)
            .collect();
        Ok(Response::new(v1::ListResponse { attachments }))
    }

    async fn check(&self, request: Request<v1::CheckRequest>) -> Answer<v1::CheckResponse> {
        let caller = caller(&request)?;
        let Target::Id(id) = by_id(&request.into_inner().id)? else { return Err(no_target()) };
        let (service, account) = (Arc::clone(&self.service), caller.account());
        let job = move || service.check(caller.peer(), id);
        let problems = self.jobs.attach(account, job).await??;
        Ok(Response::new(v1::CheckResponse { problems }))
    }

    async fn expose(&self, request: Request<v1::ExposeRequest>) -> Answer<v1::ExposeResponse> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let Target::Id(id) = by_id(&request.id)? else { return Err(no_target()) };
        let subject = self.service.subject(caller.peer()).await?;
        let network = self.service.get(caller.peer(), &Target::Id(id)).ok().map(|found| found.network);
        self.service.count_call(&subject, network.as_ref())?;
        let inbound = request.inbound.parse().map_err(crate::policy::Error::from).map_err(Error::from)?;
        let (service, account) = (Arc::clone(&self.service), caller.account());
        let job = move || service.set_inbound(caller.peer(), &subject, id, inbound);
        let attachment = self.jobs.attach(account, job).await??;
        Ok(Response::new(v1::ExposeResponse { attachment: Some(self.message(&attachment)) }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let peer = caller(&request)?.peer().clone();
        // Subscribed first: what happens in between is sent twice rather than not at all.
        let mut events = self.service.subscribe();
        let existing = self.service.list(&peer);
        let this = self.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            for attachment in existing {
                let event = this.event(Kind::Existing, Some(&attachment));
                if sender.send(Ok(event)).await.is_err() {
                    return;
                }
            }
            let mut next = Ok(this.event(Kind::Synced, None));
            while sender.send(next).await.is_ok() {
                let received = tokio::select! {
                    received = this.next_event(&mut events, &peer) => received,
                    () = sender.closed() => return,
                };
                match received {
                    Some(event) => next = event,
                    None => return,
                }
            }
        });
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }
}

type Events = tokio::sync::broadcast::Receiver<(Change, Attachment)>;

impl Grpc {
    fn event(&self, kind: Kind, attachment: Option<&Attachment>) -> v1::WatchResponse {
        v1::WatchResponse { kind: kind.into(), attachment: attachment.map(|a| self.message(a)) }
    }

    /// The next event that the peer may see. None: the daemon is stopping.
    async fn next_event(
        &self,
        events: &mut Events,
        peer: &Peer,
    ) -> Option<Result<v1::WatchResponse, Status>> {
        loop {
            return match events.recv().await {
                Ok((_, attachment)) if !peer.may_see(attachment.uid) => continue,
                Ok((change, attachment)) => {
                    let kind = match change {
                        Change::Added => Kind::Added,
                        Change::Changed => Kind::Changed,
                        Change::Removed => Kind::Removed,
                    };
                    Some(Ok(self.event(kind, Some(&attachment))))
                }
                Err(RecvError::Lagged(missed)) => Some(Err(Status::resource_exhausted(format!(
                    "this watch fell {missed} events behind: call Watch again"
                )))),
                Err(RecvError::Closed) => None,
            };
        }
    }
}

#[tonic::async_trait]
impl networks_server::Networks for Grpc {
    async fn get(&self, request: Request<v1::NetworksGetRequest>) -> Answer<v1::NetworksGetResponse> {
        let subject = self.service.subject(caller(&request)?.peer()).await?;
        let name = request.into_inner().name;
        let name = if name.is_empty() {
            self.service.default_network().clone()
        } else {
            name.parse().map_err(crate::policy::Error::from).map_err(Error::from)?
        };
        let net = self.service.net_for(&subject, &name)?;
        Ok(Response::new(v1::NetworksGetResponse { network: Some(self.network(net)) }))
    }

    async fn list(&self, request: Request<v1::NetworksListRequest>) -> Answer<v1::NetworksListResponse> {
        let subject = self.service.subject(caller(&request)?.peer()).await?;
        Ok(Response::new(v1::NetworksListResponse { networks: self.networks(&subject) }))
    }
}

#[tonic::async_trait]
impl daemon_server::Daemon for Grpc {
    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let caller = caller(&request)?;
        let subject = self.service.subject(caller.peer()).await?;
        Ok(Response::new(v1::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: timestamp(self.service.started()),
            networks: self.networks(&subject),
            registries: self.registries(&subject),
            attachments: count(self.service.count()),
            caller_uid: caller.peer().uid(),
            caller_is_admin: caller.peer().is_admin(),
            audit: Some(history::status(self.service.audit())),
            guard: self.service.guard().name().to_owned(),
        }))
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        let caller = caller(&request)?;
        let viewer =
            Viewer { uid: caller.peer().uid(), account: caller.account(), all: caller.peer().is_admin() };
        let query = Query::check(request.get_ref(), viewer).map_err(Error::from)?;
        let found = self.service.audit().history(query).await.map_err(Error::from)?;
        Ok(Response::new(history::response(found)))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Answer<v1::ExplainResponse> {
        let caller = caller(&request)?;
        self.explained(caller.peer(), request.into_inner()).await
    }
}

/// Who calls. A connection without a caller was not made by our listener: refused.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("the kernel does not say who is calling"))
}

fn by_id(text: &str) -> Result<Target, Status> {
    Ok(Target::Id(text.parse().map_err(|error: crate::model::NotAnId| Error::BadId(error.to_string()))?))
}

fn by_container(text: &str) -> Result<Target, Status> {
    Ok(Target::Container(text.parse().map_err(crate::policy::Error::from).map_err(Error::from)?))
}

fn no_target() -> Status {
    Status::invalid_argument("say which attachment: set id or container_id")
}

fn text(address: Option<Ipv6Addr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn timestamp(time: SystemTime) -> Option<prost_types::Timestamp> {
    Some(time.into())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
