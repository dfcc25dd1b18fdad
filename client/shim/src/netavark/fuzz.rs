//! What a fuzzer feeds: podman's networks and containers.

use v6pod_proto::v1;

use super::{container::Container, network::Asked};
use crate::{activate::Activated, input};

/// Reads the data as a network to create, and as a container to set up.
///
/// # Panics
/// The network that comes back is not the one that came.
pub fn netavark(data: &[u8]) {
    let Ok(object) = input::read(data) else { return };
    if let Ok(container) = Container::read(&object) {
        let _ = container.request();
        let attachment =
            v1::Attachment { prefix_length: 80, address: "2001:db8::1".into(), ..Default::default() };
        let activated = Activated { attachment, created: true, dns_servers: Vec::new(), unnamed: None };
        let _ = container.status(&activated);
    }
    let network = v1::Network {
        name: "default".into(),
        prefix: "2001:db8::/80".into(),
        gateway: "2001:db8::1".into(),
        mtu: 1500,
        ..Default::default()
    };
    if let Ok(settled) = Asked::new(object.clone()).and_then(|asked| asked.settle(&network)) {
        for key in ["name", "id", "driver"] {
            assert_eq!(settled.get(key), object.get(key), "podman forbids to change {key}");
        }
    }
}
