//! What callers write into fields.

use std::os::fd::OwnedFd;

use tonic::{Code, Status};
use v6pod_integration::{LATER, eventually};
use v6pod_proto::v1::{ActivateRequest, get_request::Target};

use crate::{
    holder::Holder,
    site::{NETWORK, Site, refused},
};

/// Texts that no id and no name may be: what each is, and whether a refusal has to show it escaped.
fn texts() -> Vec<(&'static str, String)> {
    vec![
        ("a way up", "../x".to_owned()),
        ("an absolute path", "/etc/passwd".to_owned()),
        ("two lines", "a\nINFO v6podd: attached".to_owned()),
        ("a NUL", "a\0b".to_owned()),
        ("a terminal's command", "\u{1b}[2Ja".to_owned()),
        ("a lone return", "a\rb".to_owned()),
        ("a C1 control", "a\u{9b}31mb".to_owned()),
        ("a line separator", "a\u{2028}b".to_owned()),
        ("turned around", "a\u{202e}b".to_owned()),
        ("not ASCII", "bücher".to_owned()),
        ("another script", "аdmin".to_owned()),
        ("a space", "a b".to_owned()),
        ("an option", "-rf".to_owned()),
        ("long", "x".repeat(60_000)),
        ("long and hostile", "\n".repeat(60_000)),
    ]
}

fn named(name: &str) -> ActivateRequest {
    ActivateRequest { name: name.to_owned(), ..ActivateRequest::default() }
}

fn for_container(id: &str) -> ActivateRequest {
    ActivateRequest { container_id: id.to_owned(), ..ActivateRequest::default() }
}

fn on_interface(name: &str) -> ActivateRequest {
    ActivateRequest { interface: name.to_owned(), ..ActivateRequest::default() }
}

fn at(address: &str) -> ActivateRequest {
    ActivateRequest { address: address.to_owned(), ..ActivateRequest::default() }
}

fn on(network: &str) -> ActivateRequest {
    ActivateRequest { network: network.to_owned(), ..ActivateRequest::default() }
}

#[test]
fn malformed_text_is_refused_in_every_field() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let invalid =
        |what: &str, request, gist| refused(what, site.alices(&[&net], request), Code::InvalidArgument, gist);
    for (what, text) in texts() {
        for (request, gist) in [
            (named(&text), "the name "),
            (for_container(&text), "the container id "),
            (on_interface(&text), "the interface name "),
            (on(&text), "the network name "),
            (at(&text), "the address "),
            (ActivateRequest { mac: text.clone(), ..named("") }, "the MAC "),
            (ActivateRequest { aliases: vec![text.clone()], ..named("") }, "the name "),
        ] {
            let status = invalid(what, request, gist);
            let shown = status.message().chars().all(|c| c.is_ascii_graphic() || " …üаdmin".contains(c));
            assert!(shown, "{what}: {:?}", status.message());
        }
    }
    for (what, text) in texts().into_iter().filter(|(_, text)| text.contains(|c: char| !c.is_ascii_graphic()))
    {
        invalid(what, ActivateRequest { tags: vec![text], ..named("") }, "the tag ");
    }
    for name in ["_", "a.", "-a", "a-", &"x".repeat(64)] {
        invalid("no label", named(name), "the name ");
    }
    invalid("no id", for_container(".hidden"), "the container id ");
    invalid("no id", for_container(&"x".repeat(129)), "the container id ");
    drop((own, net));
    site.is_unharmed();
    site.log_is_clean();
}

#[test]
fn malformed_ids_are_refused_wherever_they_are_looked_up() {
    let site = Site::new(NETWORK);
    let client = site.client(site.alice.uid(), &[]);
    for (what, text) in texts() {
        let id = "an attachment's id is 12 lower-case hexadecimal digits";
        refused(what, client.get(Target::Id(text.clone())), Code::InvalidArgument, id);
        refused(what, client.deactivate(&text), Code::InvalidArgument, id);
        refused(what, client.check(&text), Code::InvalidArgument, id);
        refused(what, client.get(Target::ContainerId(text)), Code::InvalidArgument, "the container id ");
    }
    for text in ["", "0123456789AB", "0123456789abc", "0x123456789a", "+12345678901"] {
        refused(text, client.get(Target::Id(text.to_owned())), Code::InvalidArgument, "12 lower-case");
    }
    drop(client);
    site.is_unharmed();
    site.log_is_clean();
}

