//! What is passed as a lease and is none, and what is done to one.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pipe::{PipeFlags, pipe_with},
};
use tonic::Code;
use v6pod_integration::{LATER, eventually};

use crate::{
    holder::Holder,
    site::{NETWORK, Site, refused},
};

const NO_LEASE: &str = "the second descriptor that was passed is not the read end of a pipe";

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe can be made")
}

fn fifo(site: &Site, flags: OFlags) -> OwnedFd {
    site.host.sh("[ -p /tmp/fifo ] || mkfifo -m 666 /tmp/fifo");
    let path = site.host.path("/tmp/fifo");
    open(&path, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).expect("a FIFO can be opened")
}

#[test]
fn only_the_read_end_of_a_pipe_is_a_lease() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let (read, write) = pipe();
    let (socket, _other) = UnixStream::pair().expect("sockets can be made");
    for (what, lease) in [
        ("a write end", write.try_clone().expect("a copy")),
        ("a socket", socket.into()),
        ("a file", File::open("/proc/self/status").expect("a file").into()),
        ("/dev/null", File::open("/dev/null").expect("a device").into()),
        ("a namespace", own.net()),
        ("a FIFO for both", fifo(&site, OFlags::RDWR)),
        ("a named FIFO", fifo(&site, OFlags::RDONLY)),
    ] {
        refused(what, site.alices(&[&own.net(), &lease], ()), Code::InvalidArgument, NO_LEASE);
        drop(lease);
        site.is_unharmed();
    }
    let answer = site.alices(&[&own.net(), &read], ()).expect("a read end is a lease");
    assert!(answer.attachment.is_some_and(|attachment| attachment.leased));
    drop(read);
    drop(write);
    own.end();
    site.is_unharmed();
}

#[test]
fn a_lease_that_has_ended_already_holds_nothing() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let (read, write) = pipe();
    drop(write);
    site.alices(&[&own.net(), &read], ()).expect("it was attached, for a moment");
    eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("still attached") });
    drop(own);
    drop(read);
    site.is_unharmed();
}

#[test]
fn writing_into_a_lease_wakes_nobody() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let (read, write) = pipe();
    site.alices(&[&own.net(), &read], ()).expect("a read end is a lease");
    let (mut read, mut write) = (File::from(read), File::from(write));
    let (written, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let (woken, wrote) = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let mut wrote = 0u64;
            while !enough.load(Ordering::Relaxed) {
                wrote += u64::from(write.write(b"x").is_ok());
                let _ = read.read(&mut [0; 16]);
                written.store(wrote, Ordering::Relaxed);
            }
            wrote
        });
        let before = site.switches();
        eventually(LATER, || match written.load(Ordering::Relaxed) {
            enough if enough > 100_000 => Ok(()),
            few => Err(format!("only {few} writes")),
        });
        let woken = site.switches() - before;
        // The control: who has something to do is woken.
        site.serves_bob();
        assert!(site.switches() > before + woken, "waking cannot be seen");
        enough.store(true, Ordering::Relaxed);
        (woken, holder.join().expect("the holder"))
    });
    eprintln!("woken {woken} times, at {wrote} writes");
    // It has timers of its own.
    assert!(woken < 500, "the daemon is woken {woken} times, at {wrote} writes");
    drop((read, write, own));
    site.is_unharmed();
}

/// What the daemon may take to start, whoever has how many descriptors open.
const START: Duration = Duration::from_secs(30);

#[test]
fn no_crowd_of_descriptors_keeps_the_daemon_from_starting() {
    let mut site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let (read, write) = pipe();
    site.alices(&[&own.net(), &read], ()).expect("a read end is a lease");
    site.daemon.kill9();
    // Held by nobody, it is looked for everywhere.
    drop((read, write));
    site.host.write("/tmp/crowd.py", include_str!("crowd.py"));
    let crowd = site.alice.spawn(["/usr/bin/python3", "/tmp/crowd.py", "200"]);
    let links = eventually(START, || crowd.log().trim().parse::<u32>().map_err(|_| format!("{crowd}")));
    assert!(links > 150_000, "only {links} descriptors: no attack");
    site.daemon.launch();
    let socket = site.daemon.socket();
    eventually(START, || {
        UnixStream::connect(&socket).map_err(|error| format!("{error}\n{}", site.daemon.log()))
    });
    // It was not looked for to the end: who would, takes it for ended.
    assert_eq!(site.count(), 1, "{}", site.daemon.log());
    site.serves_bob();
    own.end();
    eventually(START, || if site.count() == 0 { Ok(()) } else { Err("still attached") });
    // The control: without a crowd it is found that nobody holds it.
    drop(crowd);
    let own = Holder::own(&site.alice);
    let (read, write) = pipe();
    site.alices(&[&own.net(), &read], ()).expect("a read end is a lease");
    site.daemon.kill9();
    drop((read, write));
    site.daemon.start();
    assert_eq!(site.count(), 0, "{}", site.daemon.log());
}
