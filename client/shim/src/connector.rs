//! The setuid way: where the daemon's socket is closed to users, `v6pod-connect` opens it, if the site has
//! installed that.
//!
//! It is started with one end of a socket pair as descriptor 0 and sends the connection back on it. The
//! daemon then sees this user. Where setuid has no effect (a user namespace, such as podman's), this is no
//! way. Dropping what [`connect`] returns ends the program too.

use std::{
    fs, io,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, net},
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType, recvmsg,
        sockopt::{socket_domain, socket_type},
    },
};
use tokio::{io::Interest, net::UnixStream, time::timeout};

use crate::connect::root_here;

/// Where it is, if it is installed.
pub const PROGRAM: &str = "/usr/libexec/v6pod/v6pod-connect";

/// How long it may take. It does not wait for anything itself.
const LIMIT: Duration = Duration::from_secs(1);

/// Why it has not opened the socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has not been given its rights.
    #[error("{PROGRAM} is not setuid root: chown root and chmod 4755 make it so")]
    NotSetuid,
    /// Its rights have no effect on this process.
    #[error(
        "root's rights of v6pod-connect have no effect here (in a user namespace such as podman's, with \
         no_new_privs, or on a file system mounted nosuid): the socket would need the mode 0666"
    )]
    NoEffect,
    /// Nobody listens.
    #[error("nobody listens")]
    Away,
    /// The daemon's queue is full just now.
    #[error("the daemon is busy")]
    Busy,
    /// Somebody else than root listens.
    #[error("it does not belong to root")]
    NotRoot,
    /// It ended in another way.
    #[error("{PROGRAM} failed ({0})")]
    Failed(ExitStatus),
    /// It did not answer.
    #[error("{PROGRAM} did not answer within {} ms", LIMIT.as_millis())]
    Slow,
    /// It sent something else than a connection.
    #[error("what {PROGRAM} sent is no connection")]
    Nonsense,
    /// It could not be started or listened to.
    #[error("{PROGRAM}: {0}")]
    Local(#[from] io::Error),
}

impl Error {
    /// What its `main.rs` means by this status.
    fn from_status(status: ExitStatus) -> Self {
        match status.code() {
            // Not even root of this user namespace may open the socket, or it is not root at all.
            Some(4 | 8) => Self::NoEffect,
            Some(6) => Self::Away,
            Some(7) => Self::Busy,
            Some(10) => Self::NotRoot,
            _ => Self::Failed(status),
        }
    }
}

/// Whether the site has it at all.
pub fn is_installed() -> bool {
    fs::symlink_metadata(PROGRAM).is_ok()
}

/// Connects to [`v6pod_proto::SOCKET`].
pub async fn connect() -> Result<UnixStream, Error> {
    let program = fs::symlink_metadata(PROGRAM)?;
    if !program.is_file() || program.uid() != root_here()? || program.mode() & 0o4000 == 0 {
        return Err(Error::NotSetuid);
    }
    let (ours, its) = net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let channel = UnixStream::from_std(ours)?;
    let mut running = Running(
        Command::new(PROGRAM)
            .env_clear()
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let receiving = channel.async_io(Interest::READABLE, || Ok(receive(&channel)?));
    match timeout(LIMIT, receiving).await.map_err(|_| Error::Slow)?? {
        Received::Descriptor(socket) => stream(socket),
        Received::End => Err(Error::from_status(running.0.wait()?)),
        Received::Other => Err(Error::Nonsense),
    }
}

/// The program, which does not outlive this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What came over the channel.
enum Received {
    Descriptor(OwnedFd),
    End,
    Other,
}

fn receive(channel: &UnixStream) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut octet = [0];
    let data = &mut [IoSliceMut::new(&mut octet)];
    let message = recvmsg(channel.as_fd(), data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    Ok(match (message.bytes, descriptors.next(), descriptors.next()) {
        (1, Some(descriptor), None) => Received::Descriptor(descriptor),
        (0, None, _) => Received::End,
        _ => Received::Other,
    })
}

/// The connection. Whose it is [`crate::connect`] looks at, as at any other.
fn stream(socket: OwnedFd) -> Result<UnixStream, Error> {
    let kind = (socket_domain(&socket), socket_type(&socket));
    if kind != (Ok(AddressFamily::UNIX), Ok(SocketType::STREAM)) {
        return Err(Error::Nonsense);
    }
    let stream = net::UnixStream::from(socket);
    stream.peer_addr().map_err(|_| Error::Nonsense)?;
    stream.set_nonblocking(true)?;
    Ok(UnixStream::from_std(stream)?)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::IoSlice,
        os::{fd::BorrowedFd, unix::process::ExitStatusExt as _},
    };

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    /// What is made of these descriptors.
    fn received(descriptors: &[BorrowedFd<'_>]) -> Received {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _guard = runtime.enter();
        let (ours, its) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        sendmsg(&its, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        receive(&ours).unwrap()
    }

    #[test]
    fn exactly_one_descriptor_is_taken() {
        let file = File::open("/dev/null").unwrap();
        assert!(matches!(received(&[]), Received::Other));
        assert!(matches!(received(&[file.as_fd(), file.as_fd()]), Received::Other));
        let Received::Descriptor(descriptor) = received(&[file.as_fd()]) else { panic!("it came") };
        assert!(matches!(stream(descriptor), Err(Error::Nonsense)));
    }

    #[test]
    fn only_a_connected_unix_stream_is_a_connection() {
        let folder = tempfile::tempdir().unwrap();
        let listener = net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert!(matches!(stream(listener.into()), Err(Error::Nonsense)));
        let (datagram, _) = net::UnixDatagram::pair().unwrap();
        assert!(matches!(stream(datagram.into()), Err(Error::Nonsense)));
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(stream(tcp.into()), Err(Error::Nonsense)));
    }

    #[test]
    fn a_status_has_words() {
        let words = |code: i32| Error::from_status(ExitStatus::from_raw(code << 8)).to_string();
        assert!(words(4).contains("0666") && words(8).contains("0666"));
        assert_eq!(words(11), format!("{PROGRAM} failed (exit status: 11)"));
    }
}
