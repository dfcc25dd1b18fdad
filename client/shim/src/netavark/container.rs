//! `setup` and `teardown`: one container on one network.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Value, json};
use v6pod_proto::v1::ActivateRequest;

use super::options::{self, Options};
use crate::{
    activate::Activated,
    input::{self, Object, Wrong},
};

/// The most aliases that the daemon takes.
const MOST_ALIASES: usize = 16;

/// Why a container cannot be put on the network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Wrong(#[from] Wrong),
    #[error("{0}")]
    Options(#[from] options::Error),
    #[error("{0:?} is missing")]
    Missing(&'static str),
    #[error("{0:?} is not an IP address")]
    NotAnAddress(String),
    #[error("{0} is an IPv4 address: give it to another network of the container; v6pod's have IPv6")]
    Ipv4(IpAddr),
    #[error("a container has one address on a network of v6pod's: give one --ip6")]
    Addresses,
    #[error(
        "the container is on the network {network} of v6podd already, with the interface {interface}: it can be on one"
    )]
    Elsewhere { network: String, interface: String },
}

/// What netavark says of a container and its network.
#[derive(Debug)]
pub(super) struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The interface inside.
    pub interface: String,
    network: Object,
    own: Object,
}

impl Container {
    pub fn read(input: &Object) -> Result<Self, Error> {
        let network = input::object(input, "network")?.ok_or(Error::Missing("network"))?;
        let own = input::object(input, "network_options")?.ok_or(Error::Missing("network_options"))?;
        Ok(Self {
            id: present(input, "container_id")?,
            name: input::text(input, "container_name")?.to_owned(),
            interface: present(own, "interface_name")?,
            network: network.clone(),
            own: own.clone(),
        })
    }

    fn options(&self) -> Result<Options, options::Error> {
        Options::default().add(&self.network)?.add(&self.own)
    }

    /// Whether the container is to have a default route here.
    fn is_routed(&self) -> Result<bool, Error> {
        let internal = input::flag(&self.network, "internal")?;
        Ok(!internal.unwrap_or(false) && !self.options()?.no_default_route)
    }

    /// What to ask the daemon for.
    pub fn request(&self) -> Result<ActivateRequest, Error> {
        let options = self.options()?;
        Ok(ActivateRequest {
            network: options.network.unwrap_or_default(),
            container_id: self.id.clone(),
            name: self.name.clone(),
            interface: self.interface.clone(),
            address: self.address()?.map(|address| address.to_string()).unwrap_or_default(),
            no_default_route: !self.is_routed()?,
            mac: input::text(&self.own, "static_mac")?.to_owned(),
            mtu: options.mtu.map_or(0, u32::from),
            aliases: self.aliases()?,
            inbound: options.inbound,
            ..Default::default()
        })
    }

    /// The address that was asked for.
    fn address(&self) -> Result<Option<Ipv6Addr>, Error> {
        let addresses = input::texts(&self.own, "static_ips")?;
        match addresses.as_slice() {
            [] => Ok(None),
            [text] => match text.parse() {
                Ok(IpAddr::V6(address)) => Ok(Some(address)),
                Ok(address @ IpAddr::V4(_)) => Err(Error::Ipv4(address)),
                Err(_) => Err(Error::NotAnAddress(text.clone())),
            },
            _ => Err(Error::Addresses),
        }
    }

    /// Further names. podman adds the beginning of the id, which is also the host name inside; where there
    /// are too many, that one is missed least.
    fn aliases(&self) -> Result<Vec<String>, Error> {
        let mut aliases = input::texts(&self.own, "aliases")?;
        aliases.retain(|alias| *alias != self.name);
        if aliases.len() > MOST_ALIASES {
            aliases.retain(|alias| !self.id.starts_with(alias));
        }
        Ok(aliases)
    }

    /// What podman shall show and write into resolv.conf.
    pub fn status(&self, activated: &Activated) -> Result<Value, Error> {
        let attachment = &activated.attachment;
        if attachment.interface != self.interface {
            let (network, interface) = (attachment.network.clone(), attachment.interface.clone());
            return Err(Error::Elsewhere { network, interface });
        }
        let mut subnet = json!({ "ipnet": format!("{}/{}", attachment.address, attachment.prefix_length) });
        if self.is_routed()? && !attachment.gateway.is_empty() {
            subnet["gateway"] = json!(attachment.gateway);
        }
        let servers: &[String] = if self.options()?.no_dns { &[] } else { &activated.dns_servers };
        let domains: Vec<&str> = match servers {
            [] => Vec::new(),
            _ => attachment.published.iter().filter_map(|name| Some(name.split_once('.')?.1)).collect(),
        };
        let interface = json!({ "mac_address": attachment.mac, "subnets": [subnet] });
        Ok(json!({
            "dns_server_ips": servers,
            "dns_search_domains": domains,
            "interfaces": { self.interface.as_str(): interface },
        }))
    }
}

