//! Tests of the whole Consul registry against a fake agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use super::fake::{Fake, Memory, Mood};
use super::*;
use crate::registry::RawConsul;

pub const INSTANCE: &str = "0a0b0c0d";

pub fn record(number: u32, name: &str) -> Record {
    Record {
        aliases: Vec::new(),
        tags: Vec::new(),
        id: format!("{number:012x}").parse().unwrap(),
        name: name.parse().unwrap(),
        address: format!("2001:db8::{number:x}").parse().unwrap(),
        uid: 1000,
        container_id: "c0ffee".to_owned(),
        network: "default".to_owned(),
    }
}

pub fn config(address: &str) -> Config {
    let raw =
        RawConsul { address: address.to_owned(), tags: vec!["blue".to_owned()], ..RawConsul::default() };
    Config::check(&raw, &mut Vec::new()).unwrap()
}

fn start(address: &str) -> Consul {
    Consul::start(config(address), INSTANCE.parse().unwrap())
}

/// Waits for something, and says how long it took.
pub async fn until(what: &str, seconds: u64, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(seconds), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

#[test]
fn ids_that_are_not_exactly_ours_are_not_ours() {
    let ours: Instance = INSTANCE.parse().unwrap();
    assert_eq!(ours.attachment("v6pod-0a0b0c0d-000000000001"), "000000000001".parse().ok());
    for other in [
        "v6pod-0a0b0c0e-000000000001",
        "v6pod-0a0b0c0d-00000000001",
        "v6pod-0a0b0c0d-000000000001 ",
        "v6pod-0a0b0c0d-00000000000A",
        "v6pod-0a0b0c0d-+00000000001",
        "v6pod-0a0b0c0d000000000001",
        "v6pod-000000000001",
        "web",
        "",
    ] {
        assert_eq!(ours.attachment(other), None, "{other:?}");
    }
    for bad in ["", "0A0B0C0D", "a0b0c0d", "00a0b0c0d", "+a0b0c0d", "0x0b0c0d"] {
        assert!(bad.parse::<Instance>().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_service_comes_changes_and_goes() {
    let (fake, address) = Fake::tcp().await;
    let consul = start(&format!("http://{address}"));
    let mut web = record(1, "web");
    consul.publish(&web);
    until("registered", 3, async || consul.check(&web).is_none()).await;
    let expected = json!({
        "ID": "v6pod-0a0b0c0d-000000000001", "Service": "web", "Address": "2001:db8::1", "Port": 0,
        "Tags": ["v6pod", "blue"], "EnableTagOverride": false, "Weights": { "Passing": 1 },
        "Meta": { "v6pod-uid": "1000", "v6pod-container": "c0ffee", "v6pod-network": "default" },
    });
    assert_eq!(fake.memory.lock().unwrap().services["v6pod-0a0b0c0d-000000000001"], expected);
    assert_eq!(fake.memory.lock().unwrap().tokens, [None, None]);
    web.name = "www".parse().unwrap();
    assert!(consul.check(&web).is_some());
    consul.publish(&web);
    until("renamed", 3, async || fake.names() == ["www"]).await;
    until("confirmed", 3, async || consul.status().healthy).await;
    let endpoint = format!("http://{address}");
    let status = Status { kind: "consul", endpoint, healthy: true, error: None, names: 1 };
    assert_eq!(consul.status(), status);
    assert_eq!(consul.full_name(&web.name), "www.service.consul");
    consul.withdraw(web.id);
    consul.withdraw("0000000000ff".parse().unwrap());
    until("gone", 3, async || fake.names().is_empty()).await;
    assert!(consul.check(&web).is_some());
    until("unknown is fine", 3, async || fake.memory.lock().unwrap().requests.len() == 5).await;
    assert_eq!(consul.status().error, None);
}

#[tokio::test]
async fn the_unix_socket_and_a_token_that_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, token) = (dir.path().join("http.sock"), dir.path().join("token"));
    let fake = Fake::unix(&socket);
    let mut config = config(&format!("unix://{}", socket.display()));
    config.token_file = Some(token.clone());
    let consul = Consul::start(config, INSTANCE.parse().unwrap());
    consul.publish(&record(1, "a"));
    until("no token", 3, async || {
        consul.status().error.is_some_and(|error| error.contains("cannot read the token"))
    })
    .await;
    std::fs::write(&token, "first\n").unwrap();
    until("with token", 5, async || fake.names() == ["a"]).await;
    std::fs::write(&token, "second").unwrap();
    consul.publish(&record(2, "b"));
    until("with the new token", 3, async || fake.names() == ["a", "b"]).await;
    let tokens = fake.memory.lock().unwrap().tokens.clone();
    let tokens: Vec<&str> = tokens.iter().flatten().map(String::as_str).collect();
    assert_eq!(tokens, ["first", "first", "second"]);
    assert!(!format!("{consul:?}").contains("second"));
}

#[tokio::test]
async fn case_25_faults_are_survived_and_block_nobody() {
    for mood in [
        Mood::Failing,
        Mood::Resetting,
        Mood::Garbage(b"{\"a\":"),
        Mood::Garbage(b"[1,2]"),
        Mood::Garbage(b"\xff\x00"),
    ] {
        let (fake, address) = Fake::tcp().await;
        fake.set(mood.clone());
        let consul = start(&format!("http://{address}"));
        let begun = Instant::now();
        for number in 0..300 {
            consul.publish(&record(number, "web"));
        }
        consul.withdraw(record(7, "web").id);
        assert!(begun.elapsed() < Duration::from_millis(500), "{mood:?}");
        until("noticed", 3, async || consul.status().error.is_some_and(|error| error != "not asked yet"))
            .await;
        assert!(consul.status().error.is_some_and(|error| !error.contains('\x1b')));
        fake.set(Mood::Fine);
        until("caught up", 8, async || fake.names().len() == 299 && consul.status().healthy).await;
    }
}

#[tokio::test]
async fn case_25_an_agent_that_hangs_costs_its_timeout() {
    let (fake, address) = Fake::tcp().await;
    fake.set(Mood::Hanging);
    let consul = start(&format!("http://{address}"));
    consul.publish(&record(1, "web"));
    until("noticed", 8, async || {
        consul.status().error.is_some_and(|error| error.contains("no answer within 5s"))
    })
    .await;
    fake.set(Mood::Fine);
    until("caught up", 8, async || fake.names() == ["web"]).await;
}

#[tokio::test]
async fn case_26_an_answer_that_is_lost_leaves_one_entry() {
    let (fake, address) = Fake::tcp().await;
    fake.set(Mood::Mute);
    let consul = start(&format!("http://{address}"));
    consul.publish(&record(1, "web"));
    until("done, and not known to be", 3, async || fake.names() == ["web"] && !consul.status().healthy).await;
    consul.publish(&record(2, "gone"));
    until("done too", 8, async || fake.names() == ["web", "gone"]).await;
    consul.withdraw(record(2, "gone").id);
    fake.set(Mood::Fine);
    until("agreed", 8, async || fake.names() == ["web"] && consul.status().healthy).await;
    // It was looked up, and not asked for again.
    let memory = fake.memory.lock().unwrap();
    let asked = memory.requests.iter().filter(|request| request.contains("/register?")).count();
    assert_eq!((asked, memory.services.len()), (2, 1), "{:?}", memory.requests);
}

#[tokio::test]
async fn one_refused_service_does_not_stop_the_others() {
    let (fake, address) = Fake::tcp().await;
    fake.set(Mood::Refusing("bad"));
    let consul = start(&format!("http://{address}"));
    consul.publish(&record(1, "bad"));
    until("refused", 3, async || consul.check(&record(1, "bad")).is_some_and(|why| why.contains("403")))
        .await;
    assert!(!consul.status().healthy);
    consul.publish(&record(2, "good"));
    let took = until("at once", 3, async || consul.check(&record(2, "good")).is_none()).await;
    assert!(took < Duration::from_millis(900), "not only after the back-off: {took:?}");
    fake.set(Mood::Fine);
    until("then accepted", 5, async || fake.names() == ["bad", "good"]).await;
}

#[tokio::test]
async fn withdrawn_while_it_is_being_registered() {
    let (fake, address) = Fake::tcp().await;
    fake.set(Mood::Slow(Duration::from_millis(500)));
    let consul = start(&format!("http://{address}"));
    consul.publish(&record(1, "web"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    consul.withdraw(record(1, "web").id);
    until("both", 3, async || fake.memory.lock().unwrap().requests.len() == 3).await;
    let requests = fake.memory.lock().unwrap().requests.clone();
    assert!(requests[1].contains("/register?") && requests[2].contains("/deregister/"), "{requests:?}");
    assert!(fake.names().is_empty());
}

#[tokio::test]
async fn only_our_own_entries_are_touched_and_not_before_the_probation() {
    let (fake, address) = Fake::tcp().await;
    let others = ["web", "v6pod-00000000-000000000009", "v6pod-0a0b0c0d-x"];
    for id in others.into_iter().chain(["v6pod-0a0b0c0d-000000000009"]) {
        let service = json!({ "ID": id, "Service": "left" });
        fake.memory.lock().unwrap().services.insert(id.to_owned(), service);
    }
    let mut config = config(&format!("http://{address}"));
    (config.probation, config.sync) = (Duration::from_secs(2), Duration::from_millis(300));
    let consul = Consul::start(config, INSTANCE.parse().unwrap());
    let begun = Instant::now();
    until("removed", 5, async || fake.names().len() == 3).await;
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    assert!(consul.status().healthy);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let left = fake.memory.lock().unwrap().services.keys().cloned().collect::<Vec<_>>();
    assert_eq!(left, ["v6pod-00000000-000000000009", "v6pod-0a0b0c0d-x", "web"]);
}

#[tokio::test]
async fn tampering_is_mended() {
    let (fake, address) = Fake::tcp().await;
    let mut config = config(&format!("http://{address}"));
    config.sync = Duration::from_millis(200);
    let consul = Consul::start(config, INSTANCE.parse().unwrap());
    consul.publish(&record(1, "web"));
    until("registered", 3, async || fake.names() == ["web"]).await;
    let id = "v6pod-0a0b0c0d-000000000001";
    let right = fake.memory.lock().unwrap().services[id].clone();
    for wrong in
        [json!({ "Address": "2001:db8::bad" }), json!({ "Tags": null }), json!({ "Meta": {} }), json!(3)]
    {
        let mut service = right.clone();
        match wrong.as_object() {
            Some(fields) => service.as_object_mut().unwrap().extend(fields.clone()),
            None => service = wrong,
        }
        fake.memory.lock().unwrap().services.insert(id.to_owned(), service);
        until("mended", 3, async || fake.memory.lock().unwrap().services[id] == right).await;
    }
}

#[tokio::test]
async fn case_26_an_agent_that_comes_back_empty_is_filled_again() {
    let (fake, address) = Fake::tcp().await;
    let consul = start(&format!("http://{address}"));
    for number in 0..50 {
        consul.publish(&record(number, "web"));
    }
    until("registered", 5, async || fake.names().len() == 50).await;
    drop(fake);
    consul.withdraw(record(0, "web").id);
    consul.publish(&record(50, "new"));
    until("noticed", 5, async || !consul.status().healthy).await;
    let listener = TcpListener::bind(address).await.unwrap();
    let fake = Fake::on(listener, Arc::<std::sync::Mutex<Memory>>::default());
    until("filled", 8, async || fake.names().len() == 50 && consul.status().healthy).await;
    assert!(fake.names().contains(&"new".to_owned()));
}
