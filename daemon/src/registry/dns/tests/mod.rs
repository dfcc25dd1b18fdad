//! Tests of the built-in DNS over loopback sockets.

mod forwarding;
mod support;

use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{self, DNSClass, RecordType};

use self::support::*;
use super::server::Action;
use super::wire::Transport;
use super::*;

fn reverse(address: &str) -> String {
    rr::Name::from(address.parse::<IpAddr>().unwrap()).to_ascii()
}

#[tokio::test]
async fn names_come_and_go_at_once() {
    let (dns, server) = start(&[]).await;
    let web = record(1, "web", "2001:db8:0:1:2::a");
    let (forward, backward) =
        (query("web.v6pod.", RecordType::AAAA), query(&reverse("2001:db8:0:1:2::a"), RecordType::PTR));
    assert_eq!(ask_udp(server, &forward).await.response_code, ResponseCode::NXDomain);
    dns.publish(&web);
    dns.publish(&record(2, "web", "2001:db8:0:1:2::b"));
    let reply = ask_udp(server, &forward).await;
    assert!(reply.authoritative && reply.recursion_available && reply.recursion_desired);
    assert_eq!(data(&reply), ["2001:db8:0:1:2::a", "2001:db8:0:1:2::b"]);
    assert_eq!(reply.answers[0].ttl, 0);
    assert_eq!(data(&ask_tcp(server, &forward).await), data(&reply));
    assert_eq!(data(&ask_udp(server, &backward).await), ["web.v6pod."]);
    dns.withdraw(web.id);
    assert_eq!(data(&ask_udp(server, &forward).await), ["2001:db8:0:1:2::b"]);
    assert_eq!(ask_tcp(server, &backward).await.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn absence_carries_the_soa_and_case_is_kept() {
    let (dns, server) = start(&[]).await;
    dns.publish(&record(1, "web", "2001:db8:0:1:2::a"));
    for (name, kind, code) in [
        ("none.v6pod.", RecordType::AAAA, ResponseCode::NXDomain),
        ("web.v6pod.", RecordType::A, ResponseCode::NoError),
        ("web.v6pod.", RecordType::MX, ResponseCode::NoError),
    ] {
        let reply = ask_udp(server, &query(name, kind)).await;
        assert_eq!((reply.response_code, reply.answers.len()), (code, 0), "{name} {kind}");
        let soa = &reply.authorities[0];
        assert_eq!((soa.name.to_ascii().as_str(), soa.record_type()), ("v6pod.", RecordType::SOA));
    }
    let reply = ask_udp(server, &query("wEb.V6POD.", RecordType::AAAA)).await;
    assert_eq!(data(&reply), ["2001:db8:0:1:2::a"]);
    assert_eq!(reply.queries[0].name().to_ascii(), "wEb.V6POD.", "as asked");
    let reply = ask_udp(server, &query("v6pod.", RecordType::AXFR)).await;
    assert_eq!(reply.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn long_answers_are_cut_to_what_the_client_takes() {
    let (dns, server) = start(&[]).await;
    for number in 0..200 {
        dns.publish(&record(number, "many", &format!("2001:db8:0:1:2::{number:x}")));
    }
    let plain = query("many.v6pod.", RecordType::AAAA);
    for (message, limit) in [
        (plain.clone(), 512),
        (with_edns(plain.clone(), 100), 512),
        (with_edns(plain.clone(), 800), 800),
        (with_edns(plain.clone(), 65_535), 1232),
    ] {
        let bytes = send_udp(server, &message.to_vec().unwrap()).await.unwrap();
        let reply = Message::from_vec(&bytes).unwrap();
        assert!(bytes.len() <= limit && bytes.len() > limit / 2, "{} of {limit}", bytes.len());
        assert!(reply.truncation && !reply.answers.is_empty());
        assert_eq!(reply.edns.is_some(), message.edns.is_some());
    }
    let whole = ask_tcp(server, &plain).await;
    assert_eq!((whole.answers.len(), whole.truncation), (200, false));
}

#[tokio::test]
async fn odd_messages() {
    let (_dns, server) = start(&[]).await;
    let mut notify = query("v6pod.", RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(ask_udp(server, &notify).await.response_code, ResponseCode::NotImp);

    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(ask_udp(server, &chaos).await.response_code, ResponseCode::Refused);

    let mut future = with_edns(query("v6pod.", RecordType::SOA), 1232);
    future.edns.as_mut().unwrap().set_version(1);
    // Hickory reads code 16 as BADSIG, with which BADVERS shares it (RFC 6895).
    assert_eq!(u16::from(ask_udp(server, &future).await.response_code), 16);

    let mut two = query("v6pod.", RecordType::SOA);
    two.add_query(two.queries[0].clone());
    assert_eq!(ask_udp(server, &two).await.response_code, ResponseCode::FormErr);

    let cut = &query("web.v6pod.", RecordType::AAAA).to_vec().unwrap()[..20];
    let reply = Message::from_vec(&send_udp(server, cut).await.unwrap()).unwrap();
    assert_eq!(reply.response_code, ResponseCode::FormErr);
}

/// A server without sockets.
fn unbound() -> Server {
    let upstreams = Upstreams::new(Forward::To(Vec::new()), Vec::new());
    let listen = ["[2001:db8:0:1:2::1]:53".parse().unwrap()];
    let zone = Zone::new(rr::Name::from_ascii("v6pod.").unwrap(), 0, prefixes(), Vec::new());
    Server::new(zone, Forwarder::new(upstreams, HASTE), prefixes(), &listen)
}

#[test]
fn only_containers_and_this_host_are_answered() {
    let server = unbound();
    let bytes = query("web.v6pod.", RecordType::AAAA).to_vec().unwrap();
    for (client, code) in [
        ("2001:db8:0:1:2::a", ResponseCode::NXDomain),
        ("2001:db8:0:1:2::1", ResponseCode::NXDomain),
        ("::1", ResponseCode::NXDomain),
        ("127.0.0.1", ResponseCode::NXDomain),
        ("::ffff:127.0.0.1", ResponseCode::NXDomain),
        ("2001:db8:0:1:3::a", ResponseCode::Refused),
        ("192.0.2.1", ResponseCode::Refused),
        ("fe80::1", ResponseCode::Refused),
    ] {
        let Action::Reply(reply) = server.receive(&bytes, client.parse().unwrap(), Transport::Udp) else {
            panic!("{client}");
        };
        assert_eq!(Message::from_vec(&reply).unwrap().response_code, code, "{client}");
        assert_eq!(server.connect(client.parse().unwrap()).is_some(), code != ResponseCode::Refused);
    }
}

#[test]
fn responses_and_scraps_are_ignored_and_garbage_harms_nobody() {
    let server = unbound();
    let client = "::1".parse().unwrap();
    let response = Message::response(1, OpCode::Query).to_vec().unwrap();
    for bytes in [&response[..], &[], &[0; 11]] {
        assert!(matches!(server.receive(bytes, client, Transport::Udp), Action::Ignore));
    }
    let models = [
        query("web.v6pod.", RecordType::AAAA),
        with_edns(query(&reverse("2001:db8:0:1:2::a"), RecordType::PTR), 1232),
        query("a\\.b.v6pod.", RecordType::ANY),
    ];
    for model in models.map(|message| message.to_vec().unwrap()) {
        for _ in 0..5000 {
            let mut bytes = model.clone();
            for _ in 0..rand::random_range(0..4) {
                let at = rand::random_range(0..bytes.len());
                bytes[at] = rand::random();
            }
            bytes.truncate(rand::random_range(0..=bytes.len()));
            if let Action::Reply(reply) = server.receive(&bytes, client, Transport::Udp) {
                assert!((12..=1232).contains(&reply.len()) && reply[..2] == bytes[..2]);
            }
        }
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_and_tried_again() {
    let taken = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let dns = Dns::start_with(config(&[]), vec![address], prefixes(), HASTE);
    let web = record(1, "web", "2001:db8:0:1:2::a");
    dns.publish(&web);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let status = dns.status();
    assert!(!status.healthy && status.error.is_some_and(|error| error.contains(&address.to_string())));
    let amiss = dns.check(&web).unwrap_or_default();
    assert!(
        amiss.contains("cannot bind TCP")
            && amiss.contains(&format!("ss -lntup 'sport = :{}'", address.port()))
    );
    drop(taken);
    for _ in 0..100 {
        if dns.status().healthy {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = Status { kind: "dns", endpoint: address.to_string(), healthy: true, error: None, names: 1 };
    assert_eq!((dns.status(), dns.check(&web)), (status, None));
    assert_eq!(dns.full_name(&web.name), "web.v6pod");
    assert_eq!(ask_udp(address, &query("web.v6pod.", RecordType::AAAA)).await.answers.len(), 1);
}

#[tokio::test]
async fn a_tcp_client_may_ask_several_times_and_nothing_too_long() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_dns, server) = start(&[]).await;
    let mut stream = tokio::net::TcpStream::connect(server).await.unwrap();
    for _ in 0..3 {
        let message = query("none.v6pod.", RecordType::AAAA);
        forward::write_message(&mut stream, &message.to_vec().unwrap()).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(Message::from_vec(&reply).unwrap().id, message.id);
    }
    stream.write_all(&[0xff, 0xff, 0]).await.unwrap();
    assert!(stream.read_u8().await.is_err(), "hung up");
}

/// Nobody has these addresses here, so that each has something amiss.
#[tokio::test]
async fn networks_that_are_not_shown_are_told_in_no_word() {
    let ours: Ipv6Addr = "2001:db8:0:1:2::1".parse().unwrap();
    let other: Ipv6Addr = "2001:db8:0:1:3::1".parse().unwrap();
    let prefixes = vec!["2001:db8:0:1:2::/80".parse().unwrap(), "2001:db8:0:1:3::/80".parse().unwrap()];
    let listen = vec![(other, 53).into(), (ours, 53).into()];
    let dns = Dns::start_with(config(&[]), listen, prefixes, HASTE);
    let told = |status: Status| format!("{} {}", status.endpoint, status.error.unwrap_or_default());
    let (all, some) = (told(dns.status()), told(dns.status_for(&|address| address == ours)));
    assert!(all.contains("2001:db8:0:1:3::1") && all.contains("2001:db8:0:1:2::1"), "{all}");
    assert!(!some.contains("2001:db8:0:1:3::1") && some.contains("2001:db8:0:1:2::1"), "{some}");
    let nothing = dns.status_for(&|_| false);
    assert_eq!((nothing.endpoint.as_str(), nothing.error), ("", None));
    for (record, shown, hidden) in [
        (record(1, "web", "2001:db8:0:1:2::a"), "2001:db8:0:1:2::1", "2001:db8:0:1:3::1"),
        (record(2, "db", "2001:db8:0:1:3::a"), "2001:db8:0:1:3::1", "2001:db8:0:1:2::1"),
    ] {
        dns.publish(&record);
        let amiss = dns.check(&record).unwrap();
        assert!(amiss.contains(shown) && !amiss.contains(hidden), "{amiss}");
    }
}

#[test]
fn one_user_with_many_containers_leaves_room_for_others() {
    let server = unbound();
    let bytes = query("www.example.", RecordType::AAAA).to_vec().unwrap();
    let address = |number: u64| format!("2001:db8:0:1:2::{number:x}").parse::<Ipv6Addr>().unwrap();
    let forward = |number| server.receive(&bytes, address(number).into(), Transport::Udp);
    let enter = |number| matches!(forward(number), Action::Forward(..));
    (0x100..0x140).for_each(|number| {
        server.owners_mut().insert(AttachmentId::from_bits(number), address(number), 1001);
    });
    server.owners_mut().insert(AttachmentId::from_bits(0xb), address(0xb), 1002);
    let flood = |from: u64| -> (Vec<_>, Vec<_>) {
        let many = (0..64 * 64).map(|count| forward(from + count % 64));
        let passes = many.filter(|action| matches!(action, Action::Forward(..))).collect();
        let connections = (0..64 * 64).filter_map(|count| server.connect(address(from + count % 64).into()));
        (passes, connections.collect())
    };
    let (asked, connected) = flood(0x100);
    assert_eq!((asked.len(), connected.len()), (64, 64));
    // Nor do clients that nobody knows.
    let (made_up, strange) = flood(0x200);
    assert_eq!((made_up.len(), strange.len()), (64, 64));
    assert!(enter(0xb) && server.connect(address(0xb).into()).is_some());
    assert!(!enter(0x100) && !enter(0x1ff) && server.connect(address(0x13f).into()).is_none());
    assert!(matches!(server.receive(&bytes, "::1".parse().unwrap(), Transport::Udp), Action::Forward(..)));
}
