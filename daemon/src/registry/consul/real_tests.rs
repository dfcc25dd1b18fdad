//! Tests against the real Consul that `V6POD_TEST_CONSUL` names; skipped if it is not set.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{self, RecordType};
use tokio::net::UdpSocket;

use super::real::{Real, TOKEN};
use super::tests::{INSTANCE, config, record, until};
use super::*;

async fn dig(server: SocketAddr, name: &str) -> Vec<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    let mut query = Message::query();
    query.add_query(Query::query(rr::Name::from_ascii(name).unwrap(), RecordType::AAAA));
    drop(socket.send(&query.to_vec().unwrap()).await);
    let mut buffer = [0; 4096];
    let reply = tokio::time::timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await;
    let Ok(Ok(length)) = reply else {
        return Vec::new();
    };
    let reply = Message::from_vec(&buffer[..length]).unwrap();
    reply.answers.iter().map(|answer| answer.data.to_string()).collect()
}

#[tokio::test]
async fn names_follow_through_restarts_of_either_side() {
    let Some(mut real) = Real::start(false).await else {
        eprintln!("skipped: V6POD_TEST_CONSUL does not name a Consul");
        return;
    };
    let mut config = config(&format!("http://{}", real.api()));
    config.probation = Duration::from_secs(5);
    let consul = Consul::start(config.clone(), INSTANCE.parse().unwrap());
    until("Consul is ready", 30, async || consul.status().healthy).await;
    let (web, name) = (record(1, "web"), "web.service.consul.");
    consul.publish(&web);
    let took = until("registered", 5, async || dig(real.dns(), name).await == ["2001:db8::1"]).await;
    eprintln!("registered and resolved after {took:?}");
    assert_eq!(consul.check(&web), None);
    consul.publish(&record(2, "db"));
    consul.withdraw(web.id);
    let took = until("deregistered", 5, async || dig(real.dns(), name).await.is_empty()).await;
    eprintln!("deregistered and gone after {took:?}");
    consul.withdraw(web.id);

    // Comes back empty after 3 s, with changes meanwhile.
    let wipe = real.wipe(Duration::from_secs(3));
    let changes = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        consul.publish(&record(3, "while-away"));
        consul.publish(&web);
        consul.withdraw(web.id);
    };
    tokio::join!(wipe, changes);
    let away = "while-away.service.consul.";
    let took = until("filled", 35, async || dig(real.dns(), away).await == ["2001:db8::3"]).await;
    eprintln!("filled again {took:?} after it was back");
    until("both", 2, async || dig(real.dns(), "db.service.consul.").await == ["2001:db8::2"]).await;
    assert!(dig(real.dns(), name).await.is_empty());

    // A restarted daemon that knows of nothing: what was there stays for the probation, then goes.
    drop(consul);
    config.sync = Duration::from_secs(1);
    let begun = Instant::now();
    let consul = Consul::start(config, INSTANCE.parse().unwrap());
    consul.publish(&record(2, "db"));
    until("removed", 20, async || dig(real.dns(), away).await.is_empty()).await;
    eprintln!("the unknown one went {:?} after the start", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(5));
    assert_eq!(dig(real.dns(), "db.service.consul.").await, ["2001:db8::2"]);
}

#[tokio::test]
async fn tls_and_token() {
    let Some(real) = Real::start(true).await else {
        eprintln!("skipped: V6POD_TEST_CONSUL does not name a Consul");
        return;
    };
    let mut config = config(&format!("https://{}", real.api()));
    let strict = Consul::start(config.clone(), INSTANCE.parse().unwrap());
    until("not trusted", 5, async || strict.status().error.is_some_and(|error| error.contains("TLS"))).await;
    drop(strict);
    config.ca_file = Some(real.dir().join("consul-agent-ca.pem"));
    let web = record(1, "web");
    let nobody = Consul::start(config.clone(), INSTANCE.parse().unwrap());
    nobody.publish(&web);
    until("refused", 20, async || nobody.status().error.is_some_and(|error| error.contains("403"))).await;
    drop(nobody);
    let token = real.dir().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    config.token_file = Some(token);
    let consul = Consul::start(config, INSTANCE.parse().unwrap());
    consul.publish(&web);
    let took = until("registered", 40, async || consul.check(&web).is_none()).await;
    eprintln!("registered by TLS with a token after {took:?}");
    consul.withdraw(web.id);
    until("deregistered", 5, async || consul.status().names == 0 && consul.status().healthy).await;
}
