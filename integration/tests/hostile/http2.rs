//! HTTP/2 that is allowed, frame by frame, and an attack all together.

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use tonic::Code;
use v6pod_integration::LATER;
use v6pod_proto::v1::ActivateRequest;

use crate::{
    caller::dial,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Flood, HEADERS, PING, PRIORITY,
        PROTOCOL_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE, flood, frame, headers, long_header, opening,
    },
    holder::Holder,
    site::{NETWORK, Site, refused},
};

const STATUS: &str = "/v6pod.v1.Daemon/Status";
/// A method that takes a job and a while.
const ACTIVATE: &str = "/v6pod.v1.Attachments/Activate";
/// By how much an attack may make the daemon grow, in KiB.
const FLAT: u64 = 4 << 10;

/// Floods as this user, once the daemon has said hello.
fn attack(site: &Site, uid: u32, time: Duration, next: impl FnMut() -> Vec<u8>) -> Flood {
    let mut wire = dial(&site.folder, uid);
    wire.write_all(&opening()).expect("octets can be sent");
    flood(&wire, time, next)
}

/// Odd numbers, as a client numbers its streams.
fn streams() -> impl FnMut() -> u32 {
    let mut last = u32::MAX;
    move || {
        last = last.wrapping_add(2);
        last
    }
}

/// What is sent on a stream of this number.
type Frames = fn(u32) -> Vec<u8>;

#[test]
fn case_16_a_message_over_the_limit_is_refused_unread() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let before = site.resident();
    for size in [64 << 10, 1 << 20, 64 << 20] {
        let request = ActivateRequest { container_id: "x".repeat(size), ..ActivateRequest::default() };
        let outcome = site.client(site.alice.uid(), &[&net]).activate(request);
        refused("a large message", outcome, Code::OutOfRange, "message length too large");
    }
    let after = site.resident();
    assert!(after < before + FLAT, "from {before} to {after} KiB");
    drop((own, net));
    site.is_unharmed();
}

#[test]
fn case_16_headers_over_the_limit_are_not_kept() {
    let site = Site::new(NETWORK);
    let before = site.resident();
    for size in [17 << 10, 64 << 10, 1 << 20] {
        let block = [headers(STATUS), long_header(size)].concat();
        let mut parts = block.chunks(16 << 10);
        let first = frame(HEADERS, END_STREAM, 1, parts.next().expect("there is one"));
        let rest: Vec<_> = parts.collect();
        let more = rest.iter().enumerate().map(|(index, part)| {
            frame(CONTINUATION, if index + 1 == rest.len() { END_HEADERS } else { 0 }, 1, part)
        });
        let octets = first.into_iter().chain(more.flatten()).collect::<Vec<_>>();
        let mut once = Some(octets);
        let end = attack(&site, site.alice.uid(), LATER, || once.take().unwrap_or_default());
        // Just over the limit is answered (431); far over it ends the connection, as does saying no more.
        assert!(end.hung_up.is_some(), "{size}: {end:?}");
    }
    let after = site.resident();
    assert!(after < before + FLAT, "from {before} to {after} KiB");
    site.is_unharmed();
}

/// The daemon ends it, at once and with the reason, and is none the worse for it.
#[track_caller]
fn is_ended<N: FnMut() -> Vec<u8>>(site: &Site, what: &str, new: impl Fn() -> N) {
    let before = site.resident();
    for _ in 0..10 {
        let end = attack(site, site.alice.uid(), LATER, new());
        assert!(end.hung_up.is_some(), "{what}: {end:?}");
        assert!(
            end.farewell.is_none_or(|code| [ENHANCE_YOUR_CALM, PROTOCOL_ERROR].contains(&code)),
            "{what}: {end:?}"
        );
        assert!(end.sent < 1 << 20, "{what}: {end:?}");
        site.serves_bob();
    }
    let after = site.resident();
    assert!(after < before + FLAT, "{what}: from {before} to {after} KiB");
}

