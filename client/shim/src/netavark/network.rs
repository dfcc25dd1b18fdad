//! `create`: what somebody asked podman for, and what it becomes.

use std::net::Ipv6Addr;

use serde_json::{Value, json};
use v6pod_proto::v1;

use super::options::{self, Options};
use crate::input::{self, Object, Wrong};

/// Why a network cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Wrong(#[from] Wrong),
    #[error("{0}")]
    Options(#[from] options::Error),
    #[error("the network {network} of v6podd has the prefix {prefix}: leave --subnet {asked} out")]
    Subnet { network: String, prefix: String, asked: String },
    #[error("the gateway of {prefix} is {gateway:?}: leave --gateway {asked} out")]
    Gateway { prefix: String, gateway: String, asked: String },
    #[error("v6podd chooses the addresses: leave --ip-range out")]
    Range,
    #[error("v6podd chooses the addresses: leave --ipam-driver {0} out")]
    Ipam(String),
    #[error("the bridge on the host is v6podd's: leave --interface-name {0} out")]
    Interface(String),
    #[error("v6podd sets the routes: leave --route out")]
    Routes,
    #[error("the MTU of the network {network} is {most}: {asked} is not from 1280 to that")]
    Mtu { network: String, most: u32, asked: u32 },
}

/// What podman has been asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Everything: what is not ours to change goes back as it is.
    object: Object,
    options: Options,
    internal: bool,
    dns: bool,
}

impl Asked {
    /// Takes podman's network.
    pub fn new(object: Object) -> Result<Self, Error> {
        let options = Options::default().add(&object)?;
        let internal = input::flag(&object, "internal")?.unwrap_or(false);
        let dns = input::flag(&object, "dns_enabled")?.unwrap_or(true);
        Ok(Self { object, options, internal, dns })
    }

    /// Which of the daemon's networks, if that was said.
    pub fn network(&self) -> Option<&str> {
        self.options.network.as_deref()
    }

    /// The network as podman shall keep it.
    pub fn settle(self, network: &v1::Network) -> Result<Value, Error> {
        self.check(network)?;
        let Self { mut object, options, internal, dns } = self;
        let mut kept = input::object(&object, "options")?.cloned().unwrap_or_default();
        kept.insert("network".to_owned(), json!(network.name));
        // podman forgets this one, for a network without its own address management.
        if !dns && !options.no_dns {
            kept.insert("dns".to_owned(), json!("false"));
        }
        // podman makes a gateway up where there is none, unless the network is internal.
        let internal = internal || network.gateway.is_empty();
        let mut subnet = json!({ "subnet": network.prefix });
        if !internal {
            subnet["gateway"] = json!(network.gateway);
        }
        for (key, value) in [
            ("options", Value::Object(kept)),
            ("subnets", json!([subnet])),
            ("ipam_options", json!({ "driver": "none" })),
            ("ipv6_enabled", json!(true)),
            ("dns_enabled", json!(false)),
            ("internal", json!(internal)),
        ] {
            object.insert(key.to_owned(), value);
        }
        Ok(Value::Object(object))
    }

    /// Refuses what contradicts the daemon's network, or would have no effect.
    fn check(&self, network: &v1::Network) -> Result<(), Error> {
        let ipam = input::object(&self.object, "ipam_options")?;
        let driver = ipam.map_or(Ok(""), |ipam| input::text(ipam, "driver"))?;
        if !["", "none"].contains(&driver) {
            return Err(Error::Ipam(driver.to_owned()));
        }
        let interface = input::text(&self.object, "network_interface")?;
        if !interface.is_empty() {
            return Err(Error::Interface(interface.to_owned()));
        }
        if !input::list(&self.object, "routes")?.is_empty() {
            return Err(Error::Routes);
        }
        let most = network.mtu;
        if let Some(asked) = self.options.mtu.map(u32::from).filter(|mtu| !(1280..=most).contains(mtu)) {
            return Err(Error::Mtu { network: network.name.clone(), most, asked });
        }
        for subnet in input::list(&self.object, "subnets")? {
            let wrong = Wrong { key: "subnets", wanted: "a list of objects" };
            check_subnet(subnet.as_object().ok_or(wrong)?, network)?;
        }
        Ok(())
    }
}

/// A subnet may be given if it is the one.
fn check_subnet(subnet: &Object, network: &v1::Network) -> Result<(), Error> {
    let prefix = || network.prefix.clone();
    let asked = input::text(subnet, "subnet")?;
    if parsed(asked).is_none_or(|asked| Some(asked) != parsed(&network.prefix)) {
        let (network, asked) = (network.name.clone(), asked.to_owned());
        return Err(Error::Subnet { network, prefix: prefix(), asked });
    }
    let asked = input::text(subnet, "gateway")?;
    if !asked.is_empty() && address(asked) != address(&network.gateway) {
        let (gateway, asked) = (network.gateway.clone(), asked.to_owned());
        return Err(Error::Gateway { prefix: prefix(), gateway, asked });
    }
    if input::get(subnet, "lease_range").is_some() { Err(Error::Range) } else { Ok(()) }
}

