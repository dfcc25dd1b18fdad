//! The daemon at work: restore and reconcile, bind, ready, serve, drain.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::service::Routes;
use v6pod_proto::v1::{
    attachments_server::AttachmentsServer, daemon_server::DaemonServer, networks_server::NetworksServer,
};

use super::{Error, prepare};
use crate::{
    api::Grpc,
    audit::Audit,
    auth::{Holders, Subids},
    config::Config,
    confine,
    network::{bridge::stale, monitor},
    reload::{self, Reload},
    service::{Service, deposit::Deposits, jobs::Jobs, lifetime},
    socket::{self, Pulse, Shares, limits},
    store::Store,
    systemd::{Notifier, Passed, pulse},
};

/// How long running work may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the audit may take to be written after that, and systemd to be told.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Descriptors that are not callers': of links, name servers, registries, and of jobs at work.
const OWN_DESCRIPTORS: usize = 256;

/// Runs from the first look at the host to the last word to systemd.
pub(super) async fn serve(
    path: &Path,
    mut config: Config,
    subids: Arc<Subids>,
    passed: Passed,
) -> Result<(), Error> {
    let notifier = passed.notifier().map_err(Error::start("telling systemd"))?;
    if passed.strange > 0 {
        tracing::warn!(
            count = passed.strange,
            "descriptors were passed that are neither a listening socket nor a lease"
        );
    }
    let adopted = socket::adopt(passed.listeners, &config.socket)?;
    let reloads = reload::catch().map_err(Error::start("catching signals"))?;
    let started_with = config.clone();
    let boot = prepare::boot_id()?;
    let store = Store::open(&config.state_dir, &boot)?;
    let audit = Audit::start(&config.audit, store.path("audit"), &boot)
        .map_err(Error::start("starting the audit"))?;
    if let Some(network) = config.needs_prefix() {
        network.set_prefix(store.remember("prefix", "an IPv6 prefix", prepare::local_prefix)?);
        tracing::info!(prefix = %network.prefix, "no prefix is configured: this host has one of its own making");
    }
    let (service, orders) = prepare::service(&config, store, audit, Arc::clone(&subids))?;
    let jobs = Jobs::default();
    let seen = monitor::start().map_err(Error::start("watching links"))?;
    let deposits = Deposits::new(notifier.clone(), passed.forgets);
    tokio::spawn(lifetime::watch(Arc::clone(&service), jobs.clone(), orders, deposits));
    let restoring = Arc::clone(&service);
    let reconciled =
        tokio::task::spawn_blocking(move || restoring.reconcile(&Holders::with_kept(passed.leases)))
            .await
            .map_err(|error| Error::Start { step: "reconciling", source: io::Error::other(error) })??;
    stale::remove(&config.networks);
    tokio::spawn(lifetime::follow(Arc::clone(&service), jobs.clone(), seen));
    let reload = Reload {
        path: path.to_owned(),
        started_with,
        service: Arc::clone(&service),
        jobs: jobs.clone(),
        notifier: notifier.clone(),
    };
    tokio::spawn(reload.follow(reloads));
    let routes = routes(Grpc::new(Arc::clone(&service), jobs.clone())).await?;
    // Before anybody can know that the daemon runs, and so ask it to stop.
    let mut stop = Stop::new().map_err(Error::start("catching signals"))?;
    let listener = adopted.map_or_else(|| socket::bind(&config.socket), Ok)?;
    let listener = socket::attend(listener, &config.socket)?;
    tracing::info!(socket = %config.socket.path.display(), guard = service.guard().name(), restored = reconciled.restored,
        detached = reconciled.detached, orphans = reconciled.orphans, "ready");
    let (accepting, questions) = Pulse::new();
    let probed = pulse::Probed { accepting, jobs: jobs.clone(), service: Arc::clone(&service) };
    notifier.ready(&pulse::status(&service, true));
    tokio::select! {
        () = socket::serve(listener, config.admin_group, shares(&config, subids), routes, questions) => {}
        () = pulse::beat(notifier.clone(), passed.watchdog, probed) => {}
        () = stop.asked() => tracing::info!("stopping; containers keep their addresses"),
    }
    end(&service, &jobs, &notifier).await;
    Ok(())
}

/// Lets running work come to its end, for a while.
async fn end(service: &Service, jobs: &Jobs, notifier: &Notifier) {
    notifier.stopping();
    if !jobs.drain(DRAIN).await {
        tracing::warn!("work was still running after {DRAIN:?}; the next start finishes it");
    }
    if !service.audit().close(LAST_WORDS) {
        tracing::warn!("the audit could not be written to its end; the next start makes up for it");
    }
    notifier.flush(LAST_WORDS);
}

/// What users may have of the daemon, given how many descriptors it may have: each attachment may keep one.
fn shares(config: &Config, subids: Arc<Subids>) -> Shares {
    let attachments: usize = config.networks.iter().map(|network| network.capacity).sum();
    Shares::new(limits::connections(confine::raise_descriptors(), attachments + OWN_DESCRIPTORS), subids)
}

/// Everything that can be called.
async fn routes(grpc: Grpc) -> Result<Routes, Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AttachmentsServer<Grpc>>().await;
    health.set_serving::<NetworksServer<Grpc>>().await;
    health.set_serving::<DaemonServer<Grpc>>().await;
    Ok(Routes::new(health_service)
        .add_service(reflection().build_v1().map_err(garbled)?)
        // Old grpcurl asks for this one only.
        .add_service(reflection().build_v1alpha().map_err(garbled)?)
        .add_service(AttachmentsServer::new(grpc.clone()).max_decoding_message_size(limits::MESSAGE))
        .add_service(NetworksServer::new(grpc.clone()).max_decoding_message_size(limits::MESSAGE))
        .add_service(DaemonServer::new(grpc).max_decoding_message_size(limits::MESSAGE)))
}

/// SIGTERM and SIGINT.
struct Stop {
    term: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v6pod_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn garbled(error: tonic_reflection::server::Error) -> Error {
    Error::Start { step: "starting reflection", source: io::Error::other(error) }
}
