//! `v6pod status`.

use std::path::Path;

use v6pod_proto::v1::{Network, RegistryStatus, StatusResponse};

use crate::{
    daemon::Daemon,
    error::Error,
    json,
    output::{Output, Tone, View},
    table::{self, Cell, Column, Table},
    text,
    users::Users,
};

const NETWORKS: [Column; 9] = [
    Column::new("NETWORK").cut_to(8),
    Column::new("PREFIX"),
    Column::new("GATEWAY").optional(3),
    Column::new("DRIVER").cut_to(6).optional(4),
    Column::new("BRIDGE").cut_to(6).optional(2),
    Column::new("MTU").optional(6),
    Column::new("ADDRESSES").optional(5),
    Column::new("ISOLATION").optional(7),
    Column::new("ATTACHMENTS").cut_to(4).optional(1),
];

const REGISTRIES: [Column; 4] = [
    Column::new("REGISTRY").cut_to(8),
    Column::new("ENDPOINT").cut_to(8).optional(1),
    Column::new("HEALTH"),
    Column::new("NAMES"),
];

/// Shows how the daemon is.
pub async fn run(socket: &Path, output: &mut Output) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let status = daemon.status().await?;
    if output.json {
        output.document(&json::Status::from(&status))?;
    } else {
        output.text(&render(&status, &Users::load(), &output.view))?;
    }
    match complaint(&status.registries) {
        None => Ok(0),
        Some(complaint) => Err(Error::Unhealthy(complaint)),
    }
}

fn render(status: &StatusResponse, users: &Users, view: &View) -> String {
    let role = if status.caller_is_admin { ", an administrator" } else { "" };
    let pairs: [(&str, Cell); 5] = [
        ("v6podd", text::or_none(&status.version).into()),
        ("since", text::since(status.started.as_ref(), view.now).into()),
        ("attachments", status.attachments.to_string().into()),
        ("guard", guard(&status.guard)),
        ("you", format!("{}{role}", users.describe(status.caller_uid)).into()),
    ];
    let networks = networks(&status.networks, view);
    let registries = match status.registries.as_slice() {
        [] => "no registries: names are not published\n".to_owned(),
        some => registries(some, view),
    };
    format!("{}\n{networks}\n{registries}", table::pairs(view, &pairs))
}

/// Without one, whoever is on a network may claim to be anybody there.
fn guard(name: &str) -> Cell {
    match name {
        "off" => Cell::new("off: containers may forge addresses".to_owned(), Tone::Red),
        name => text::or_none(name).into(),
    }
}

fn networks(networks: &[Network], view: &View) -> String {
    let mut table = Table::new(NETWORKS);
    for network in networks {
        let default = if network.default { " (default)" } else { "" };
        table.push([
            format!("{}{default}", text::escape(&network.name)).into(),
            text::escape(&network.prefix).into(),
            text::or_none(&network.gateway).into(),
            text::or_none(&network.driver).into(),
            text::or_none(&network.bridge).into(),
            network.mtu.to_string().into(),
            text::or_none(&network.addresses).into(),
            text::or_none(&network.isolation).into(),
            network.attachments.to_string().into(),
        ]);
    }
    table.render(view, |_| false)
}

fn registries(registries: &[RegistryStatus], view: &View) -> String {
    let mut table = Table::new(REGISTRIES);
    for registry in registries {
        let health = match registry.healthy {
            true => Cell::from("ok".to_owned()),
            false => Cell::new("unhealthy".to_owned(), Tone::Red),
        };
        let endpoint = text::or_none(&registry.endpoint).into();
        table.push([
            text::escape(&registry.kind).into(),
            endpoint,
            health,
            registry.names.to_string().into(),
        ]);
    }
    table.render(view, |_| false)
}

/// What is wrong with the registries, in one sentence.
fn complaint(registries: &[RegistryStatus]) -> Option<String> {
    let unhealthy = registries.iter().filter(|registry| !registry.healthy);
    let complaints: Vec<_> = unhealthy
        .map(|RegistryStatus { kind, endpoint, error, .. }| {
            let error = if error.is_empty() { "no exchange has gone well yet" } else { error };
            format!("the registry {kind} ({endpoint}) is unhealthy: {error}")
        })
        .collect();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}

#[cfg(test)]
pub(crate) mod tests {
    use prost_types::Timestamp;

    use super::*;

    fn status() -> StatusResponse {
        let network = Network {
            name: "default".to_owned(),
            driver: "bridge".to_owned(),
            prefix: "2001:db8::/80".to_owned(),
            gateway: "2001:db8::1".to_owned(),
            bridge: "v6pod0".to_owned(),
            mtu: 1500,
            addresses: "stable".to_owned(),
            default: true,
            attachments: 2,
            isolation: "open".to_owned(),
        };
        let inner =
            Network { name: "inner".to_owned(), gateway: String::new(), default: false, ..network.clone() };
        let dns = RegistryStatus {
            kind: "dns".to_owned(),
            endpoint: "[2001:db8::1]:53".to_owned(),
            healthy: true,
            error: String::new(),
            names: 2,
        };
        let consul = RegistryStatus {
            kind: "consul".to_owned(),
            endpoint: "http://127.0.0.1:8500".to_owned(),
            healthy: false,
            error: "connection refused".to_owned(),
            names: 2,
        };
        StatusResponse {
            version: "0.1.0".to_owned(),
            started: Some(Timestamp { seconds: 0, nanos: 9 }),
            networks: vec![network, inner],
            registries: vec![dns, consul],
            attachments: 4,
            caller_uid: 0,
            caller_is_admin: true,
            guard: "nftables".to_owned(),
        }
    }

    #[test]
    fn the_daemon_its_networks_and_registries() {
        let expected = "\
v6podd:       0.1.0
since:        1970-01-01T00:00:00Z (16m ago)
attachments:  4
guard:        nftables
you:          root (uid 0), an administrator

NETWORK            PREFIX         GATEWAY      DRIVER  BRIDGE  MTU   ADDRESSES  ISOLATION  ATTACHMENTS
default (default)  2001:db8::/80  2001:db8::1  bridge  v6pod0  1500  stable     open       2
inner              2001:db8::/80  -            bridge  v6pod0  1500  stable     open       2

REGISTRY  ENDPOINT               HEALTH     NAMES
dns       [2001:db8::1]:53       ok         2
consul    http://127.0.0.1:8500  unhealthy  2
";
        let users = Users::parse("root:x:0:0:::\n");
        assert_eq!(render(&status(), &users, &View::of(None, false, 1000)), expected);
        let narrow = render(&status(), &users, &View::of(Some(60), false, 1000));
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        let coloured = render(&status(), &users, &View::of(None, true, 1000));
        assert!(coloured.contains("\x1b[31munhealthy\x1b[0m  2\n"), "{coloured}");
    }

    #[test]
    fn a_bare_daemon() {
        let status = StatusResponse { networks: Vec::new(), registries: Vec::new(), ..status() };
        let shown = render(&status, &Users::default(), &View::of(None, false, 1000));
        assert!(shown.ends_with("\n\nno registries: names are not published\n"), "{shown}");
        assert_eq!(complaint(&status.registries), None);
    }

    #[test]
    fn unhealthy_registries_are_named() {
        let expected = "the registry consul (http://127.0.0.1:8500) is unhealthy: connection refused";
        assert_eq!(complaint(&status().registries).as_deref(), Some(expected));
    }
}
