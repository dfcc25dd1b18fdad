//! A channel to the daemon that carries file descriptors.
//!
//! The daemon takes a caller's namespace and lease from the very first bytes of a connection, so the
//! first write (the HTTP/2 preface) goes out with `sendmsg` and `SCM_RIGHTS`; all later ones are plain.
//! Two consequences: a channel is one connection and never reconnects (a second connection would lack the
//! descriptors), and the descriptors are closed here as soon as the kernel has taken them.
//!
//! Before anything is sent the peer is asked for: only root may receive the caller's descriptors.
//!
//! But for the patience with a socket nobody listens on, nothing here has a time limit; callers put one around the whole.

use std::{
    env,
    ffi::OsStr,
    fs, io,
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use crate::{channel::Channel, connector};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::UnixStream,
};

/// Names another socket than [`v6pod_proto::SOCKET`].
pub const SOCKET_VARIABLE: &str = "V6POD_SOCKET";

/// The most descriptors a connection may carry: the namespace and the lease.
pub const MAX_DESCRIPTORS: usize = 2;

/// How long a full accept queue is waited for, and how often it is tried.
const QUEUE_WAIT: Duration = Duration::from_millis(10);
const QUEUE_TRIES: u32 = 500;
/// How long a socket is tried that is there and that nobody listens on: where systemd does not hold it, a daemon
/// that is started again is away for 0.2 s, and on a busy machine has been seen to be for more than 1 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment names a socket by a relative path.
    #[error("{SOCKET_VARIABLE} must be an absolute path, not {0:?}")]
    Relative(PathBuf),
    /// More descriptors than the contract knows.
    #[error("{0} descriptors for one connection, at most {MAX_DESCRIPTORS} are possible")]
    TooMany(usize),
    /// Nobody listens: the socket is absent, or its daemon is gone.
    #[error("nothing listens on {}: {source} (is v6podd running?)", .socket.display())]
    Away {
        /// The socket.
        socket: PathBuf,
        /// What `connect` said.
        source: io::Error,
    },
    /// The socket is there but cannot be connected to.
    #[error("cannot connect to {}: {source}", .socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What `connect` said.
        source: io::Error,
    },
    /// The socket is closed to users, and the program that opens it for them has not.
    #[error("cannot connect to {}, which is closed to users: {source}", .socket.display())]
    Closed {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: connector::Error,
    },
    /// Somebody else than root listens.
    #[error("{} belongs to uid {uid}, not to root", .socket.display())]
    NotRoot {
        /// The socket.
        socket: PathBuf,
        /// Who listens, as this user namespace sees it.
        uid: u32,
    },
    /// The peer's identity, or what it has to be compared with, could not be read.
    #[error("cannot tell who listens on {}: {source}", .socket.display())]
    Peer {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The peer does not speak HTTP/2, or hung up at once.
    #[error("{} does not speak gRPC: {source}", .socket.display())]
    Handshake {
        /// The socket.
        socket: PathBuf,
        /// What was wrong.
        source: hyper::Error,
    },
}

/// The daemon's socket: what the environment's `V6POD_SOCKET` says, else the one everybody knows.
pub fn socket() -> Result<PathBuf, Error> {
    socket_from(env::var_os(SOCKET_VARIABLE).as_deref())
}

/// [`socket`] for a given value of the variable; an empty one counts as absent.
pub fn socket_from(variable: Option<&OsStr>) -> Result<PathBuf, Error> {
    match variable.filter(|value| !value.is_empty()).map(Path::new) {
        None => Ok(PathBuf::from(v6pod_proto::SOCKET)),
        Some(path) if path.is_absolute() => Ok(path.to_path_buf()),
        Some(path) => Err(Error::Relative(path.to_path_buf())),
    }
}

/// Connects to the daemon and passes it `descriptors`: none, the namespace, or the namespace and the
/// read end of the lease pipe.
///
/// It must run on a tokio runtime with I/O and time. The channel is good for one connection: once that
/// ends, every call answers UNAVAILABLE.
pub async fn connect(socket: &Path, descriptors: Vec<OwnedFd>) -> Result<Channel, Error> {
    connect_within(socket, descriptors, PATIENCE).await
}

/// The same, with another `patience` for a socket that is there and that nobody listens on. Who has a time limit
/// for the whole call gives less than that, and learns that there is no daemon instead of that it is slow.
pub(crate) async fn connect_within(
    socket: &Path,
    descriptors: Vec<OwnedFd>,
    patience: Duration,
) -> Result<Channel, Error> {
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(Error::TooMany(descriptors.len()));
    }
    let stream = dial(socket, patience).await?;
    let who = |source| Error::Peer { socket: socket.to_path_buf(), source };
    let uid = stream.peer_cred().map_err(who)?.uid();
    if uid != root_here().map_err(who)? {
        return Err(Error::NotRoot { socket: socket.to_path_buf(), uid });
    }
    let handshake = Channel::new(FirstWrite { stream, descriptors }).await;
    handshake.map_err(|source| Error::Handshake { socket: socket.to_path_buf(), source })
}