fn present(object: &Object, key: &'static str) -> Result<String, Error> {
    let text = input::text(object, key)?;
    if text.is_empty() { Err(Error::Missing(key)) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use v6pod_proto::v1::Attachment;

    use super::*;

    const ID: &str = "752947ff91f961eb3cb47ffe9315016979f3ffbec09e4d96a4fae3fb03391697";

    /// What netavark 1.14 sends, with these things of the network's and of the container's own added.
    fn input(network: &Value, own: &Value) -> Object {
        let mut input = json!({
            "container_id": ID, "container_name": "web", "port_mappings": null,
            "network": {
                "name": "v6net", "id": "2f25", "driver": "v6pod", "internal": false, "ipv6_enabled": true,
                "dns_enabled": false, "network_interface": null, "network_dns_servers": null,
                "ipam_options": { "driver": "none" }, "options": { "network": "blue", "mtu": "1400" },
                "subnets": [{ "subnet": "2001:db8:5::/80", "gateway": "2001:db8:5::1", "lease_range": null }],
            },
            "network_options": { "interface_name": "eth0", "aliases": ["752947ff91f9", "shop"] },
        });
        for (part, changes) in [("network", network), ("network_options", own)] {
            for (key, value) in changes.as_object().unwrap() {
                input[part][key] = value.clone();
            }
        }
        input.as_object().unwrap().clone()
    }

    fn container(network: &Value, own: &Value) -> Container {
        Container::read(&input(network, own)).unwrap()
    }

    fn activated() -> Activated {
        let attachment = Attachment {
            network: "blue".to_owned(),
            interface: "eth0".to_owned(),
            address: "2001:db8:5::2:3".to_owned(),
            prefix_length: 80,
            gateway: "2001:db8:5::1".to_owned(),
            mac: "02:00:00:02:00:03".to_owned(),
            published: vec!["web.v6pod".to_owned(), "web.service.consul".to_owned()],
            ..Default::default()
        };
        Activated { attachment, dns_servers: vec!["2001:db8:5::1".to_owned()], created: true, unnamed: None }
    }

    #[test]
    fn everything_is_asked_for() {
        let own = json!({ "static_ips": ["2001:db8:5::2:3"], "static_mac": "02:00:00:02:00:03" });
        let request = container(&json!({}), &own).request().unwrap();
        let expected = ActivateRequest {
            network: "blue".to_owned(),
            container_id: ID.to_owned(),
            name: "web".to_owned(),
            interface: "eth0".to_owned(),
            address: "2001:db8:5::2:3".to_owned(),
            mac: "02:00:00:02:00:03".to_owned(),
            mtu: 1400,
            aliases: vec!["752947ff91f9".to_owned(), "shop".to_owned()],
            ..Default::default()
        };
        assert_eq!(request, expected);
        let many: Vec<String> =
            (0..16).map(|n| format!("a{n}")).chain(["752947ff91f9".into(), "web".into()]).collect();
        let request =
            container(&json!({ "internal": true, "options": null }), &json!({ "aliases": many })).request();
        let request = request.unwrap();
        assert_eq!(
            (request.aliases.as_slice(), request.no_default_route, request.mtu),
            (&many[..16], true, 0)
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for (network, own, words) in [
            (json!({}), json!({ "static_ips": ["10.0.0.5"] }), "10.0.0.5 is an IPv4 address"),
            (json!({}), json!({ "static_ips": ["x"] }), "\"x\" is not an IP address"),
            (json!({}), json!({ "static_ips": ["::1", "::2"] }), "one --ip6"),
            (json!({}), json!({ "options": { "mode": "x" } }), "no option \"mode\""),
            (json!({ "options": { "mtu": "x" } }), json!({}), "mtu must be a number"),
        ] {
            let error = container(&network, &own).request().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let mut second = activated();
        second.attachment.interface = "eth1".to_owned();
        let error = container(&json!({}), &json!({})).status(&second).unwrap_err().to_string();
        assert!(error.contains("on the network blue of v6podd already, with the interface eth1"), "{error}");
    }

    #[test]
    fn podman_is_told_what_there_is() {
        let status = |network, own| container(&network, &own).status(&activated()).unwrap();
        let interface = json!({
            "mac_address": "02:00:00:02:00:03",
            "subnets": [{ "ipnet": "2001:db8:5::2:3/80", "gateway": "2001:db8:5::1" }],
        });
        let expected = json!({
            "dns_server_ips": ["2001:db8:5::1"], "dns_search_domains": ["v6pod", "service.consul"],
            "interfaces": { "eth0": interface },
        });
        assert_eq!(status(json!({}), json!({})), expected);
        let island = status(json!({ "internal": true }), json!({ "options": { "dns": "false" } }));
        let subnets = json!([{ "ipnet": "2001:db8:5::2:3/80" }]);
        assert_eq!(island["interfaces"]["eth0"]["subnets"], subnets);
        assert_eq!((&island["dns_server_ips"], &island["dns_search_domains"]), (&json!([]), &json!([])));
    }

    #[test]
    fn nothing_is_taken_for_granted() {
        for key in ["container_id", "network", "network_options"] {
            let mut input = input(&json!({}), &json!({}));
            input.remove(key);
            assert_eq!(Container::read(&input).unwrap_err(), Error::Missing(key));
            input.insert(key.to_owned(), json!(5));
            assert!(
                Container::read(&input).unwrap_err().to_string().starts_with(&format!("{key:?} must be "))
            );
        }
        for key in ["static_ips", "static_mac", "aliases", "options"] {
            let error = container(&json!({}), &json!({ key: 5 })).request().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key:?} must be ")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_anywhere(text in "\\PC*") {
            let own = json!({
                "static_ips": [&text], "static_mac": &text, "aliases": [&text], "interface_name": &text,
                "options": { &text: &text },
            });
            if let Ok(container) = Container::read(&input(&json!({ "name": &text }), &own)) {
                let _ = container.request();
                let _ = container.status(&activated());
            }
        }
    }
}
