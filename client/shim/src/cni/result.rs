//! Results: what ADD answers, and what CHECK finds in one.

use serde_json::{Value, json};
use v6pod_proto::v1::Attachment;

use super::{error::Error, request::Config, request::Container, version::Version};
use crate::{
    activate::Activated,
    input::{self, Object},
};

/// What ADD answers: the result of the plugins before, with ours added.
pub fn of(config: &Config, container: &Container, activated: &Activated) -> Result<Value, Error> {
    let Activated { attachment, dns_servers, .. } = activated;
    let mut result = config.previous()?.cloned().unwrap_or_default();
    let mut inside = json!({
        "name": attachment.interface,
        "mac": attachment.mac,
        "sandbox": container.namespace,
    });
    if config.version >= Version::V1_1_0 {
        inside["mtu"] = attachment.mtu.into();
    }
    let interfaces =
        append(&mut result, "interfaces", [json!({ "name": attachment.host_interface }), inside])?;
    let mut ip = json!({
        "address": format!("{}/{}", attachment.address, attachment.prefix_length),
        "interface": interfaces - 1,
    });
    if config.version < Version::V1_0_0 {
        ip["version"] = "6".into();
    }
    if !attachment.gateway.is_empty() {
        ip["gateway"] = attachment.gateway.as_str().into();
        append(&mut result, "routes", [json!({ "dst": "::/0", "gw": attachment.gateway })])?;
    }
    append(&mut result, "ips", [ip])?;
    let dns = dns(input::object(&config.object, "dns")?, input::object(&result, "dns")?, dns_servers)?;
    if !dns.is_empty() {
        result.insert("dns".to_owned(), dns.into());
    }
    result.insert("cniVersion".to_owned(), config.version.as_str().into());
    Ok(result.into())
}

/// Adds to a list of a result, and says how long it is then.
fn append(
    result: &mut Object,
    key: &'static str,
    more: impl IntoIterator<Item = Value>,
) -> Result<usize, Error> {
    let mut list = input::list(result, key)?.to_vec();
    list.extend(more);
    let length = list.len();
    result.insert(key.to_owned(), list.into());
    Ok(length)
}

/// The configuration's word counts; without one, the daemon's resolver, which knows the containers' names
/// and forwards the rest, comes before those of earlier plugins.
fn dns(configured: Option<&Object>, previous: Option<&Object>, servers: &[String]) -> Result<Object, Error> {
    let mut dns = previous.cloned().unwrap_or_default();
    let mut nameservers = servers.to_vec();
    nameservers.extend(input::texts(&dns, "nameservers")?);
    if !nameservers.is_empty() {
        dns.insert("nameservers".to_owned(), nameservers.into());
    }
    let empty = |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    for (key, value) in configured.into_iter().flatten().filter(|(_, value)| !empty(value)) {
        dns.insert(key.clone(), value.clone());
    }
    Ok(dns)
}

/// Whether a result has an interface of this name inside a container; if it is told, inside this one.
pub fn has_interface(result: &Object, name: &str, sandbox: Option<&str>) -> Result<bool, Error> {
    let inside = |value: &Value| match sandbox {
        Some(sandbox) => value["sandbox"] == sandbox,
        None => value["sandbox"].as_str().is_some_and(|sandbox| !sandbox.is_empty()),
    };
    Ok(input::list(result, "interfaces")?.iter().any(|value| value["name"] == name && inside(value)))
}

/// What a result says of an attachment and is not so, in a sentence. Routes and the MAC are left out:
/// a later plugin may have changed them.
pub fn differs(
    result: &Object,
    container: &Container,
    attachment: &Attachment,
) -> Result<Option<String>, Error> {
    let Attachment { interface, address, prefix_length, .. } = attachment;
    if !has_interface(result, interface, Some(&container.namespace))? {
        return Ok(Some(format!("prevResult has no interface {interface} in {}", container.namespace)));
    }
    let address = format!("{address}/{prefix_length}");
    if !input::list(result, "ips")?.iter().any(|ip| ip["address"] == address.as_str()) {
        return Ok(Some(format!("prevResult does not have the address {address}")));
    }
    Ok(None)
}
