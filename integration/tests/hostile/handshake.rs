//! Connections on which nothing is ever asked, or not to its end.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use tonic::Code;
use v6pod_integration::{LATER, eventually};
use v6pod_proto::v1::{StatusRequest, WatchRequest, daemon_client::DaemonClient};

use crate::{
    caller::{Client, PREFACE, dial, pass},
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, call, frame, header, headers, opening},
    holder::Holder,
    site::{NETWORK, Site, refused},
};

/// Within this, silence ends.
const LIMIT: Duration = Duration::from_secs(5);
const STATUS: &str = "/v6pod.v1.Daemon/Status";
const ACTIVATE: &str = "/v6pod.v1.Attachments/Activate";

/// Writes one octet a second and takes whatever is answered, until it is hung up on; gives how long that took.
fn trickle(mut wire: &UnixStream, octets: &[u8]) -> Duration {
    let start = Instant::now();
    wire.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout can be set");
    let mut octets = octets.iter();
    let mut buffer = [0; 4096];
    while start.elapsed() < LATER {
        match wire.read(&mut buffer) {
            Ok(0) => return start.elapsed(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return start.elapsed(),
            Ok(_) => continue,
            Err(_) => {}
        }
        // If it has hung up just now, reading says so.
        let _ = octets.next().map(|octet| wire.write_all(&[*octet]));
    }
    panic!("the connection is still there after {:?}", start.elapsed());
}

#[test]
fn case_15_who_does_not_come_to_the_point_is_hung_up_on() {
    let site = Site::new(NETWORK);
    let endless = [&opening()[..], &frame(HEADERS, 0, 1, &headers(STATUS))].concat();
    let whole = [opening(), call(1, STATUS)].concat();
    let attacks: [(&str, &[u8], &[u8]); 6] = [
        ("silence", &[], &[]),
        ("half a preface", &PREFACE[..12], &[]),
        ("a preface", PREFACE, &[]),
        ("a preface, an octet a second", &[], PREFACE),
        ("headers, an octet a second", &opening(), &frame(HEADERS, END_HEADERS, 1, &headers(STATUS))),
        ("headers without an end", &endless, &[]),
    ];
    thread::scope(|scope| {
        for (what, at_once, slowly) in attacks {
            let site = &site;
            scope.spawn(move || {
                let mut wire = dial(&site.folder, site.alice.uid());
                wire.write_all(at_once).expect("octets can be sent");
                let took = trickle(&wire, slowly);
                // The daemon's limit is 4 s; the next one is 60 s.
                assert!(took < 3 * LIMIT, "{what}: {took:?}");
            });
        }
        // The control: who asked something may be silent after that.
        let mut polite = dial(&site.folder, site.alice.uid());
        polite.write_all(&whole).expect("octets can be sent");
        thread::sleep(LIMIT + Duration::from_secs(1));
        polite.set_nonblocking(true).expect("a socket can be made non-blocking");
        let mut answer = [0; 4096];
        while polite.read(&mut answer).is_ok_and(|count| count > 0) {}
        let error = polite.read(&mut answer).expect_err("nothing more has come, and no end");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        site.serves_bob();
    });
    site.is_unharmed();
}

#[test]
fn case_15_silence_after_a_call_ends_too_but_not_a_watch() {
    let site = Site::new(NETWORK);
    let watcher = site.client(site.alice.uid(), &[]);
    let mut events = watcher.wait(watcher.attachments().watch(WatchRequest {})).expect("alice may watch");
    watcher.within(events.message()).expect("an event").expect("the list is complete");

    let mut idle = dial(&site.folder, site.alice.uid());
    idle.write_all(&[opening(), call(1, STATUS)].concat()).expect("octets can be sent");
    let start = Instant::now();
    idle.set_read_timeout(Some(Duration::from_secs(90))).expect("a timeout can be set");
    let mut answer = [0; 4096];
    while idle.read(&mut answer).expect("an answer, and then the end") > 0 {}
    let idled = start.elapsed();
    assert!(idled > Duration::from_secs(50) && idled < Duration::from_secs(85), "{idled:?}");

    // The watch is as old, and has had nothing to say.
    site.serves_bob();
    let own = Holder::own(&site.alice);
    site.alices(&[&own.net()], ()).expect("alice is served");
    let event = watcher.within(events.message()).expect("an event").expect("the watch goes on");
    assert!(event.attachment.is_some(), "{event:?}");
    let mut daemon = DaemonClient::new(watcher.channel());
    watcher.wait(daemon.status(StatusRequest {})).expect("and so does its connection");
    drop((own, events, watcher, daemon, idle));
    site.is_unharmed();
}

/// By the daemon's own clock: the caller here has none.
#[test]
fn case_15_a_call_has_as_long_as_it_asks_for() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    // Whether an attach is answered with a message, and not with a refusal alone.
    let is_served = |timeout: &str| {
        let mut wire = dial(&site.folder, site.alice.uid());
        pass(&wire, &PREFACE[..1], &[net.as_fd()]).expect("an octet can be sent");
        let headers = [headers(ACTIVATE), header("grpc-timeout", timeout)].concat();
        let frames = [frame(HEADERS, END_HEADERS, 1, &headers), frame(DATA, END_STREAM, 1, &[0; 5])].concat();
        wire.write_all(&[&opening()[1..], &frames].concat()).expect("octets can be sent");
        wire.set_read_timeout(Some(LATER)).expect("a timeout can be set");
        let mut message = false;
        loop {
            let mut head = [0; 9];
            wire.read_exact(&mut head).expect("an answer");
            let [a, b, c, kind, flags, stream @ ..] = head;
            wire.read_exact(&mut vec![0; u32::from_be_bytes([0, a, b, c]) as usize]).expect("its rest");
            if u32::from_be_bytes(stream) == 1 {
                message |= kind == DATA;
                if flags & END_STREAM != 0 {
                    return message;
                }
            }
        }
    };
    assert!(!is_served("1n"));
    assert!(is_served("20S"));
    assert!(is_served("soon"), "what is no time is no limit");
    drop((own, net));
    eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("it ends with its namespace") });
    site.is_unharmed();
}

#[test]
fn case_18_watches_of_one_user() {
    const OF_ONE: usize = 16;
    let site = Site::new(NETWORK);
    let first = site.client(site.alice.uid(), &[]);
    let second = site.client(site.alice.uid(), &[]);
    let watch = |client: &Client| client.wait(client.attachments().watch(WatchRequest {}));
    let mut watches: Vec<_> = (0..OF_ONE).map(|_| watch(&first).expect("as many as she may have")).collect();
    // Neither here nor over another connection.
    for client in [&first, &second] {
        refused("one more", watch(client), Code::ResourceExhausted, "too many calls at once");
    }
    // Other calls, other users and administrators have their own.
    first.list().expect("alice may ask");
    let bob = site.client(site.bob.uid(), &[]);
    drop(watch(&bob).expect("bob may watch"));
    let root = site.client(0, &[]);
    let many: Vec<_> = (0..2 * OF_ONE).map(|_| watch(&root).expect("root may")).collect();
    watches.pop();
    // One that ends makes room; the client says so when it says something next.
    first.list().expect("alice may ask");
    let third = site.client(site.alice.uid(), &[]);
    eventually(LATER, || watch(&third).map(drop));
    drop((many, watches, first, second, third, bob, root));
    site.is_unharmed();
}
