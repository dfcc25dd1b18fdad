//! HTTP/2 frames put together by hand, as no client library sends them (RFC 9113, RFC 7541).

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::caller::PREFACE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The error code of who was sent nonsense.
pub const PROTOCOL_ERROR: u32 = 1;
/// The error code of who has had enough.
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client says first.
pub fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The headers of a call of this method, unpacked.
pub fn headers(method: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // :method: POST, :scheme: http
    for (name, value) in
        [(&[0x04][..], method), (&[0x01], "localhost"), (&[0x0f, 0x10], "application/grpc+proto")]
    {
        block.extend(name);
        block.extend(text(value));
    }
    block.push(0);
    block.extend(text("te"));
    block.extend(text("trailers"));
    block
}

/// A header of the caller's own with so many octets.
pub fn long_header(octets: usize) -> Vec<u8> {
    header("x-long", &"x".repeat(octets))
}

/// One more header.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// Text without compression; its length is an integer of a prefix of 7 bits (RFC 7541, section 5.1).
fn text(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    if text.len() < 127 {
        octets.push(u8::try_from(text.len()).expect("it is small"));
    } else {
        octets.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            octets.push(u8::try_from(rest % 128).expect("7 bits") | 0x80);
            rest /= 128;
        }
        octets.push(u8::try_from(rest).expect("7 bits"));
    }
    octets.extend(text.as_bytes());
    octets
}

/// A call with an empty message.
pub fn call(stream: u32, method: &str) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, &headers(method)), frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// What became of a flood.
#[derive(Debug, Default)]
pub struct Flood {
    /// Octets that the daemon took.
    pub sent: usize,
    /// After how long it hung up, if it did.
    pub hung_up: Option<Duration>,
    /// The error code with which it took leave, if it said one.
    pub farewell: Option<u32>,
}

/// Sends what `next` gives, and takes what is answered, until the daemon hangs up or time is up.
pub fn flood(mut wire: &UnixStream, time: Duration, mut next: impl FnMut() -> Vec<u8>) -> Flood {
    wire.set_nonblocking(true).expect("a socket can be made non-blocking");
    let (mut flood, start) = (Flood::default(), Instant::now());
    let (mut answer, mut pending) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 64 << 10];
    while start.elapsed() < time && flood.hung_up.is_none() {
        if pending.is_empty() {
            pending = next();
        }
        let before = (flood.sent, answer.len());
        match wire.write(&pending) {
            Ok(count) => {
                pending.drain(..count);
                flood.sent += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // What it said before is still there.
            Err(_) => flood.hung_up = Some(start.elapsed()),
        }
        loop {
            match wire.read(&mut buffer) {
                Ok(0) => flood.hung_up = Some(start.elapsed()),
                Ok(count) => {
                    answer.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => flood.hung_up = Some(start.elapsed()),
            }
            break;
        }
        if before == (flood.sent, answer.len()) {
            let either = PollFlags::IN | PollFlags::OUT;
            let tick = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            poll(&mut [PollFd::from_borrowed_fd(wire.as_fd(), either)], Some(&tick)).expect("poll");
        }
    }
    flood.farewell = farewell(&answer);
    flood
}

/// The error code of the last GOAWAY frame among these.
fn farewell(mut answer: &[u8]) -> Option<u32> {
    let mut found = None;
    while let Some((head, rest)) = answer.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if head[3] == GOAWAY {
            found = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("4 octets")));
        }
        answer = rest;
    }
    found
}
