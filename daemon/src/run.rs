//! The daemon from start to end: logs, configuration, restore and reconcile, bind, ready, serve, drain.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;
use ipnet::Ipv6Net;
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::Routes;
use tracing_subscriber::filter::Targets;
use v6pod_proto::v1::{
    attachments_server::AttachmentsServer, daemon_server::DaemonServer, networks_server::NetworksServer,
};

use crate::{
    api::Grpc,
    audit::Audit,
    auth::{self, Holders, Subids, Users},
    cleanup,
    config::{self, Config},
    confine, guard, ipam, log,
    model::Mac,
    network::{self, host::Changes, monitor},
    registry::{self, Instance},
    reload::{self, Reload},
    service::{self, Net, Parts, Service, jobs::Jobs, lifetime},
    socket::{self, Pulse, Shares, limits},
    store::{self, Store},
    systemd::{Passed, pulse},
};

/// sysexits.h: the command line or the configuration is at fault. State of a newer version counts as the
/// latter: starting again does not help.
const EX_USAGE: u8 = 64;
const EX_CONFIG: u8 = 78;
/// How long running work may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the audit may take to be written after that, and systemd to be told.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The DNS port: RFC 1035, section 4.2.
const DNS: u16 = 53;
/// Descriptors that are not callers': of links, name servers, registries, and of jobs at work.
const OWN_DESCRIPTORS: usize = 256;

/// Gives rootless containers a routable IPv6 address and a name.
#[derive(Parser)]
#[command(name = "v6podd", version)]
struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    check_config: bool,
    /// Remove everything that v6podd made on this host, and end: what `v6pod cleanup --all` runs
    ///
    /// Says what was done, one JSON object a line. Refused while a daemon runs.
    #[arg(long, conflicts_with = "check_config")]
    cleanup: bool,
    /// With --cleanup: say what would be done, and do nothing
    #[arg(long, requires = "cleanup")]
    dry_run: bool,
    /// With --cleanup: also remove the audit
    #[arg(long, requires = "cleanup")]
    purge: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as "v6podd::network=debug"
    #[arg(long, value_name = "FILTER", env = "V6PODD_LOG", default_value = "info")]
    log: Targets,
}