fn address(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok()
}

fn parsed(prefix: &str) -> Option<(Ipv6Addr, u8)> {
    let (first, length) = prefix.split_once('/')?;
    Some((address(first)?, length.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blue() -> v1::Network {
        v1::Network {
            name: "blue".to_owned(),
            prefix: "2001:db8:5::/80".to_owned(),
            gateway: "2001:db8:5::1".to_owned(),
            mtu: 1500,
            ..Default::default()
        }
    }

    /// What podman 5.4 sends, changed and added to.
    fn input(change: &Value) -> Object {
        let mut network = json!({
            "name": "v6net", "id": "2f25", "driver": "v6pod", "created": "2025-01-01T00:00:00Z",
            "ipv6_enabled": false, "internal": false, "dns_enabled": true, "ipam_options": {}, "future": [1],
        });
        for (key, value) in change.as_object().unwrap() {
            network[key] = value.clone();
        }
        network.as_object().unwrap().clone()
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that it reads well")]
    fn settle(change: Value, network: &v1::Network) -> Result<Value, String> {
        let asked = Asked::new(input(&change)).map_err(|error| error.to_string())?;
        asked.settle(network).map_err(|error| error.to_string())
    }

    #[test]
    fn the_daemons_prefix_is_written_down() {
        let made = settle(json!({ "labels": { "a": "b" } }), &blue()).unwrap();
        let expected = json!({
            "name": "v6net", "id": "2f25", "driver": "v6pod", "created": "2025-01-01T00:00:00Z",
            "ipv6_enabled": true, "internal": false, "dns_enabled": false, "future": [1],
            "ipam_options": { "driver": "none" }, "options": { "network": "blue" }, "labels": { "a": "b" },
            "subnets": [{ "subnet": "2001:db8:5::/80", "gateway": "2001:db8:5::1" }],
        });
        assert_eq!(made, expected);
        let told = json!({ "options": { "network": "blue", "mtu": "1400" }, "dns_enabled": false });
        assert_eq!(
            settle(told, &blue()).unwrap()["options"],
            json!({ "network": "blue", "mtu": "1400", "dns": "false" })
        );
        // The same subnet in other words.
        let same = json!({ "subnets": [{ "subnet": "2001:0db8:5::/80", "gateway": "2001:db8:5:0::1" }] });
        assert_eq!(settle(same, &blue()).unwrap()["subnets"], expected["subnets"]);
    }

    #[test]
    fn internal_networks_have_no_gateway() {
        let made = settle(json!({ "internal": true }), &blue()).unwrap();
        assert_eq!(made["subnets"], json!([{ "subnet": "2001:db8:5::/80" }]));
        let island = v1::Network { gateway: String::new(), ..blue() };
        let made = settle(json!({}), &island).unwrap();
        assert_eq!(
            (&made["subnets"], &made["internal"]),
            (&json!([{ "subnet": "2001:db8:5::/80" }]), &json!(true))
        );
    }

    #[test]
    fn contradictions_are_refused() {
        for (change, words) in [
            (json!({ "subnets": [{ "subnet": "10.1.0.0/16" }] }), "prefix 2001:db8:5::/80"),
            (json!({ "subnets": [{ "subnet": "2001:db8:5::/64" }] }), "prefix 2001:db8:5::/80"),
            (json!({ "subnets": [{ "subnet": "2001:db8:5::/80", "gateway": "2001:db8:5::2" }] }), "gateway"),
            (json!({ "subnets": [{ "subnet": "2001:db8:5::/80", "lease_range": {} }] }), "--ip-range"),
            (json!({ "ipam_options": { "driver": "host-local" } }), "--ipam-driver host-local"),
            (json!({ "network_interface": "br0" }), "--interface-name br0"),
            (json!({ "routes": [{}] }), "--route"),
            (json!({ "options": { "mtu": "1000" } }), "1000 is not from 1280 to that"),
            (json!({ "options": { "mtu": "9000" } }), "9000 is not from 1280 to that"),
            (json!({ "options": { "vlan": "5" } }), "no option \"vlan\""),
            (json!({ "options": { "mtu": 5 } }), "mtu must be a string"),
            (json!({ "options": 5 }), "\"options\" must be an object"),
            (json!({ "subnets": 5 }), "\"subnets\" must be a list"),
            (json!({ "subnets": [5] }), "\"subnets\" must be a list of objects"),
            (json!({ "internal": "x" }), "\"internal\" must be true or false"),
        ] {
            let error = settle(change, &blue()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_anywhere(text in "\\PC*") {
            let subnet = json!({ "subnet": &text, "gateway": &text });
            let _ = settle(json!({ "options": { &text: &text }, "subnets": [subnet] }), &blue());
            let _ = settle(json!({ &text: &text }), &blue());
            let _ = settle(json!({ "ipam_options": { "driver": &text } }), &blue());
        }
    }
}
