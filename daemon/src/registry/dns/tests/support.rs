//! A client, a fake upstream, and a server on loopback.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{self, RData, RecordType, rdata::AAAA};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::super::*;
use crate::registry::{RawDns, config};

/// Short, so that servers that say nothing do not hold the tests up.
pub const HASTE: Patience = Patience { each: Duration::from_millis(300), all: Duration::from_millis(1500) };

pub fn record(number: u32, name: &str, address: &str) -> Record {
    Record {
        aliases: Vec::new(),
        tags: Vec::new(),
        id: format!("{number:012x}").parse().unwrap(),
        name: name.parse().unwrap(),
        address: address.parse().unwrap(),
        uid: 1000,
        container_id: "c0ffee".to_owned(),
        network: "default".to_owned(),
    }
}

pub fn config(upstream: &[SocketAddr]) -> Config {
    let forward = upstream.iter().map(ToString::to_string).collect();
    let raw = RawDns { forward: Some(forward), ..RawDns::default() };
    let mut wrong = Vec::<config::Invalid>::new();
    Config::check(&raw, "/nonexistent".as_ref(), &mut wrong).unwrap()
}

pub fn prefixes() -> Vec<Ipv6Net> {
    vec!["2001:db8:0:1:2::/80".parse().unwrap()]
}

/// A server on a free port of loopback, once it listens.
pub async fn start(upstream: &[SocketAddr]) -> (Dns, SocketAddr) {
    let dns = Dns::start_with(config(upstream), vec!["[::1]:0".parse().unwrap()], prefixes(), HASTE);
    for _ in 0..1000 {
        if let Ok(address) = dns.listeners[0].state() {
            return (dns, address);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", dns.status());
}

pub fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(rr::Name::from_ascii(name).unwrap(), kind));
    message
}

pub fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

pub async fn send_udp(server: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("[::1]:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(bytes).await.unwrap();
    let mut buffer = vec![0; 65_536];
    let received = tokio::time::timeout(Duration::from_secs(4), socket.recv(&mut buffer)).await;
    received.ok().map(|length| buffer[..length.unwrap()].to_vec())
}

pub async fn ask_udp(server: SocketAddr, message: &Message) -> Message {
    let reply = send_udp(server, &message.to_vec().unwrap()).await.expect("a reply");
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!(reply.id, message.id);
    assert_eq!(reply.message_type, MessageType::Response);
    reply
}

pub async fn ask_tcp(server: SocketAddr, message: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    forward::write_message(&mut stream, &message.to_vec().unwrap()).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.unwrap();
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!(reply.id, message.id);
    reply
}

pub fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

/// A reply as an upstream gives it, with this many addresses.
pub fn answer(query: &Message, count: u16) -> Message {
    let mut reply = Message::response(query.id, OpCode::Query);
    reply.add_queries(query.queries.clone());
    for number in 0..count {
        let address = format!("2001:db8:ffff::{number:x}").parse().unwrap();
        let name = query.queries[0].name().clone();
        reply.add_answer(rr::Record::from_rdata(name, 60, RData::AAAA(AAAA(address))));
    }
    reply
}

/// An upstream: what it sends by UDP, and by TCP, for a query.
pub async fn upstream<F, G, H>(udp: F, tcp: G) -> SocketAddr
where
    F: Fn(Message, SocketAddr) -> H + Send + 'static,
    H: Future<Output = Vec<Vec<u8>>> + Send,
    G: Fn(Message) -> Vec<u8> + Send + 'static,
{
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            break (listener, socket);
        }
    };
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            for reply in udp(Message::from_vec(&buffer[..length]).unwrap(), client).await {
                socket.send_to(&reply, client).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut bytes = vec![0; usize::from(length)];
            stream.read_exact(&mut bytes).await.unwrap();
            let reply = tcp(Message::from_vec(&bytes).unwrap());
            let mut framed = u16::try_from(reply.len()).unwrap().to_be_bytes().to_vec();
            framed.extend(reply);
            drop(stream.write_all(&framed).await);
        }
    });
    address
}
