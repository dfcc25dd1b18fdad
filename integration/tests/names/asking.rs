//! Who is answered, and what is passed on.

use v6pod_integration::{Background, Host, LATER, Namespaces, Net, User, eventually};

use crate::{
    dig::{Answer, arguments, ask, dig},
    site::{GATEWAY, PREFIX, Site, address, configuration, run},
};

/// Starts a name server that knows every name as 192.0.2.7 and 2001:db8:53::7, and logs what it is asked.
fn upstream(host: &Host, address: &str, port: &str) -> Background {
    host.write("/tmp/upstream.py", include_str!("upstream.py"));
    let server = host.spawn(["python3", "/tmp/upstream.py", address, port]);
    let question = ["ready.example", "A"];
    eventually(LATER, || match dig(host, &format!("{address}#{port}"), &question) {
        answer if answer.is("192.0.2.7") => Ok(()),
        answer => Err(format!("{answer}\n{server}")),
    });
    server
}

/// Asks the built-in DNS from within a container's network, with the host's dig.
fn from_container(user: &User, container: &str, question: &[&str]) -> Answer {
    ask(user.container_net(container, arguments(GATEWAY, question)))
}

/// Resolves a name within a container, with the container's own program.
#[track_caller]
fn nslookup(user: &User, container: &str, name: &str) -> String {
    user.podman(["exec", container, "nslookup", "-type=aaaa", name, GATEWAY]).stdout
}

#[test]
fn containers_resolve_each_other_whoever_owns_them() {
    let site = Site::new(&["alice", "bob"]);
    let (alice, bob) = (site.host.user("alice"), site.host.user("bob"));
    let web = site.start(&alice, "web");
    let (other, far) = (site.start(&alice, "other"), site.start(&bob, "far"));
    for (user, container, name, address) in [
        (&alice, "other", "web.v6pod", &web),
        (&bob, "far", "web.v6pod", &web),
        (&alice, "web", "far.v6pod", &far),
        (&alice, "web", "web.v6pod", &web),
        (&bob, "far", "other.v6pod", &other),
    ] {
        let answer = nslookup(user, container, name);
        assert!(
            answer.contains(&format!("Address: {address}")),
            "{container}: {name} is not {address}\n{answer}"
        );
    }
    let reverse = bob.podman(["exec", "far", "nslookup", &web, GATEWAY]);
    assert!(reverse.stdout.contains("name = web.v6pod"), "{reverse}");
    let absent = alice.try_podman(["exec", "web", "nslookup", "-type=aaaa", "none.v6pod", GATEWAY]);
    assert!(absent.expect_failure().stdout.contains("NXDOMAIN"));
    assert!(from_container(&bob, "far", &["+tcp", "web.v6pod", "AAAA"]).is(&web));
}

#[test]
fn other_names_are_passed_on_to_the_configured_server() {
    let host = Host::new("one", &["alice"]);
    let upstream = upstream(&host, "127.0.0.1", "5300");
    let _daemon = host.daemon(&format!("prefix = \"{PREFIX}\"\n[dns]\nforward = [\"127.0.0.1:5300\"]\n"));
    let alice = host.user("alice");
    run(&alice, "web");
    for way in ["+notcp", "+tcp"] {
        assert!(dig(&host, GATEWAY, &[way, "www.example.org", "A"]).is("192.0.2.7"));
        assert!(from_container(&alice, "web", &[way, "www.example.org", "AAAA"]).is("2001:db8:53::7"));
    }
    assert!(nslookup(&alice, "web", "inside.example.org").contains("Address: 2001:db8:53::7"));
    // Ours are not passed on, even those there are not.
    assert!(dig(&host, GATEWAY, &["web.v6pod", "AAAA"]).is(&address(&alice, "web")));
    assert!(dig(&host, GATEWAY, &["none.v6pod", "AAAA"]).is_absent());
    assert!(dig(&host, GATEWAY, &["-x", "2001:db8:1::2"]).is_absent());
    let log = upstream.log();
    assert!(log.contains("www.example.org 1\n") && log.contains("inside.example.org 28\n"), "{log}");
    assert!(!log.contains("v6pod") && !log.contains("ip6.arpa"), "{log}");
}

#[test]
fn other_names_are_passed_on_to_consul() {
    let mut site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    let web = site.start(&alice, "web");
    site.daemon.configure(&configuration("").replace("forward = []", "forward = [\"127.0.0.1:8600\"]"));
    site.daemon.restart();
    eventually(LATER, || match from_container(&alice, "web", &["web.service.consul", "AAAA"]) {
        answer if answer.is(&web) => Ok(()),
        answer => Err(answer),
    });
}

#[test]
fn without_a_word_other_names_go_where_the_hosts_own_go() {
    let host = Host::new("one", &["alice"]);
    let upstream = upstream(&host, "127.0.0.1", "53");
    let _daemon = host.daemon(&format!("prefix = \"{PREFIX}\"\n"));
    let alice = host.user("alice");
    run(&alice, "web");
    assert_eq!(host.run(["cat", "/etc/resolv.conf"]).text(), "nameserver 127.0.0.1");
    assert!(from_container(&alice, "web", &["www.example.org", "AAAA"]).is("2001:db8:53::7"));
    assert!(upstream.log().contains("www.example.org 28\n"));
}

