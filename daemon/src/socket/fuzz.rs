//! For the fuzzer: connections of a stranger who chooses what to write, in which pieces, and which of them
//! descriptors come with.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    os::unix::net,
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown};
use tokio::{io::AsyncReadExt as _, net::UnixStream, runtime::Builder, time::timeout};
use tonic::service::Routes;

use super::{
    Caller, Shares, Stream, connection,
    limits::{PASSED, connections},
};
use crate::auth::{Closing, Peer, Subids};

const UID: u32 = 1000;
/// At most so many descriptors in a message.
const MOST: usize = 5;
/// A client's first words in HTTP/2, and the least that has to follow (RFC 9113, section 3.4).
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Descriptors that a process at rest stays below.
const FEW: i32 = 96;

/// Octets, and how many descriptors come with them.
type Piece<'a> = (&'a [u8], usize);

/// Reads these pieces as the daemon does, and then serves them.
pub fn connection(data: &[u8]) {
    let pieces = pieces(data);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let shares = Shares::new(connections(1 << 20, 0), Arc::new(Subids::new(Path::new("/nonexistent"))));
    let caller = || {
        let seat = shares.seat(Some(UID), Closing::of(UID)).expect("a seat");
        Caller::new(Peer::made_up(UID), UID, seat)
    };
    runtime.block_on(async {
        read(&pieces, caller()).await;
        serve(&pieces, caller()).await;
    });
    all_closed();
}

/// One octet says how many descriptors, the next how many octets; then these.
fn pieces(mut data: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let [descriptors, length, rest @ ..] = data {
        let (octets, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        // A message of nothing carries nothing.
        if !octets.is_empty() {
            pieces.push((octets, usize::from(*descriptors) % (MOST + 1)));
        }
        data = rest;
    }
    pieces
}

/// Whatever arrives is what was written, and there are never more descriptors than allowed.
async fn read(pieces: &[Piece<'_>], caller: Caller) {
    let (ours, theirs) = pair();
    let written = write(&ours, pieces);
    shutdown(&ours, Shutdown::Write).expect("a socket");
    let mut stream = Stream::new(theirs, caller.clone());
    let mut found = Vec::new();
    let mut buffer = [0; 100];
    let outcome = loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(count) => found.extend_from_slice(&buffer[..count]),
            Err(error) => break Err(error),
        }
    };
    let sent: usize = pieces[..written].iter().map(|(_, descriptors)| descriptors).sum();
    let octets: Vec<u8> = pieces[..written].iter().flat_map(|(octets, _)| *octets).copied().collect();
    let kept = caller.passed().len();
    if sent > PASSED {
        assert!(
            outcome.is_err() && kept <= PASSED,
            "{sent} descriptors were passed: {outcome:?}, {kept} kept"
        );
        assert!(octets.starts_with(&found), "other octets were read than written");
    } else {
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!((kept, &found), (sent, &octets));
    }
}

/// The same after a client's first words, to the end of the connection.
async fn serve(pieces: &[Piece<'_>], caller: Caller) {
    let (ours, theirs) = pair();
    write(&ours, &[(OPENING, 0)]);
    write(&ours, pieces);
    shutdown(&ours, Shutdown::Write).expect("a socket");
    let (_reporter, health) = tonic_health::server::health_reporter();
    let served = connection::serve(theirs, caller, Routes::new(health));
    timeout(Duration::from_secs(5), served).await.expect("it ends when its client has");
}

fn pair() -> (net::UnixStream, UnixStream) {
    let (ours, theirs) = net::UnixStream::pair().expect("a pair");
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).expect("a socket");
    }
    (ours, UnixStream::from_std(theirs).expect("a socket"))
}

/// Writes as many pieces as there is room for; gives how many.
fn write(socket: &net::UnixStream, pieces: &[Piece<'_>]) -> usize {
    let null: OwnedFd = std::fs::File::open("/dev/null").expect("there is one").into();
    let mut written = 0;
    for (octets, descriptors) in pieces {
        let descriptors: Vec<BorrowedFd<'_>> = (0..*descriptors).map(|_| null.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        }
        match sendmsg(socket, &[IoSlice::new(octets)], &mut control, SendFlags::NOSIGNAL) {
            Ok(count) if count == octets.len() => written += 1,
            _ => break,
        }
    }
    written
}

/// Nothing waits to be closed any more, and nothing is left open.
fn all_closed() {
    while Closing::of(UID).user > 0 {
        thread::yield_now();
    }
    let next = std::fs::File::open("/dev/null").expect("there is one");
    let number = std::os::fd::AsRawFd::as_raw_fd(&next);
    assert!(number < FEW, "descriptor {number}: some are left open");
}
