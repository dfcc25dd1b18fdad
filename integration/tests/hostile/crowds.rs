//! Very many connections: of one user, of very many users, and more than the daemon has descriptors for.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use v6pod_integration::{LATER, eventually};

use crate::{
    caller::dial,
    frames::{call, opening},
    holder::Holder,
    site::{NETWORK, Site},
};

const STATUS: &str = "/v6pod.v1.Daemon/Status";
/// What one user may have.
const OF_ONE: usize = 128;
/// What all may have; the second half of it is for those who have little.
const OF_ALL: usize = 2048;
/// What is little.
const LITTLE: usize = OF_ONE / 16;
/// Descriptors that suffice for anything here.
const ENOUGH: usize = 4096;

/// Limits the daemon's descriptors, in a way that can be taken back.
fn limit(site: &Site, descriptors: usize) {
    let pid = Some(site.pid());
    let maximum = prlimit(pid, Resource::Nofile, getrlimit(Resource::Nofile)).expect("root may").maximum;
    let current = Some(descriptors as u64);
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).expect("root may limit");
}

/// Connections of this user's that asked something once, so that they may be idle for long.
fn idle(site: &Site, uid: u32, count: usize) -> Vec<UnixStream> {
    let octets = [opening(), call(1, STATUS)].concat();
    let dialled = (0..count).map(|_| {
        let mut wire = dial(&site.folder, uid);
        // Or dropped already.
        let _ = wire.write_all(&octets);
        wire.set_nonblocking(true).expect("a socket can be made non-blocking");
        wire
    });
    dialled.collect()
}

/// Whether it was not dropped.
fn is_there(mut wire: &UnixStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match wire.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// How many are still there once the daemon has come to see them all.
fn left(wires: &[UnixStream]) -> usize {
    let count = || wires.iter().filter(|wire| is_there(wire)).count();
    let mut former = usize::MAX;
    eventually(LATER, || {
        thread::sleep(Duration::from_millis(200));
        let now = count();
        if std::mem::replace(&mut former, now) == now { Ok(now) } else { Err("some are still being dropped") }
    })
}

/// So many, but for a few that a busy machine was too slow for: who says nothing within 4 s is hung up on.
#[track_caller]
fn are(left: usize, expected: usize) {
    assert!(left <= expected && left * 10 > expected * 9, "{left} and not {expected}");
}

#[test]
fn case_18_a_thousand_idle_connections_of_one_user() {
    let site = Site::new(NETWORK);
    let (descriptors, memory) = (site.descriptors(), site.resident());
    let wires = idle(&site, site.alice.uid(), 1000);
    let left = left(&wires);
    eprintln!("{left} of 1000 connections, {} KiB more than before", site.resident() - memory);
    are(left, OF_ONE);
    assert!(site.descriptors() <= descriptors + OF_ONE);
    assert!(site.resident() < memory + (16 << 10));
    site.serves_bob();
    assert_eq!(site.count(), 0, "root is served");
    // It was her own room that she took, and it is hers again.
    drop(wires);
    let own = Holder::own(&site.alice);
    eventually(LATER, || site.client(site.alice.uid(), &[&own.net()]).activate(()));
    drop(own);
    site.is_unharmed();
    site.log_is_clean();
    let lines = site.daemon.log().matches("a user who has too many").count();
    assert!(lines > 0 && lines < 500, "{lines} lines");
}

#[test]
fn case_18_as_many_idle_connections_of_as_many_users() {
    const USERS: usize = 40;
    let site = Site::new(NETWORK);
    let descriptors = site.descriptors();
    // Nobody's uids: no account is needed to connect.
    let wires: Vec<_> = (3_000_000_000..).take(USERS).flat_map(|uid| idle(&site, uid, OF_ONE)).collect();
    let left = left(&wires);
    eprintln!("{left} of {} connections", wires.len());
    // The first take one half, each of the others little of the other one.
    let first = OF_ALL / 2 / OF_ONE;
    are(left, first * OF_ONE + (USERS - first) * LITTLE);
    assert!(site.descriptors() <= descriptors + OF_ALL);
    site.serves_bob();
    assert_eq!(site.count(), 0, "root is served");
    drop(wires);
    site.is_unharmed();
}

#[test]
fn case_11_no_descriptor_is_left() {
    let site = Site::new(NETWORK);
    let before = site.descriptors();
    limit(&site, before + 20);
    // Root is who nothing else stops.
    let wires = idle(&site, 0, 100);
    eventually(LATER, || {
        let rests = site.daemon.log().contains("accepting rests");
        if rests { Ok(()) } else { Err("it has enough") }
    });
    let (cpu, start) = (site.cpu(), Instant::now());
    thread::sleep(Duration::from_secs(3));
    let share = (site.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < 0.1, "{share} of a processor");
    let lines = site.daemon.log().matches("accepting rests").count();
    assert!(lines < 10, "{lines} lines");
    // It is still there, and recovers by itself.
    drop(wires);
    eventually(LATER, || {
        let client = site.client(0, &[]);
        client.list().map_err(|status| status.to_string())
    });
    limit(&site, ENOUGH);
    site.is_unharmed();
}

/// Nor for what an attach takes: it fails, says why, and leaves nothing.
#[test]
fn case_11_no_descriptor_is_left_for_an_attach() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let before = site.descriptors();
    let mut failed = 0;
    for spare in 0..12 {
        let client = site.client(site.alice.uid(), &[&net]);
        client.list().expect("alice is served");
        limit(&site, before + spare);
        let outcome = client.activate(());
        limit(&site, ENOUGH);
        match outcome {
            Ok(answer) => {
                site.deactivate(site.alice.uid(), &answer.attachment.expect("the answer holds it").id);
            }
            Err(status) => {
                failed += 1;
                assert!(status.message().contains("Too many open files"), "{spare}: {status}");
            }
        }
        drop(client);
        assert!(site.ports().is_empty(), "{spare}: {:?}", site.ports());
    }
    assert!(failed > 2 && failed < 12, "{failed}");
    drop((own, net));
    site.is_unharmed();
}