#[test]
fn a_silent_server_costs_containers_nothing_but_the_answer() {
    let mut site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    let web = site.start(&alice, "web");
    assert_eq!(from_container(&alice, "web", &["www.example.org", "AAAA"]).status, "REFUSED");
    // Discard: takes everything, says nothing.
    let _silent = site.host.spawn(["socat", "-u", "udp4-recv:5300,bind=127.0.0.1", "open:/dev/null"]);
    site.daemon.configure(&configuration("").replace("forward = []", "forward = [\"127.0.0.1:5300\"]"));
    site.daemon.restart();
    eventually(LATER, || site.in_dns("web", &web));
    // Each from a port of its own: digs that run at the same time may otherwise be given the same one.
    let many = r#"for n in {1..40}; do dig -b "::#$((40000 + n))" "$@" & done; wait"#;
    let asking = arguments(GATEWAY, &["+time=6", "www.example.org", "AAAA"]);
    let words = ["bash", "-c", many].into_iter().chain(asking.iter().map(String::as_str));
    let mut asking = alice.container_net("web", words).spawn();
    assert_eq!(site.in_dns("web", &web), Ok(()));
    assert!(from_container(&alice, "web", &["web.v6pod", "AAAA"]).is(&web));
    asking.wait(LATER);
    assert_eq!(asking.log().matches("status: SERVFAIL").count(), 40, "{asking}");
}

#[test]
fn strangers_are_refused() {
    let net = Net::new();
    let (host, other) = (Host::new("one", &["alice"]), Host::new("other", &["carol"]));
    let (link, other_link) = (net.join(&host), net.join(&other));
    assert_eq!((link.prefix.as_str(), link.gateway.as_str()), (PREFIX, GATEWAY));
    let upstream = upstream(&host, "127.0.0.1", "5300");
    let _daemon = host.daemon(&format!("prefix = \"{PREFIX}\"\n[dns]\nforward = [\"127.0.0.1:5300\"]\n"));
    let _other = other.daemon(&format!("prefix = \"{}\"\n", other_link.prefix));
    let (alice, carol) = (host.user("alice"), other.user("carol"));
    run(&alice, "web");
    run(&carol, "far");
    let web = address(&alice, "web");
    // Whoever is refused could have been answered: packets go both ways.
    carol.container_net("far", ["ping", "-c1", "-w10", GATEWAY]).run();

    for question in
        [&["web.v6pod", "AAAA"][..], &["-x", &web], &["none.v6pod", "AAAA"], &["leak.example", "A"]]
    {
        let by_udp = [
            dig(&other, GATEWAY, question),
            dig(net.router(), GATEWAY, question),
            from_container(&carol, "far", question),
        ];
        for answer in by_udp {
            assert_eq!(answer.status, "REFUSED", "{question:?}: {answer}");
            assert!(answer.records.is_empty(), "{question:?}: {answer}");
        }
        let by_tcp = dig(&other, GATEWAY, &[&["+tcp"], question].concat());
        assert!(by_tcp.records.is_empty() && by_tcp.status.is_empty(), "{question:?}: {by_tcp}");
    }
    assert!(!upstream.log().contains("leak"), "{upstream}");
    // Nor on the host's own address, for nothing listens there.
    assert_eq!(dig(&other, &link.address, &["web.v6pod", "AAAA"]).status, "");
    assert!(from_container(&alice, "web", &["web.v6pod", "AAAA"]).is(&web));
}

#[test]
fn one_users_many_containers_do_not_take_everybodys_answers() {
    let host = Host::builder("one").user("alice").user("bob").without_wrapper().build();
    let _upstream = upstream(&host, "127.0.0.1", "5300");
    let _daemon = host.daemon(&format!("prefix = \"{PREFIX}\"\n[dns]\nforward = [\"127.0.0.1:5300\"]\n"));
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let (many, one) = (Namespaces::new(&alice, 12), Namespaces::new(&bob, 1));
    alice.attach(&many, 4);
    bob.attach(&one, 1);
    host.write("/tmp/flood.py", include_str!("flood.py"));
    let flood = |pid: &u32| {
        let namespace = format!("--net=/proc/{pid}/ns/net");
        host.spawn(["nsenter", &namespace, "python3", "/tmp/flood.py", GATEWAY])
    };
    let _floods: Vec<_> = many.pids().iter().map(flood).collect();
    let asks = |namespaces: &Namespaces, name: &str| {
        let words = arguments(GATEWAY, &["+time=6", name, "A"]);
        ask(namespaces.inside(&words.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    // The attack: alice has all that she may have.
    eventually(LATER, || match asks(&many, "www.example") {
        answer if answer.status == "SERVFAIL" => Ok(()),
        answer => Err(answer),
    });
    for number in 0..10 {
        let answer = asks(&one, &format!("www{number}.example"));
        assert!(answer.is("192.0.2.7"), "{number}: {answer}");
    }
}
