//! A user's network namespace, and a socket in it that finds out when it can be used.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Gid, Uid},
    thread::{
        LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};

/// Where the host echoes.
const PORT: u16 = 7007;
/// How long a reply is waited for before the next packet.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000 };
/// After that it will never be usable.
const LIMIT: Duration = Duration::from_secs(20);

/// Does something on a thread that has a user's identity, and whose children have it.
pub fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
        set_thread_groups(&[]).and_then(|()| set_thread_res_gid(gid, gid, gid)).expect("root may");
        set_thread_res_uid(uid, uid, uid).expect("root may");
        work()
    };
    thread::scope(|scope| scope.spawn(enter).join().expect("the thread does not panic"))
}

/// Does something on a thread inside a namespace.
pub fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
        work()
    };
    thread::scope(|scope| scope.spawn(enter).join().expect("the thread does not panic"))
}

/// A namespace as rootless engines make them, and the process that holds it.
pub struct Namespace {
    holder: Child,
    file: File,
}

impl Namespace {
    /// A new one, owned by a user namespace of this user.
    pub fn new(uid: u32) -> Self {
        let script = "echo ready; exec sleep 10000";
        let start = || {
            Command::new("unshare")
                .args(["--user", "--map-root-user", "--net", "--", "sh", "-c", script])
                .stdout(Stdio::piped())
                .spawn()
                .expect("unshare can be started")
        };
        let mut holder = as_user(uid, start);
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line, "ready\n", "no namespace");
        let file = File::open(format!("/proc/{}/ns/net", holder.id())).expect("the holder lives");
        Self { holder, file }
    }

    /// Where it is.
    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// A descriptor of it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A socket inside.
    pub fn socket(&self) -> Socket {
        let socket = inside(&self.file, || UdpSocket::bind("[::]:0").expect("a socket"));
        socket.set_nonblocking(true).expect("a socket");
        Socket(socket)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A socket inside a namespace.
pub struct Socket(UdpSocket);

impl Socket {
    /// Sends until the gateway answers.
    pub fn first_reply(&self, gateway: Ipv6Addr) {
        let start = Instant::now();
        while !self.reply(gateway) {
            assert!(start.elapsed() < LIMIT, "{gateway} does not answer");
        }
    }

    /// Sends once, and tells whether an answer came soon.
    fn reply(&self, gateway: Ipv6Addr) -> bool {
        // Without an address or a route it fails; the pause is the same then.
        let _ = self.0.send_to(&[0], SocketAddr::from((gateway, PORT)));
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        let ready = poll(&mut polled, Some(&PAUSE)).unwrap_or(0);
        ready > 0 && self.0.recv(&mut [0; 8]).is_ok()
    }

    /// The time of one exchange, on an interface that is in use.
    pub fn round_trip(&self, gateway: Ipv6Addr) -> Duration {
        let start = Instant::now();
        self.first_reply(gateway);
        start.elapsed()
    }
}

/// Echoes whatever comes to the host.
pub fn start_echo() {
    let socket = UdpSocket::bind(("::", PORT)).expect("a socket");
    thread::spawn(move || {
        let mut packet = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let _ = socket.send_to(&packet[..length], from);
        }
    });
}

/// The first address of a /80.
pub fn gateway(prefix: &str) -> Ipv6Addr {
    format!("{prefix}1").parse().expect("an address")
}
