//! `v6pod status`.

use std::path::Path;

use v6pod_proto::v1::{AuditStatus, Network, RegistryStatus, StatusResponse};

use super::registry_error;
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
    Column::new("NETWORK"),
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
    match complaint(&status) {
        None => Ok(0),
        Some(complaint) => Err(Error::Unhealthy(complaint)),
    }
}

fn render(status: &StatusResponse, users: &Users, view: &View) -> String {
    let role = if status.caller_is_admin { ", an administrator" } else { "" };
    let pairs: [(&str, Cell); 6] = [
        ("v6podd", text::or_none(&status.version).into()),
        ("since", text::since(status.started.as_ref(), view.now).into()),
        ("attachments", status.attachments.to_string().into()),
        ("guard", guard(&status.guard)),
        ("you", format!("{}{role}", users.describe(status.caller_uid)).into()),
        ("audit", audit(status.audit.as_ref())),
    ];
    let networks = networks(&status.networks, view);
    let registries = match status.registries.as_slice() {
        [] => "no registries: names are not published\n".to_owned(),
        some => registries(some, view),
    };
    format!("{}\n{networks}\n{registries}", table::pairs(view, &pairs))
}

fn audit(audit: Option<&AuditStatus>) -> Cell {
    let Some(audit) = audit else { return text::NONE.to_owned().into() };
    let place = match (audit.file, audit.healthy) {
        (false, _) => "the journal only",
        (true, true) => "the journal and a file",
        (true, false) => "the journal only: the file cannot be written",
    };
    let lost = match audit.lost {
        0 => String::new(),
        1 => ", 1 entry is lost".to_owned(),
        lost => format!(", {lost} entries are lost"),
    };
    let tone = match audit {
        AuditStatus { file: true, healthy: false, .. } => Tone::Red,
        AuditStatus { lost: 0, .. } => Tone::Plain,
        _ => Tone::Yellow,
    };
    Cell::new(format!("{place}{lost}"), tone)
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
        let default = if network.default { "*" } else { "" };
        table.push([
            format!("{}{default}", text::escape(&network.name)).into(),
            text::escape(&network.prefix).into(),
            text::or_none(&network.gateway).into(),
            text::or_none(&network.driver).into(),
            text::or_none(&network.bridge).into(),
            network.mtu.to_string().into(),
            text::or_none(&network.addresses).into(),
            text::or_none(&network.isolation).into(),
            attachments(network).into(),
        ]);
    }
    table.render(view, |_| false)
}

/// How many attachments a network has, and can have; a daemon that is older does not tell.
fn attachments(network: &Network) -> String {
    match network.capacity {
        0 => network.attachments.to_string(),
        most => format!("{} of {most}", network.attachments),
    }
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

/// What is wrong with the registries and the audit, in one sentence.
fn complaint(status: &StatusResponse) -> Option<String> {
    let audit = status.audit.iter().filter(|audit| !audit.healthy);
    let audit = audit.map(|audit| format!("the audit cannot be written: {}", audit.error));
    let unhealthy = status.registries.iter().filter(|registry| !registry.healthy);
    let complaints: Vec<_> = unhealthy
        .map(|registry| {
            let (RegistryStatus { kind, endpoint, .. }, error) = (registry, registry_error(registry));
            format!("the registry {kind} ({endpoint}) is unhealthy: {error}")
        })
        .chain(audit)
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
            capacity: 1000,
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
            audit: Some(AuditStatus { file: true, healthy: true, error: String::new(), lost: 0 }),
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
audit:        the journal and a file

NETWORK   PREFIX         GATEWAY      DRIVER  BRIDGE  MTU   ADDRESSES  ISOLATION  ATTACHMENTS
default*  2001:db8::/80  2001:db8::1  bridge  v6pod0  1500  stable     open       2 of 1000
inner     2001:db8::/80  -            bridge  v6pod0  1500  stable     open       2 of 1000

REGISTRY  ENDPOINT               HEALTH     NAMES
dns       [2001:db8::1]:53       ok         2
consul    http://127.0.0.1:8500  unhealthy  2
";
        let users = Users::parse("root:x:0:0:::\n");
        assert_eq!(render(&status(), &users, &View::of(None, false, 1000)), expected);
        let narrow = render(&status(), &users, &View::of(Some(60), false, 1000));
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        assert!(narrow.contains("\ndefault*  "), "{narrow}");
        let coloured = render(&status(), &users, &View::of(None, true, 1000));
        assert!(coloured.contains("\x1b[31munhealthy\x1b[0m  2\n"), "{coloured}");
    }

    #[test]
    fn a_bare_daemon() {
        let status = StatusResponse { networks: Vec::new(), registries: Vec::new(), audit: None, ..status() };
        let shown = render(&status, &Users::default(), &View::of(None, false, 1000));
        assert!(shown.ends_with("\n\nno registries: names are not published\n"), "{shown}");
        assert!(shown.contains("audit:        -\n"), "{shown}");
        assert_eq!(complaint(&status), None);
    }

    #[test]
    fn an_audit_that_lacks_something_says_so() {
        let shown = |file, healthy, lost| {
            let audit = AuditStatus { file, healthy, lost, error: "/x: full".to_owned() };
            let status = StatusResponse { audit: Some(audit), registries: Vec::new(), ..status() };
            (render(&status, &Users::default(), &View::of(None, true, 0)), complaint(&status))
        };
        let (text, complaint) = shown(true, false, 1);
        assert!(
            text.contains("\x1b[31mthe journal only: the file cannot be written, 1 entry is lost\x1b[0m"),
            "{text}"
        );
        assert_eq!(complaint.as_deref(), Some("the audit cannot be written: /x: full"));
        let (text, complaint) = shown(true, true, 7);
        assert!(text.contains("\x1b[33mthe journal and a file, 7 entries are lost\x1b[0m"), "{text}");
        assert_eq!(complaint, None);
        assert!(shown(false, true, 0).0.contains("the journal only\n"));
    }

    #[test]
    fn unhealthy_registries_are_named() {
        let expected = "the registry consul (http://127.0.0.1:8500) is unhealthy: connection refused";
        assert_eq!(complaint(&status()).as_deref(), Some(expected));
    }
}
