//! The service, made from the configuration and from what earlier starts left.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use ipnet::Ipv6Net;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Error;
use crate::{
    audit::Audit,
    auth::{self, Subids, Users},
    config::{self, Config},
    guard, ipam,
    model::Mac,
    network::{self, bridge::stale, host::Changes},
    registry::{self, Instance},
    service::{Net, Parts, Service, lifetime},
    store::Store,
};

/// The DNS port: RFC 1035, section 4.2.
const DNS: u16 = 53;

/// Everything before the first caller that does not need the runtime's patience.
pub(super) fn service(
    config: &Config,
    store: Store,
    audit: Audit,
    subids: Arc<Subids>,
) -> Result<(Arc<Service>, UnboundedReceiver<lifetime::Order>), Error> {
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
    stale::take_off_addresses(&config.networks);
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
        sysctls: changes,
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
pub(super) fn local_prefix() -> Ipv6Net {
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

/// A string that is another after every boot: random(4).
pub(super) fn boot_id() -> Result<String, Error> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(Error::start("reading the boot id"))
}