#[test]
fn mixed_case_is_one_name_and_two_ids() {
    let site = Site::new(NETWORK);
    let (one, other) = (Holder::own(&site.alice), Holder::own(&site.alice));
    let attached =
        site.alices(&[&one.net()], ActivateRequest { container_id: "AbC".into(), ..named("My_Web") });
    let attached = attached.expect("upper case is allowed").attachment.expect("an attachment");
    assert_eq!((attached.name.as_str(), attached.container_id.as_str()), ("my-web", "AbC"));
    let outcome =
        site.alices(&[&other.net()], ActivateRequest { container_id: "aBc".into(), ..named("mY-wEB") });
    refused("the same name", outcome, Code::AlreadyExists, "the name my-web is taken");
    site.alices(&[&other.net()], for_container("aBc")).expect("another id");
    assert_eq!(site.count(), 2);
    drop((one, other));
    site.is_unharmed();
}

#[test]
fn case_29_interface_names_that_cannot_be() {
    let site = Site::new(NETWORK);
    let own = Holder::own_after(&site.alice, "ip link add eth7 type bridge");
    let net = own.net();
    let refuse = |name: &str, code, gist| refused(name, site.alices(&[&net], on_interface(name)), code, gist);
    // "all" and "default" are folders of the kernel's settings: no interface can have such a name.
    for name in ["a/b", "sixteen-octets-x", ".", "..", "a:b", "eth%d", "all", "default"] {
        refuse(name, Code::InvalidArgument, "the interface name ");
    }
    for (name, gist) in [("lo", "an interface named lo already"), ("eth7", "an interface named eth7 already")]
    {
        refuse(name, Code::FailedPrecondition, gist);
        assert!(site.ports().is_empty(), "{name}: {:?}", site.ports());
    }
    site.serves_bob();
    drop((own, net));
    site.is_unharmed();
    site.log_is_clean();
}

#[test]
fn addresses_that_nobody_may_have() {
    let site = Site::new(&format!("{NETWORK}allow_static = true\n"));
    let (own, other) = (Holder::own(&site.alice), Holder::own(&site.alice));
    let (net, taken) = (own.net(), other.net());
    site.alices(&[&taken], at("2001:db8:1::200:0:5")).expect("a free address");
    for (address, code, gist) in [
        ("10.0.0.1", Code::InvalidArgument, "is not an IPv6 address"),
        ("2001:db8:1::2%lo", Code::InvalidArgument, "is not an IPv6 address"),
        ("2001:db8:2::200:0:5", Code::InvalidArgument, "is not within 2001:db8:1::/80"),
        ("::1", Code::InvalidArgument, "is not within"),
        ("fe80::200:0:5", Code::InvalidArgument, "is not within"),
        ("::ffff:10.0.0.1", Code::InvalidArgument, "is not within"),
        ("2001:db8:1::1", Code::InvalidArgument, "it is the gateway"),
        ("2001:db8:1::", Code::InvalidArgument, "anycast"),
        ("2001:db8:1::100:0:5", Code::InvalidArgument, "group MAC"),
        ("2001:db8:1:0:0:ffff:ffff:ffff", Code::InvalidArgument, "group MAC"),
        ("2001:db8:1::242:0:5", Code::InvalidArgument, "Docker"),
        ("2001:db8:1::200:0:5", Code::AlreadyExists, "is taken"),
        ("2001:db8:1::0200:0000:0005", Code::AlreadyExists, "is taken"),
    ] {
        refused(address, site.alices(&[&net], at(address)), code, gist);
    }
    for (mac, code, gist) in [
        ("02:00:00:00:00:05", Code::AlreadyExists, "is taken"),
        ("00:00:00:00:00:01", Code::InvalidArgument, "it is the gateway"),
        ("01:00:5e:00:00:01", Code::InvalidArgument, "is not the address of one interface"),
        ("02:00:00:00:00", Code::InvalidArgument, "is not the address of one interface"),
        ("02:00:00:00:00:05\n", Code::InvalidArgument, "is not the address of one interface"),
    ] {
        let request = ActivateRequest { mac: mac.to_owned(), ..ActivateRequest::default() };
        refused(mac, site.alices(&[&net], request), code, gist);
    }
    assert_eq!(site.ports().len(), 1);
    drop((own, other, net, taken));
    site.is_unharmed();
}