#[test]
fn case_17_rapid_reset() {
    let site = Site::new(NETWORK);
    for method in [STATUS, ACTIVATE] {
        is_ended(&site, method, || {
            let mut stream = streams();
            move || {
                let stream = stream();
                let open = frame(HEADERS, END_HEADERS, stream, &headers(method));
                [open, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
            }
        });
    }
    site.is_unharmed();
    site.log_is_clean();
}

#[test]
fn case_17_resets_that_the_daemon_is_made_to_send() {
    let site = Site::new(NETWORK);
    let open = |stream| frame(HEADERS, END_HEADERS, stream, &headers(ACTIVATE));
    let faults: [(&str, Frames); 3] = [
        ("a window of nothing more", |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])),
        ("a window beyond measure", |stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())),
        ("a stream that depends on itself", |stream| {
            frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[0]].concat())
        }),
    ];
    for (what, fault) in faults {
        is_ended(&site, what, || {
            let mut stream = streams();
            move || {
                let stream = stream();
                [open(stream), fault(stream)].concat()
            }
        });
    }
    site.is_unharmed();
}

#[test]
fn case_17_continuation_without_end() {
    let site = Site::new(NETWORK);
    for (what, part) in [("empty", vec![]), ("small", long_header(10)), ("full", long_header(15 << 10))] {
        is_ended(&site, what, || {
            let (mut first, part) = (true, &part);
            move || {
                if std::mem::take(&mut first) {
                    return frame(HEADERS, END_STREAM, 1, &headers(STATUS));
                }
                frame(CONTINUATION, 0, 1, part)
            }
        });
    }
    site.is_unharmed();
}

#[test]
fn case_17_messages_of_nothing() {
    let site = Site::new(NETWORK);
    is_ended(&site, "empty DATA", || {
        let mut first = true;
        move || {
            if std::mem::take(&mut first) {
                return frame(HEADERS, END_HEADERS, 1, &headers(STATUS));
            }
            frame(DATA, 0, 1, &[]).repeat(100)
        }
    });
    site.is_unharmed();
}

/// No frame of these is wrong, and no library ends a connection for them. It is their number that tells.
#[test]
fn case_17_cheap_frames_cost_who_sends_them() {
    let site = Site::new(NETWORK);
    let frames: [(&str, Vec<u8>); 5] = [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 0])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xfa, 0, 0, &[])),
    ];
    for (what, one) in frames {
        let many = one.repeat(1000);
        let flood_as = |uid| {
            let (cpu, start) = (site.cpu(), Instant::now());
            let (sent, bob) = thread::scope(|scope| {
                let attack = || attack(&site, uid, Duration::from_secs(2), || many.clone()).sent;
                let attackers: Vec<_> = (0..4).map(|_| scope.spawn(attack)).collect();
                let mut waited = Vec::new();
                while !attackers.iter().all(thread::ScopedJoinHandle::is_finished) {
                    let asked = Instant::now();
                    site.client(site.bob.uid(), &[]).list().expect("bob is served");
                    waited.push(asked.elapsed());
                    thread::sleep(Duration::from_millis(20));
                }
                waited.sort_unstable();
                // The middle one: what else the machine does is not counted.
                let bob = waited[waited.len() / 2];
                let sent = attackers.into_iter().map(|one| one.join().expect("it ends well"));
                (sent.sum::<usize>(), bob)
            });
            let share = (site.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
            eprintln!("{what} by uid {uid}: {sent} octets, {share:.2} of a processor, bob waited {bob:?}");
            (sent, share, bob)
        };
        let (sent, share, bob) = flood_as(site.alice.uid());
        assert!(sent < 3 << 20 && bob < site.prompt(), "{what}");
        // The control: nobody limits root.
        let (sent, unlimited, _) = flood_as(0);
        assert!(sent > 3 << 20, "{what}: no attack");
        // A slow processor has more to do with the same frames.
        assert!(share < unlimited / 2.0 || share < 0.5, "{what}: {share} of a processor, root {unlimited}");
    }
    site.is_unharmed();
}