/// Connects the socket, again for a while if its accept queue is full, or if its daemon is gone.
async fn dial(socket: &Path, patience: Duration) -> Result<UnixStream, Error> {
    let since = Instant::now();
    let mut busy = 0;
    loop {
        match dial_once(socket).await {
            Err(error) if is_busy(&error) && busy < QUEUE_TRIES => busy += 1,
            Err(error) if is_refused(&error) && since.elapsed() < patience => {}
            outcome => return outcome,
        }
        tokio::time::sleep(QUEUE_WAIT).await;
    }
}

/// Whether the socket is there and nobody listens on it, or whoever did went away before accepting: then Linux
/// notes ECONNRESET in a socket that is connected already (net/unix/af_unix.c, `unix_release_sock`).
fn is_refused(error: &Error) -> bool {
    match error {
        Error::Away { source, .. } => source.kind() == io::ErrorKind::ConnectionRefused,
        Error::Connect { source, .. } => source.kind() == io::ErrorKind::ConnectionReset,
        _ => false,
    }
}

/// Whether the accept queue was full: a stream socket then answers EAGAIN instead of waiting when it is
/// non-blocking, which it has to be here.
fn is_busy(error: &Error) -> bool {
    match error {
        Error::Connect { source, .. } => source.kind() == io::ErrorKind::WouldBlock,
        Error::Closed { source, .. } => matches!(source, connector::Error::Busy),
        _ => false,
    }
}

async fn dial_once(socket: &Path) -> Result<UnixStream, Error> {
    let source = match UnixStream::connect(socket).await {
        Ok(stream) => return Ok(stream),
        Err(source) => source,
    };
    let is_known = socket == Path::new(v6pod_proto::SOCKET);
    let socket = socket.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Err(Error::Away { socket, source }),
        io::ErrorKind::PermissionDenied if is_known && connector::is_installed() => {
            connector::connect().await.map_err(|source| match source {
                connector::Error::Away => {
                    Error::Away { socket, source: io::ErrorKind::ConnectionRefused.into() }
                }
                source => Error::Closed { socket, source },
            })
        }
        _ => Err(Error::Connect { socket, source }),
    }
}

/// The uid under which the host's root appears in this user namespace.
pub(crate) fn root_here() -> io::Result<u32> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    if let Some(uid) = translate_root(&map) {
        return Ok(uid);
    }
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid")?;
    overflow.trim().parse().map_err(io::Error::other)
}

/// What the outer uid 0 is inside according to a `uid_map` ("inside outside count" a line), if it is
/// mapped at all. In rootless podman's namespace it is not, and the kernel shows the overflow uid.
fn translate_root(map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
        match (fields.next()?, fields.next()?) {
            (Ok(inside), Ok(0)) => Some(inside),
            _ => None,
        }
    })
}

/// A unix stream whose first write takes the descriptors along.
struct FirstWrite {
    stream: UnixStream,
    descriptors: Vec<OwnedFd>,
}

impl AsyncRead for FirstWrite {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for FirstWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.descriptors.is_empty() || bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let send = || send_with(&self.stream, bytes, &self.descriptors);
            match self.stream.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(sent) => {
                    self.descriptors.clear();
                    return Poll::Ready(Ok(sent));
                }
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// One `sendmsg` of `bytes` and `descriptors`; the descriptors are gone with the first byte.
fn send_with(stream: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::other("the descriptors do not fit into one message"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_in_uid_maps() {
        for (map, uid) in [
            ("         0          0 4294967295\n", Some(0)),
            ("         0       1001          1\n         1     100000      65536\n", None),
            ("         5          0          1\n         0       1001          1\n", Some(5)),
            ("", None),
            ("nonsense\n", None),
        ] {
            assert_eq!(translate_root(map), uid, "{map:?}");
        }
    }

    #[test]
    fn the_socket_comes_from_the_environment() {
        assert_eq!(socket_from(None).unwrap(), Path::new(v6pod_proto::SOCKET));
        assert_eq!(socket_from(Some(OsStr::new(""))).unwrap(), Path::new(v6pod_proto::SOCKET));
        assert_eq!(socket_from(Some(OsStr::new("/x/y"))).unwrap(), Path::new("/x/y"));
        let error = socket_from(Some(OsStr::new("x/y"))).unwrap_err();
        assert_eq!(error.to_string(), r#"V6POD_SOCKET must be an absolute path, not "x/y""#);
    }
}