#[test]
fn the_bridges_own_mac_is_taken() {
    let site = Site::new(&format!("{NETWORK}allow_static = true\n"));
    let own = Holder::own(&site.alice);
    let mac = site.host.run(["cat", "/sys/class/net/v6pod0/address"]).text().replace(':', "");
    let address = format!("2001:db8:1::{}:{}:{}", &mac[..4], &mac[4..8], &mac[8..]);
    refused(
        &address,
        site.alices(&[&own.net()], at(&address)),
        Code::AlreadyExists,
        "in use on the bridge already",
    );
    drop(own);
    site.is_unharmed();
}

#[test]
fn a_mac_that_was_seen_behind_another_port_is_taken() {
    let site = Site::new(&format!("{NETWORK}allow_static = true\n"));
    let own = Holder::own(&site.alice);
    site.host.sh("ip link add uplink type veth peer name router address 00:00:5e:00:53:01
                  ip link set uplink master v6pod0 up; ip link set router up
                  bridge fdb add 00:00:5e:00:53:01 dev uplink master dynamic");
    let outcome = site.alices(&[&own.net()], at("2001:db8:1::5e00:5301"));
    refused("the router's", outcome, Code::AlreadyExists, "in use on the bridge already");
    let entry = site.host.run(["bridge", "fdb", "get", "00:00:5e:00:53:01", "br", "v6pod0"]);
    assert!(entry.stdout.contains("dev uplink"), "{entry}");
    site.host.run(["ip", "link", "delete", "uplink"]);
    drop(own);
    site.is_unharmed();
}

#[test]
fn fixed_addresses_and_networks_that_are_not_offered() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let ask = |request| -> Result<_, Status> { site.alices(&[&net], request) };
    refused("fixed", ask(at("2001:db8:1::200:0:5")), Code::InvalidArgument, "does not allow fixed addresses");
    refused("unknown", ask(on("elsewhere")), Code::NotFound, "there is no network elsewhere");
    refused("another case", ask(on("Default")), Code::NotFound, "there is no network Default");
    drop((own, net));
    site.is_unharmed();
}

#[test]
fn a_full_pool_is_said_to_be_full() {
    let site = Site::new(&format!("{NETWORK}capacity = 2\n"));
    let holders: Vec<_> = (0..3).map(|_| Holder::own(&site.alice)).collect();
    let nets: Vec<OwnedFd> = holders.iter().map(Holder::net).collect();
    for net in &nets[..2] {
        site.alices(&[net], ()).expect("there are two places");
    }
    let full = "the network default is full: all 2 places are taken";
    refused("alice's", site.alices(&[&nets[2]], ()), Code::ResourceExhausted, full);
    refused(
        "bob's",
        site.activate(site.bob.uid(), &[&Holder::own(&site.bob).net()], ()),
        Code::ResourceExhausted,
        full,
    );
    assert_eq!((site.ports().len(), site.count()), (2, 2));
    // What is attached already needs no place.
    assert!(!site.alices(&[&nets[0]], named("web")).expect("it is attached").created);
    drop((holders, nets));
    eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("attached") });
    site.is_unharmed();
}
