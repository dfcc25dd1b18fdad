//! Tests of what is asked upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{self, RecordType};

use super::super::Registry;
use super::support::*;

fn no_tcp(_: Message) -> Vec<u8> {
    panic!("not by TCP")
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

async fn silent() -> std::net::SocketAddr {
    upstream(|_, _| async { Vec::new() }, no_tcp).await
}

#[tokio::test]
async fn a_reply_is_passed_on_and_forgeries_are_not() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let forging = upstream(
        move |asked, _| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                let (mut id, mut question) = (answer(&asked, 2), answer(&asked, 2));
                id.metadata.id = asked.id.wrapping_add(1);
                let other = rr::Name::from_ascii("other.example.").unwrap();
                question.queries = vec![Query::query(other, RecordType::AAAA)];
                vec![b"x".to_vec(), bytes(&asked), bytes(&id), bytes(&question), bytes(&answer(&asked, 3))]
            }
        },
        no_tcp,
    )
    .await;
    let (_dns, server) = start(&[forging]).await;
    let reply = ask_udp(server, &query("www.example.", RecordType::AAAA)).await;
    assert_eq!((reply.answers.len(), reply.authoritative), (3, false));
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn ids_and_ports_are_new_for_each_query() {
    let (send, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let watching = upstream(
        move |asked, client| {
            send.send((asked.id, client.port())).unwrap();
            async move { vec![bytes(&answer(&asked, 1))] }
        },
        no_tcp,
    )
    .await;
    let (_dns, server) = start(&[watching]).await;
    let asked = query("www.example.", RecordType::AAAA);
    let mut all = std::collections::HashSet::new();
    for _ in 0..8 {
        ask_udp(server, &asked).await;
        let (id, port) = seen.recv().await.unwrap();
        all.insert(id);
        all.insert(port);
    }
    assert!(all.len() >= 12, "{all:?}");
}

#[tokio::test]
async fn a_truncated_reply_is_fetched_by_tcp() {
    let truncated = |asked: Message, _| async move {
        let mut reply = answer(&asked, 0);
        reply.metadata.truncation = true;
        vec![bytes(&reply)]
    };
    let address = upstream(truncated, |asked| bytes(&answer(&asked, 100))).await;
    let (_dns, server) = start(&[address]).await;
    let asked = query("www.example.", RecordType::AAAA);
    let reply = ask_udp(server, &with_edns(asked.clone(), 4096)).await;
    assert_eq!((reply.answers.len(), reply.truncation), (100, false), "the client can take it");
    let reply = ask_udp(server, &asked).await;
    assert_eq!((reply.answers.len(), reply.truncation), (0, true), "the client must ask by TCP");
    let reply = ask_tcp(server, &asked).await;
    assert_eq!((reply.answers.len(), reply.truncation), (100, false));
}

#[tokio::test]
async fn a_reply_too_long_for_the_client_is_cut() {
    let long = |asked: Message, _| async move { vec![bytes(&answer(&asked, 50))] };
    let address = upstream(long, no_tcp).await;
    let (_dns, server) = start(&[address]).await;
    let reply = ask_udp(server, &query("www.example.", RecordType::AAAA)).await;
    assert_eq!((reply.answers.len(), reply.truncation), (0, true));
}

#[tokio::test]
async fn servers_are_asked_in_turn() {
    let failing = |asked: Message, _| async move {
        let mut reply = answer(&asked, 0);
        reply.metadata.response_code = ResponseCode::ServFail;
        vec![bytes(&reply)]
    };
    let failing = upstream(failing, no_tcp).await;
    let good = upstream(|asked, _| async move { vec![bytes(&answer(&asked, 1))] }, no_tcp).await;
    let (_dns, server) = start(&[silent().await, failing, good]).await;
    let asked = query("www.example.", RecordType::AAAA);
    assert_eq!(ask_udp(server, &asked).await.answers.len(), 1);
    let again = Instant::now();
    assert_eq!(ask_udp(server, &asked).await.answers.len(), 1);
    assert!(again.elapsed() < HASTE.each, "the one that answered is asked first");
}

#[tokio::test]
async fn silence_is_a_failure_in_bounded_time() {
    let (_dns, server) = start(&[silent().await, silent().await]).await;
    let asked = query("www.example.", RecordType::AAAA);
    let begun = Instant::now();
    assert_eq!(ask_udp(server, &asked).await.response_code, ResponseCode::ServFail);
    assert!(begun.elapsed() < HASTE.all + Duration::from_secs(1));
}

#[tokio::test]
async fn without_upstream_others_names_are_refused() {
    let (_dns, server) = start(&[]).await;
    for kind in [RecordType::AAAA, RecordType::SOA] {
        let reply = ask_udp(server, &query("www.example.", kind)).await;
        assert_eq!(reply.response_code, ResponseCode::Refused);
    }
}

#[tokio::test]
async fn one_client_cannot_take_all_the_room() {
    let (dns, server) = start(&[silent().await]).await;
    dns.publish(&record(1, "web", "2001:db8:0:1:2::a"));
    let socket = tokio::net::UdpSocket::bind("[::1]:0").await.unwrap();
    socket.connect(server).await.unwrap();
    let begun = Instant::now();
    for _ in 0..65 {
        socket.send(&bytes(&query("www.example.", RecordType::AAAA))).await.unwrap();
    }
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert!(begun.elapsed() < HASTE.each, "the 65th is not made to wait");
    assert_eq!(Message::from_vec(&buffer[..length]).unwrap().response_code, ResponseCode::ServFail);
    let own = ask_udp(server, &query("web.v6pod.", RecordType::AAAA)).await;
    assert_eq!(own.answers.len(), 1, "our own names need no room");
}
