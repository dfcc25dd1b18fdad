//! Telling systemd: sd_notify(3). A thread of its own sends, in order, so that nobody waits for a busy PID 1.
//!
//! A lease is kept under a name made of its inode, by which the records know it. systemd 219 ignores the name, and
//! `FDSTOREREMOVE` (of version 236); but every version forgets a pipe by itself whose other end has been closed.

use std::{
    ffi::OsStr,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixDatagram},
    },
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr},
    time::{ClockId, clock_gettime},
};

/// How long systemd may take for one message before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What tells systemd, or nobody. A cheap handle.
#[derive(Clone, Debug)]
pub struct Notifier(Option<mpsc::Sender<Message>>);

#[derive(Debug)]
enum Message {
    Tell(String, Option<Arc<OwnedFd>>),
    Flush(mpsc::Sender<()>),
}

impl Notifier {
    /// One that tells nobody.
    pub fn silent() -> Self {
        Self(None)
    }

    /// One that tells whoever listens at `NOTIFY_SOCKET`: a path, or an abstract name after an `@`.
    ///
    /// # Errors
    /// The address is none, or there can be no socket or thread.
    pub fn start(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            path @ [b'/', ..] => SocketAddrUnix::new(path)?,
            _ => return Err(io::Error::other(format!("NOTIFY_SOCKET is {address:?}, which is no address"))),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let (sender, messages) = mpsc::channel();
        thread::Builder::new().name("notify".to_owned()).spawn(move || work(&socket, &address, &messages))?;
        Ok(Self(Some(sender)))
    }

    /// Whether anybody is told.
    pub fn is_silent(&self) -> bool {
        self.0.is_none()
    }

    /// Callers are served, or are served again after a reload.
    pub fn ready(&self, status: &str) {
        self.tell(format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is being read again; to be followed by [`ready`](Self::ready).
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reading the configuration"));
    }

    /// The daemon is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Stopping; containers keep their addresses".to_owned());
    }

    /// How it goes, for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(format!("STATUS={status}"));
    }

    /// The daemon does what it is for.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1".to_owned());
    }

    /// Lets systemd keep a lease, to be passed at the next start. Once more for the same does no harm.
    pub fn keep(&self, inode: u64, pipe: Arc<OwnedFd>) {
        self.send(Message::Tell(format!("FDSTORE=1\nFDNAME={}", name(inode)), Some(pipe)));
    }

    /// Lets systemd forget a lease.
    pub fn let_go(&self, inode: u64) {
        self.tell(format!("FDSTOREREMOVE=1\nFDNAME={}", name(inode)));
    }

    /// Waits until all has been sent, for so long at most.
    pub fn flush(&self, limit: Duration) {
        let (done, sent) = mpsc::channel();
        self.send(Message::Flush(done));
        let _ = sent.recv_timeout(limit);
    }

    fn tell(&self, text: String) {
        self.send(Message::Tell(text, None));
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.0 {
            // The thread ends only when the last handle goes.
            let _ = sender.send(message);
        }
    }
}

fn name(inode: u64) -> String {
    format!("lease-{inode}")
}

fn work(socket: &UnixDatagram, address: &SocketAddrUnix, messages: &mpsc::Receiver<Message>) {
    let mut failing = false;
    for message in messages {
        match message {
            Message::Flush(done) => drop(done.send(())),
            Message::Tell(text, pipe) => {
                let outcome = send(socket, address, &text, pipe.as_deref());
                if let (Err(error), false) = (&outcome, failing) {
                    let what = text.lines().next().unwrap_or_default();
                    tracing::warn!(what, %error, "systemd could not be told");
                }
                failing = outcome.is_err();
            }
        }
    }
}

fn send(
    socket: &UnixDatagram,
    address: &SocketAddrUnix,
    text: &str,
    pipe: Option<&OwnedFd>,
) -> rustix::io::Result<()> {
    let pipes: Vec<_> = pipe.iter().map(|pipe| pipe.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !pipes.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&pipes)) {
        return Err(Errno::TOOBIG);
    }
    let text = [IoSlice::new(text.as_bytes())];
    rustix::io::retry_on_intr(|| sendmsg_addr(socket, address, &text, &mut control, SendFlags::NOSIGNAL))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    /// What systemd gets: the text, and how many descriptors.
    fn received(socket: &UnixDatagram) -> (String, usize) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut octets = [0; 256];
        let message =
            recvmsg(socket, &mut [IoSliceMut::new(&mut octets)], &mut control, RecvFlags::empty()).unwrap();
        let count = |message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.count(),
            _ => 0,
        };
        let descriptors = control.drain().map(count).sum();
        (String::from_utf8(octets[..message.bytes].to_vec()).unwrap(), descriptors)
    }

    fn told(socket: &UnixDatagram, notifier: &Notifier) {
        notifier.ready("2 attachments");
        assert_eq!(received(socket), ("READY=1\nSTATUS=2 attachments".to_owned(), 0));
        let pipe = Arc::new(rustix::pipe::pipe().unwrap().0);
        notifier.keep(4711, pipe);
        assert_eq!(received(socket), ("FDSTORE=1\nFDNAME=lease-4711".to_owned(), 1));
        notifier.let_go(4711);
        assert_eq!(received(socket), ("FDSTOREREMOVE=1\nFDNAME=lease-4711".to_owned(), 0));
        notifier.reloading();
        let (text, _) = received(socket);
        let usec = text.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(text.starts_with("RELOADING=1\n") && usec.parse::<u64>().unwrap() > 0, "{text}");
        notifier.stopping();
        notifier.flush(PATIENCE);
        socket.set_nonblocking(true).unwrap();
        assert!(received(socket).0.starts_with("STOPPING=1\n"), "flushed, and so there");
    }

    #[test]
    fn systemd_is_told_at_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        told(&socket, &Notifier::start(path.as_os_str()).unwrap());
    }

    #[test]
    fn systemd_is_told_at_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("v6pod-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        told(&socket, &Notifier::start(format!("@{name}").as_ref()).unwrap());
    }

    #[test]
    fn nobody_is_told_without_an_address() {
        let notifier = Notifier::silent();
        notifier.ready("");
        notifier.flush(PATIENCE);
        assert!(notifier.is_silent());
        assert!(Notifier::start("relative".as_ref()).is_err());
    }
}
