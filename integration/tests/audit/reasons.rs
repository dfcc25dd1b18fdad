//! Why a life ended.

use v6pod_integration::Namespaces;

use crate::site::{CONFIGURATION, Site};

#[test]
fn the_owner_or_an_administrator_said_so() {
    let site = Site::new("");
    let (_one, own) = site.attach(&site.alice, "own");
    let (_other, others) = site.attach(&site.alice, "others");
    site.alice.run(["v6pod", "detach", "own"]);
    site.host.run(["v6pod", "detach", &others.id]);
    assert_eq!(site.ended(&own.address).how(), ("detach", false));
    assert_eq!(site.ended(&others.address).how(), ("administrator", false));
}

#[test]
fn the_lease_or_the_namespace_ended() {
    let site = Site::new("");
    let held = Namespaces::new(&site.alice, 1);
    let (mut client, leased) = site.alice.hold(&held, "leased");
    let (namespace, bare) = site.attach(&site.alice, "bare");
    client.kill9();
    namespace.kill();
    assert_eq!(site.ended(&leased.address).how(), ("lease", false));
    assert_eq!(site.ended(&bare.address).how(), ("namespace", false));
}

#[test]
fn another_namespace_came_for_the_same_container() {
    let site = Site::new("");
    let namespaces = Namespaces::new(&site.alice, 2);
    for pid in namespaces.pids() {
        let words = ["v6pod", "attach", "--container-id", "c0ffee", "--name", "web", &pid.to_string()];
        site.alice.run(words);
    }
    let lives = site.history(&["c0ffee"]);
    assert_eq!((lives.len(), &lives[0].end), (2, &None), "{lives:#?}");
    assert_eq!(lives[1].how(), ("replaced", false));
}

#[test]
fn what_is_learnt_later_is_in_the_history() {
    let site = Site::new("");
    let (namespace, attached) = site.attach(&site.alice, "");
    let pid = namespace.pids()[0].to_string();
    site.alice.run(["v6pod", "attach", "--container-id", "c0ffee", "--name", "late", &pid]);
    let life = site.history(&["late"]).remove(0);
    assert_eq!((&life.id, life.container.as_str()), (&attached.id, "c0ffee"));
    namespace.kill();
    let ended = site.ended("late");
    assert_eq!((&ended.container, &ended.start), (&life.container, &life.start));
}

#[test]
fn the_network_is_gone() {
    let mut site = Site::new("");
    let (_namespace, attached) = site.attach(&site.alice, "web");
    site.daemon.stop();
    site.daemon.configure(&CONFIGURATION.replace("db8:1", "db8:2"));
    site.daemon.start();
    assert_eq!(site.ended(&attached.address).how(), ("network", true));
}

#[test]
fn an_attach_that_failed_is_nobodys_life() {
    let mut site = Site::new("");
    site.daemon.stop();
    site.daemon.fault(Some("fail:attach.up")).start();
    let namespace = Namespaces::new(&site.alice, 1);
    site.alice.try_attach(&namespace, "web").expect_failure();
    assert_eq!(site.history(&[]), []);
}