/// Why the daemon ended, or never began.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Config(#[from] config::Error),
    #[error("{0}")]
    Store(#[from] store::Error),
    #[error("{0}")]
    Guard(#[from] guard::Error),
    #[error("the network {name} cannot be set up: {source}")]
    Network { name: String, source: network::Error },
    #[error("{0}")]
    Service(#[from] service::Error),
    #[error("{0}")]
    Socket(#[from] socket::Error),
    #[error("{step}: {source}")]
    Start { step: &'static str, source: io::Error },
    #[error("{0}")]
    Cleanup(#[from] cleanup::Error),
    #[error("something of v6podd's is left: see above")]
    Left,
}

impl Error {
    fn start(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Start { step, source }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Store(store::Error::Newer { .. })
            | Self::Cleanup(cleanup::Error::Store(store::Error::Newer { .. })) => EX_CONFIG,
            _ => 1,
        }
    }
}

/// What can be typed, for the manual and for completions.
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// The whole program.
pub fn main() -> ExitCode {
    // Before anything is opened, and while there is one thread.
    let passed = Passed::take();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let to_journal = passed.as_ref().is_ok_and(|passed| passed.journal);
    match act(&arguments, passed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}", log::last_line(&error, to_journal));
            ExitCode::from(error.exit_code())
        }
    }
}

fn act(arguments: &Arguments, passed: io::Result<Passed>) -> Result<(), Error> {
    if arguments.cleanup {
        let Arguments { config, dry_run, purge, .. } = arguments;
        let options = cleanup::Options { config, dry_run: *dry_run, purge: *purge };
        return if cleanup::run(options)? { Ok(()) } else { Err(Error::Left) };
    }
    let config = Config::load(&arguments.config)?;
    if arguments.check_config { Ok(()) } else { run(arguments, config, passed) }
}

fn run(arguments: &Arguments, config: Config, passed: io::Result<Passed>) -> Result<(), Error> {
    let passed = passed.map_err(Error::start("taking the descriptors that LISTEN_FDS tells of"))?;
    let subids = Arc::new(Subids::new(Path::new(auth::subid::SUBUID)));
    let omitted = log::start(arguments.log.clone(), Arc::clone(&subids), passed.journal);
    // Before there is a second thread.
    confine::confine().map_err(Error::start("giving up what is not needed of root's rights"))?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // For reloads, and for questions to the user database, however many callers wait for an answer.
        .max_blocking_threads(16)
        .thread_name("v6podd")
        .enable_all()
        .build()
        .map_err(Error::start("starting the runtime"))?
        .block_on(async {
            tokio::spawn(omitted.tell());
            serve(&arguments.config, config, subids, passed).await
        })
}

async fn serve(path: &Path, mut config: Config, subids: Arc<Subids>, passed: Passed) -> Result<(), Error> {
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
    let boot = boot_id()?;
    let store = Store::open(&config.state_dir, &boot)?;
    let audit = Audit::start(&config.audit, store.path("audit"), &boot)
        .map_err(Error::start("starting the audit"))?;
    if let Some(network) = config.needs_prefix() {
        network.set_prefix(store.remember("prefix", "an IPv6 prefix", local_prefix)?);
        tracing::info!(prefix = %network.prefix, "no prefix is configured: this host has one of its own making");
    }
    let (service, orders) = prepare(&config, store, audit, Arc::clone(&subids))?;
    let jobs = Jobs::default();
    let seen = monitor::start().map_err(Error::start("watching links"))?;
    tokio::spawn(lifetime::watch(Arc::clone(&service), jobs.clone(), orders, notifier.clone()));
    let restoring = Arc::clone(&service);
    let reconciled =
        tokio::task::spawn_blocking(move || restoring.reconcile(&Holders::with_kept(passed.leases)))
            .await
            .map_err(|error| Error::Start { step: "reconciling", source: io::Error::other(error) })??;
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
    notifier.stopping();
    if !jobs.drain(DRAIN).await {
        tracing::warn!("work was still running after {DRAIN:?}; the next start finishes it");
    }
    if !service.audit().close(LAST_WORDS) {
        tracing::warn!("the audit could not be written to its end; the next start makes up for it");
    }
    notifier.flush(LAST_WORDS);
    Ok(())
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

/// Everything before the first caller that does not need the runtime's patience.
fn prepare(
    config: &Config,
    store: Store,
    audit: Audit,
    subids: Arc<Subids>,
) -> Result<(Arc<Service>, tokio::sync::mpsc::UnboundedReceiver<lifetime::Order>), Error> {
    let host = auth::Host::look(config.proof).map_err(Error::start("looking at the host's namespaces"))?;
    let instance: Instance = store.remember("instance", "8 hexadecimal digits", Instance::random)?;
    let key: Key = store.remember("key", "32 hexadecimal digits", Key::make)?;
    let changes = Changes::load(&store.path("sysctls.json"), store.boot())
        .map_err(Error::start("reading sysctls.json"))?;
    let changes = Arc::new(Mutex::new(changes));
    let build = |network| network::build(network, bridge_mac(instance, network), Arc::clone(&changes));
    let drivers: Vec<_> = config.networks.iter().map(|network| (network, build(network))).collect();
    let fail = |network: &config::Network, source| Error::Network { name: network.name.to_string(), source };
    let guard = guard::build(config.guard, &config.networks)?;
    // All are examined before any is made: a network that cannot be leaves the host as it was.
    for (network, driver) in &drivers {
        driver.examine().map_err(|source| fail(network, source))?;
    }
    let mut networks = BTreeMap::new();
    for (network, driver) in drivers {
        driver.prepare().map_err(|source| fail(network, source))?;
        let pool = ipam::Pool::new(network, key.0);
        networks.insert(network.name.clone(), Net::new(network.clone(), driver, pool));
    }
    let place = registry::Place {
        listen: config
            .networks
            .iter()
            .filter_map(|network| Some((network.resolver()?, DNS).into()))
            .collect(),
        prefixes: config.networks.iter().map(|network| network.prefix).collect(),
        instance,
    };
    Ok(Service::new(Parts {
        host,
        networks,
        default_network: config.default_network.clone(),
        policy: config.policy.clone(),
        subids,
        users: Users::default(),
        store,
        resolver: config.registry.dns.is_some(),
        guard,
        audit,
        registries: registry::start(config.registry.clone(), place),
        random: Box::new(rand::random),
    }))
}

/// A bridge's MAC is the host's own and stays: 0e, the instance, and one octet of the network's name.
fn bridge_mac(instance: Instance, network: &config::Network) -> Mac {
    let name =
        network.name.as_str().bytes().fold(0u8, |hash, octet| hash.wrapping_mul(31).wrapping_add(octet));
    Mac::from_bits(0x0e00_0000_0000 | u64::from(instance.number()) << 8 | u64::from(name))
}

/// RFC 4193: fd, 40 random bits, and here a zero subnet and 16 more zero bits up to the /80.
fn local_prefix() -> Ipv6Net {
    let bits = 0xfd << 120 | (rand::random::<u128>() & 0xff_ffff_ffff) << 80;
    Ipv6Net::new_assert(bits.into(), 80)
}

/// The key of stable addresses, in 32 hexadecimal digits.
struct Key([u8; 16]);

impl Key {
    fn make() -> Self {
        Self(rand::random())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::str::FromStr for Key {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(|bits| Self(bits.to_be_bytes()))
    }
}

fn boot_id() -> Result<String, Error> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(Error::start("reading the boot id"))
}

/// SIGTERM and SIGINT.
struct Stop {
    term: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
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
