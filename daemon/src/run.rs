//! The daemon from start to end: logs, configuration, restore and reconcile, bind, ready, serve, drain.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;
use ipnet::Ipv6Net;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};
use v6pod_proto::v1::{
    attachments_server::AttachmentsServer, daemon_server::DaemonServer, networks_server::NetworksServer,
};

use crate::{
    api::Grpc,
    auth,
    config::{self, Config},
    guard, ipam,
    model::Mac,
    network::{self, host::Changes, monitor},
    registry::{self, Instance},
    service::{self, Net, Parts, Service, jobs::Jobs, lifetime},
    socket,
    store::{self, Store},
};

/// sysexits.h: the command line or the configuration is at fault.
const EX_USAGE: u8 = 64;
const EX_CONFIG: u8 = 78;
/// How long running work may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);
/// The DNS port: RFC 1035, section 4.2.
const DNS: u16 = 53;
/// A request's size in octets: far above what the contract's fields need.
const MESSAGE: usize = 64 << 10;

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
    #[error("serving: {0}")]
    Serve(#[from] tonic::transport::Error),
}

impl Error {
    fn start(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Start { step, source }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = Config::load(&arguments.config)
        .map_err(Error::from)
        .and_then(|config| if arguments.check_config { Ok(()) } else { run(&arguments, config) });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "v6podd: {error}");
            ExitCode::from(if matches!(error, Error::Config(_)) { EX_CONFIG } else { 1 })
        }
    }
}

fn run(arguments: &Arguments, config: Config) -> Result<(), Error> {
    start_logs(arguments.log.clone());
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("v6podd")
        .enable_all()
        .build()
        .map_err(Error::start("starting the runtime"))?
        .block_on(serve(config))
}

/// Logs go to standard error, which systemd keeps with its own times.
fn start_logs(targets: Targets) {
    use std::io::IsTerminal as _;
    let terminal = io::stderr().is_terminal();
    let format = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(terminal);
    let format = if terminal { format.boxed() } else { format.without_time().boxed() };
    tracing_subscriber::registry().with(format.with_filter(targets)).init();
}

async fn serve(mut config: Config) -> Result<(), Error> {
    let store = Store::open(&config.state_dir, &boot_id()?)?;
    if let Some(network) = config.needs_prefix() {
        network.set_prefix(store.remember("prefix", "an IPv6 prefix", local_prefix)?);
        tracing::info!(prefix = %network.prefix, "no prefix is configured: this host has one of its own making");
    }
    let service = prepare(&config, store)?;
    let (service, orders) = service;
    let jobs = Jobs::default();
    let seen = monitor::start().map_err(Error::start("watching links"))?;
    tokio::spawn(lifetime::watch(Arc::clone(&service), jobs.clone(), orders));
    let restoring = Arc::clone(&service);
    let reconciled = tokio::task::spawn_blocking(move || restoring.reconcile())
        .await
        .map_err(|error| Error::Start { step: "reconciling", source: io::Error::other(error) })??;
    tokio::spawn(lifetime::follow(Arc::clone(&service), jobs.clone(), seen));
    let listener = socket::bind(&config.socket)?;
    tracing::info!(socket = %config.socket.path.display(), guard = service.guard().name(), restored = reconciled.restored,
        detached = reconciled.detached, orphans = reconciled.orphans, "ready");
    let incoming = socket::incoming(listener, config.admin_group);
    let mut stop = Stop::new().map_err(Error::start("catching signals"))?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AttachmentsServer<Grpc>>().await;
    health.set_serving::<NetworksServer<Grpc>>().await;
    health.set_serving::<DaemonServer<Grpc>>().await;
    let grpc = Grpc::new(service, jobs.clone());
    let server = Server::builder()
        .timeout(Duration::from_secs(30))
        .max_concurrent_streams(64)
        // Requests are small: a connection may not make the daemon hold more than this of it.
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(128 << 10)
        .concurrency_limit_per_connection(16)
        .http2_max_header_list_size(16 << 10)
        .http2_max_pending_accept_reset_streams(Some(16))
        .http2_keepalive_interval(Some(Duration::from_secs(60)))
        .add_service(health_service)
        .add_service(reflection().build_v1().map_err(garbled)?)
        // Old grpcurl asks for this one only.
        .add_service(reflection().build_v1alpha().map_err(garbled)?)
        .add_service(AttachmentsServer::new(grpc.clone()).max_decoding_message_size(MESSAGE))
        .add_service(NetworksServer::new(grpc.clone()).max_decoding_message_size(MESSAGE))
        .add_service(DaemonServer::new(grpc).max_decoding_message_size(MESSAGE));
    tokio::select! {
        outcome = server.serve_with_incoming(incoming) => outcome?,
        () = stop.asked() => tracing::info!("stopping; containers keep their addresses"),
    }
    if !jobs.drain(DRAIN).await {
        tracing::warn!("work was still running after {DRAIN:?}; the next start finishes it");
    }
    Ok(())
}

/// Everything before the first caller that does not need the runtime's patience.
fn prepare(
    config: &Config,
    store: Store,
) -> Result<(Arc<Service>, tokio::sync::mpsc::UnboundedReceiver<lifetime::Order>), Error> {
    let host = auth::Host::look(config.proof).map_err(Error::start("looking at the host's namespaces"))?;
    let instance: Instance = store.remember("instance", "8 hexadecimal digits", Instance::random)?;
    let key: Key = store.remember("key", "32 hexadecimal digits", Key::make)?;
    let changes = Changes::load(&store.path("sysctls.json")).map_err(Error::start("reading sysctls.json"))?;
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
        store,
        resolver: config.registry.dns.is_some(),
        guard,
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
